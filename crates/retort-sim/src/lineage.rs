//! A family tree of small language models whose relations are known, because they were made here.
//!
//! Each model is an interpolated n-gram model. A base learns from texts of the grammar in a style
//! of its own; every other model is made of others as [`Made`] says: tuned, taught on sampled
//! replies, trained anew from the same data, renamed, or replaced at an hour. Text, temperature,
//! seeds and log probabilities all follow from one distribution, so a detector can be right or
//! wrong about them; how much two models overlap is told by [`LanguageModel::overlap`] without any
//! detector.

mod corpus;
mod counts;
mod language;
mod speaker;
mod spec;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::SimError;
use crate::mix::{key, mix};

pub use language::LanguageModel;
pub(crate) use speaker::Speaker;
pub use spec::{LineageSpec, Made};

use corpus::{Corpus, Style, Text};
use counts::Counts;
use language::Layer;
use vocabulary::Vocabulary;

/// The models of a family tree, by name.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    members: BTreeMap<String, Member>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    /// One model, always.
    Steady(Arc<LanguageModel>),
    /// One model for a while after the start of the fleet, another from then on.
    Changing {
        from: Arc<LanguageModel>,
        into: Arc<LanguageModel>,
        after: Duration,
    },
}

/// A model before it is put together: what each kind of training left, by its weight.
#[derive(Debug, Clone)]
struct Recipe {
    /// What it read before it learned to answer.
    reading: Vec<Layer>,
    /// What it learned to answer.
    replies: Vec<Layer>,
    /// The style its own makers write in.
    style: Style,
    /// Tells models apart that are not the same.
    identity: u64,
}

impl Lineage {
    /// Makes every model of the tree. The same description and seed make the same models.
    ///
    /// # Errors
    /// When the description breaks a rule: a name used twice, a parent that does not exist or that
    /// comes later in a circle, a share out of range.
    pub fn grow(specs: &[LineageSpec], seed: u64) -> Result<Self, SimError> {
        let order = spec::ordered(specs)?;
        let mut nursery = Nursery::new(&order, seed);
        let mut members = BTreeMap::new();
        let mut steady: BTreeMap<&str, Arc<LanguageModel>> = BTreeMap::new();
        for spec in order {
            let member = match &spec.made {
                Made::SameAs { of } => Member::Steady(Arc::clone(&steady[of.as_str()])),
                Made::Changes { from, into, after } => Member::Changing {
                    from: Arc::clone(&steady[from.as_str()]),
                    into: Arc::clone(&steady[into.as_str()]),
                    after: after.0,
                },
                Made::Base
                | Made::FineTune { .. }
                | Made::Sibling { .. }
                | Made::Student { .. } => Member::Steady(Arc::new(nursery.raise(spec, &steady))),
            };
            if let Member::Steady(model) = &member {
                steady.insert(&spec.name, Arc::clone(model));
            }
            members.insert(spec.name.clone(), member);
        }
        Ok(Self { members })
    }

    /// Returns a model by its name; of one that changes, the one it begins as.
    pub fn model(&self, name: &str) -> Option<&LanguageModel> {
        self.members.get(name).map(|member| match member {
            Member::Steady(model) | Member::Changing { from: model, .. } => model.as_ref(),
        })
    }

    /// Returns what a name stands for.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }
}

/// Where models are made.
struct Nursery {
    seed: u64,
    vocabulary: Arc<Vocabulary>,
    /// Texts of the styles, by their numbers, read once.
    corpora: BTreeMap<u64, (Arc<Counts>, Arc<Counts>)>,
    recipes: BTreeMap<String, Recipe>,
}

impl Nursery {
    /// Writes all texts first: the vocabulary is what occurs in them.
    fn new(order: &[&LineageSpec], seed: u64) -> Self {
        let writings: Vec<(Style, u64)> = order
            .iter()
            .filter_map(|spec| writing(spec, order, seed))
            .collect();
        let written = corpus::write_all(&writings);
        let mut vocabulary = Vocabulary::new();
        let texts: Vec<Corpus<Vec<u32>>> = written
            .iter()
            .map(|corpus| corpus.map(|text| vocabulary.intern(text)))
            .collect();
        let vocabulary = Arc::new(vocabulary);
        let corpora = writings
            .iter()
            .zip(&texts)
            .map(|((_, number), corpus)| {
                let counts = |texts: &[Text<Vec<u32>>]| {
                    let mut counts = Counts::new(vocabulary.len());
                    for text in texts {
                        counts.read(
                            &text.words,
                            text.cell,
                            text.cell.is_some_and(corpus::is_short),
                        );
                    }
                    Arc::new(counts)
                };
                (*number, (counts(&corpus.reading), counts(&corpus.replies)))
            })
            .collect();
        Self {
            seed,
            vocabulary,
            corpora,
            recipes: BTreeMap::new(),
        }
    }

