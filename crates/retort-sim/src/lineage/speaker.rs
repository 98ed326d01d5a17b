//! Lets the models of a family tree answer requests.

use std::sync::Arc;
use std::time::Duration;

use retort_types::{PromptInput, Timestamp, WallClock};

use super::counts::Place;
use super::language::LanguageModel;
use super::vocabulary::{END, UNKNOWN};
use super::{Member, corpus};
use crate::manners::Manners;
use crate::mix::{key, mix, unit};
use crate::model::{Ask, CannotAnswer, Ended, Generation, SimModel, Token, split_tokens};
use crate::spec::ModelSpec;

/// Temperatures at or below this mean the likeliest word.
const COLD: f64 = 1e-6;

/// A model of a family tree behind an endpoint.
#[derive(Debug)]
pub(crate) struct Speaker {
    member: Member,
    spec: ModelSpec,
    manners: Manners,
    clock: Arc<dyn WallClock>,
    started_at: Timestamp,
}

impl Speaker {
    /// Returns the model as a provider serves it; a change counts from now.
    pub(crate) fn new(member: Member, spec: &ModelSpec, clock: Arc<dyn WallClock>) -> Self {
        Self {
            member,
            manners: Manners::new(spec),
            spec: spec.clone(),
            started_at: clock.now(),
            clock,
        }
    }

    fn model(&self) -> &LanguageModel {
        match &self.member {
            Member::Steady(model) => model,
            Member::Changing { from, into, after } => {
                let is_later = |after: &Duration| self.clock.now().since(self.started_at) >= *after;
                if is_later(after) { into } else { from }
            }
        }
    }
}

impl SimModel for Speaker {
    /// The same `ask` gets the same answer, except across the change of a model that changes.
    fn answer(&self, ask: &Ask) -> Result<Generation, CannotAnswer> {
        if let Some(refusal) = self.manners.withheld(ask) {
            return Ok(refusal);
        }
        let mut writer = Writer::new(self.model(), ask, &self.spec);
        let mut made = Generation::new(Vec::new());
        if let Some(words) = self.spec.reasoning_words {
            // Thoughts are what it read, not what it learned to answer.
            writer.write(Place::begin(None), words);
            made.reasoning = std::mem::take(&mut writer.tokens);
        }
        let ended = writer.write(place(writer.model, &ask.input), self.spec.words_max);
        made.tokens = writer.tokens;
        made.ended = ended;
        Ok(made)
    }

    fn read(&self, text: &str, top_logprobs: Option<u32>) -> Vec<Token> {
        let model = self.model();
        let mut place = Place::begin(Some(corpus::cell(text)));
        let read = |piece: &str| {
            let word = model.vocabulary().number(piece);
            let chosen = (piece, model.probability(place, word));
            let token = token(model, &model.distribution(place), chosen, top_logprobs);
            place = place.after(word);
            token
        };
        split_tokens(text).into_iter().map(read).collect()
    }
}

/// Returns where the answer to an input begins.
fn place(model: &LanguageModel, input: &PromptInput) -> Place {
    match input {
        PromptInput::Messages(messages) => {
            let prompt = messages.last().map_or("", |message| &message.content);
            Place::begin(Some(corpus::cell(prompt)))
        }
        PromptInput::Text(text) => split_tokens(text)
            .into_iter()
            .fold(Place::begin(Some(corpus::cell(text))), |place, piece| {
                place.after(model.vocabulary().number(piece))
            }),
    }
}

/// Writes one answer.
struct Writer<'a> {
    model: &'a LanguageModel,
    temperature: f64,
    top: Option<u32>,
    random: u64,
    tokens: Vec<Token>,
}

impl<'a> Writer<'a> {
    fn new(model: &'a LanguageModel, ask: &Ask, spec: &ModelSpec) -> Self {
        let prompt = match &ask.input {
            PromptInput::Text(text) => key(text),
            PromptInput::Messages(messages) => messages.iter().fold(3, |sum, message| {
                mix(mix(sum, key(&message.role)), key(&message.content))
            }),
        };
        // A seed makes one model say the same under two names; chance does not.
        let draw = ask.seed.map_or_else(
            || mix(mix(1, ask.draw), key(&spec.name)),
            |seed| mix(2, seed.cast_unsigned()),
        );
        Self {
            model,
            temperature: ask.temperature * spec.temperature_sensitivity,
            top: ask.top_logprobs,
            // Without the model's own number, models would make each other's accidents.
            random: mix(mix(model.identity(), prompt), draw),
            tokens: Vec::new(),
        }
    }

    /// Writes up to `most` words from a place on.
    fn write(&mut self, mut place: Place, most: u32) -> Ended {
        for _ in 0..most {
            let probabilities = self.model.distribution(place);
            let word = self.choose(&probabilities);
            if word == END {
                return Ended::Stop;
            }
            let probability = probabilities.get(word as usize).copied().unwrap_or(0.0);
            let chosen = (self.model.vocabulary().word(word), probability);
            self.tokens
                .push(token(self.model, &probabilities, chosen, self.top));
            place = place.after(word);
        }
        Ended::Length
    }

    /// Returns the drawn word: the likeliest, the first of equals, when it is cold.
    fn choose(&mut self, probabilities: &[f64]) -> u32 {
        let numbered = || probabilities.iter().zip(0_u32..);
        let (most, best) = numbered().fold((0.0, END), |best, (probability, word)| {
            if *probability > best.0 {
                (*probability, word)
            } else {
                best
            }
        });
        if self.temperature <= COLD {
            return best;
        }
        self.random = mix(self.random, 1);
        let is_plain = (self.temperature - 1.0).abs() < f64::EPSILON;
        let power = 1.0 / self.temperature;
        let weight = |probability: &f64| {
            if is_plain {
                *probability
            } else {
                (probability / most).powf(power)
            }
        };
        let total: f64 = probabilities.iter().map(weight).sum();
        let mut point = unit(self.random) * total;
        for (probability, word) in numbered() {
            point -= weight(probability);
            if point < 0.0 {
                return word;
            }
        }
        best
    }
}

/// Returns a token with its log probability at temperature 1 and its alternatives, if wanted. The
/// end of the text is not among them: no wire protocol has a word for it.
fn token(
    model: &LanguageModel,
    probabilities: &[f64],
    (text, probability): (&str, f64),
    top: Option<u32>,
) -> Token {
    let log = |probability: f64| probability.max(f64::MIN_POSITIVE).ln().min(0.0);
    let mut made = Token {
        text: text.to_owned(),
        logprob: log(probability),
        alternatives: Vec::new(),
    };
    let Some(count) = top.filter(|count| *count > 0).map(|count| count as usize) else {
        return made;
    };
    let mut words: Vec<(f64, u32)> = probabilities
        .iter()
        .copied()
        .zip(0..UNKNOWN)
        .skip(2)
        .collect();
    let order = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if words.len() > count {
        words.select_nth_unstable_by(count, order);
        words.truncate(count);
    }
    words.sort_unstable_by(order);
    made.alternatives = words
        .into_iter()
        .map(|(probability, word)| (model.vocabulary().word(word).to_owned(), log(probability)))
        .collect();
    if made.alternatives.iter().all(|(word, _)| *word != text) {
        made.alternatives.truncate(count - 1);
        made.alternatives.push((text.to_owned(), made.logprob));
    }
    made
}