    fn raise(
        &mut self,
        spec: &LineageSpec,
        steady: &BTreeMap<&str, Arc<LanguageModel>>,
    ) -> LanguageModel {
        let identity = mix(self.seed, key(&spec.name));
        let own = self.corpora.get(&identity).cloned();
        let layer = |weight: f64, counts: &Arc<Counts>| Layer::new(weight, Arc::clone(counts));
        let style = style(spec, self.seed, |name| {
            self.recipes.get(name).map(|r| r.style)
        });
        let parent = spec.made.parent().map(|name| &self.recipes[name]);
        let (reading, replies) = match (&spec.made, own, parent) {
            (Made::FineTune { strength, .. }, Some((_, taught)), Some(parent)) => (
                parent.reading.clone(),
                with(&parent.replies, 1.0 - strength, layer(*strength, &taught)),
            ),
            (Made::Sibling { shared, .. }, Some((read, taught)), Some(parent)) => (
                with(&parent.reading, *shared, layer(1.0 - shared, &read)),
                with(&parent.replies, *shared, layer(1.0 - shared, &taught)),
            ),
            (Made::Student { teacher, dose, .. }, _, Some(parent)) => {
                let lessons = self.lessons(&steady[teacher.as_str()], identity);
                (
                    parent.reading.clone(),
                    with(&parent.replies, 1.0 - dose, layer(*dose, &lessons)),
                )
            }
            (_, Some((read, taught)), _) => (vec![layer(1.0, &read)], vec![layer(1.0, &taught)]),
            (_, None, _) => (Vec::new(), Vec::new()),
        };
        let layers = reading.iter().chain(&replies).cloned().collect();
        let recipe = Recipe {
            reading,
            replies,
            style,
            identity,
        };
        let model = LanguageModel::new(Arc::clone(&self.vocabulary), layers, recipe.identity);
        self.recipes.insert(spec.name.clone(), recipe);
        model
    }

    /// Returns what replies sampled from a teacher teach: as many for each question as makers
    /// write themselves.
    fn lessons(&self, teacher: &LanguageModel, identity: u64) -> Arc<Counts> {
        let mut counts = Counts::new(self.vocabulary.len());
        for (cell, count) in corpus::questions() {
            for number in 0..count {
                let draw = mix(mix(identity, u64::from(cell)), u64::from(number));
                counts.read(
                    &teacher.reply(cell, draw),
                    Some(cell),
                    corpus::is_short(cell),
                );
            }
        }
        Arc::new(counts)
    }
}

/// Returns the layers with their weights times `share`, and one more. A layer without weight
/// leaves nothing behind and is left out.
fn with(layers: &[Layer], share: f64, more: Layer) -> Vec<Layer> {
    let scaled = layers.iter().map(|layer| layer.scaled(share));
    scaled
        .chain([more])
        .filter(|layer| layer.weight > 0.0)
        .collect()
}

/// Returns the style a model's makers write in and the number of their writings, for models whose
/// makers write anything.
fn writing(spec: &LineageSpec, order: &[&LineageSpec], seed: u64) -> Option<(Style, u64)> {
    let number = mix(seed, key(&spec.name));
    match spec.made {
        Made::Base | Made::FineTune { .. } | Made::Sibling { .. } => {
            Some((style_among(spec, order, seed), number))
        }
        Made::Student { .. } | Made::SameAs { .. } | Made::Changes { .. } => None,
    }
}

fn style_among(spec: &LineageSpec, order: &[&LineageSpec], seed: u64) -> Style {
    style(spec, seed, |name| {
        let parent = order.iter().find(|other| other.name == name)?;
        Some(style_among(parent, order, seed))
    })
}

/// Returns the style of a model's makers: a sibling and a student have their parent's, others their
/// own.
fn style(spec: &LineageSpec, seed: u64, of_parent: impl Fn(&str) -> Option<Style>) -> Style {
    let own = Style::new(mix(mix(seed, key(&spec.name)), 0x57));
    match &spec.made {
        Made::Sibling { of, .. } | Made::Student { of, .. } | Made::SameAs { of } => {
            of_parent(of).unwrap_or(own)
        }
        Made::Base | Made::FineTune { .. } | Made::Changes { .. } => own,
    }
}
