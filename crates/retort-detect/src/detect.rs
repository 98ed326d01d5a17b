//! One analysis: who is compared with whom, which detectors are asked, what is concluded.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use retort_fingerprint::Settings as FingerprintSettings;
use retort_fingerprint::{Corpus, Fingerprints};
use serde_json::json;

use crate::analysis::{Analysis, Cast, Coverage, Detector, Finding, Registration, Statement};
use crate::calibrate::{can_reach, controls_needed};
use crate::evidence::adjust;
use crate::exhibits::exhibits;
use crate::genes::{Genes, GenesSettings};
use crate::kin::{self, KinSettings};
use crate::load::Loaded;
use crate::question::Question;
use crate::registration::{Settings, registration};
use crate::roles::Roles;
use crate::same::{self, Against, SameSettings, Tolerance};
use crate::teacher::{self, TeacherSettings};
use crate::{decide, wording};

/// Exhibits of one statement.
const EXHIBITS: usize = 4;

/// Pairs up to which each one gets exhibits and is tested for sameness. Beyond, as when every pair
/// is asked about, only those that stand out by `kin`, each by itself: a test takes up to a second.
const PAIRS_IN_FULL: usize = 48;

/// Pairs beyond that at most, the ones with the largest effects.
const PAIRS_PICKED: usize = 96;

/// Models that `same` measures a foreign model's difference on: the median of so many is steady.
const FOREIGN_MODELS: usize = 15;

/// Controls that the methods page recommends.
const CONTROLS_RECOMMENDED: usize = 50;

/// Is told what is being done: a stage, steps done, steps in all.
pub type Progress<'a> = dyn Fn(&str, usize, usize) + Sync + 'a;

/// Analyses a snapshot. `question` comes from [`crate::question::complete`].
///
/// The same replies, question and settings give the same analysis, whatever the order of rows or
/// the number of threads.
pub fn analyse(
    loaded: &Loaded,
    question: &Question,
    settings: &Settings,
    progress: &Progress<'_>,
) -> Analysis {
    let registered = if question.all_pairs {
        Registration::Exploratory("every pair was asked about".to_owned())
    } else {
        registration(
            loaded.campaign.as_ref(),
            loaded.plan_doubt.as_deref(),
            &question.cast,
            settings,
        )
    };
    let mut made = Analysis {
        schema: Analysis::SCHEMA.to_owned(),
        source: loaded.source.clone(),
        plan_hash: loaded.plan_hash.clone(),
        settings: settings_of(settings, question),
        cast: question.cast.clone(),
        coverage: coverage(loaded, &question.cast),
        registration: registered,
        control_checks: Vec::new(),
        exclusions: Vec::new(),
        statements: Vec::new(),
        decisions: Vec::new(),
        teachers: Vec::new(),
        calibrations: Vec::new(),
        matrices: Vec::new(),
        trees: Vec::new(),
        warnings: Vec::new(),
    };
    let corpus = fit(&loaded.corpus, &mut made.exclusions);
    let roles = roles(loaded, question);
    let pairs = roles.pairs(&corpus.models);
    let numbers = roles.families(&corpus.models);
    let asker = Asker {
        loaded,
        corpus: &corpus,
        families: corpus
            .models
            .iter()
            .map(String::as_str)
            .zip(numbers)
            .collect(),
        roles: &roles,
        pairs: &pairs,
        settings,
        is_registered: made.registration == Registration::Confirmatory || !question.all_pairs,
        progress,
    };
    asker.habits(&mut made);
    asker.genes(&mut made);
    asker.same(&mut made);
    finish(&mut made, &asker);
    made
}

/// Leaves out models that cannot be compared, and says what was left out.
fn fit<'a>(corpus: &'a Corpus, exclusions: &mut Vec<String>) -> Cow<'a, Corpus> {
    let unfit = corpus.unfit();
    for model in &unfit {
        exclusions.push(format!("model `{}`: {}", model.model, model.reason));
    }
    let unread = corpus
        .replies
        .iter()
        .filter(|reply| !reply.is_readable())
        .count();
    if unread > 0 {
        exclusions.push(format!(
            "{unread} of {} replies have no text: refused, withheld, failed, not asked or empty",
            corpus.replies.len()
        ));
    }
    let names: BTreeSet<String> = unfit.into_iter().map(|model| model.model).collect();
    if names.is_empty() {
        Cow::Borrowed(corpus)
    } else {
        Cow::Owned(corpus.without(&names))
    }
}

fn roles(loaded: &Loaded, question: &Question) -> Roles {
    let cast = question.cast.clone();
    Roles {
        suspects: cast.suspects,
        candidates: cast.candidates,
        controls: cast.controls,
        facts: loaded.facts.clone(),
        all_pairs: question.all_pairs,
    }
}

fn coverage(loaded: &Loaded, cast: &Cast) -> Vec<Coverage> {
    let role = |model: &String| {
        let parts = [
            ("suspect", &cast.suspects),
            ("candidate", &cast.candidates),
            ("control", &cast.controls),
        ];
        let plays = parts.into_iter().filter(|(_, names)| names.contains(model));
        let plays: Vec<&str> = plays.map(|(part, _)| part).collect();
        (!plays.is_empty()).then(|| plays.join(", "))
    };
    let rows = loaded.coverage.iter().map(|row| Coverage {
        role: role(&row.model),
        ..row.clone()
    });
    rows.collect()
}

fn settings_of(
    settings: &Settings,
    question: &Question,
) -> std::collections::BTreeMap<String, serde_json::Value> {
    let detectors: Vec<&str> = settings
        .detectors
        .iter()
        .map(|d| wording::detector(*d))
        .collect();
    let entries = [
        ("methods", json!(settings.methods)),
        (
            "software",
            json!(concat!("retort/", env!("CARGO_PKG_VERSION"))),
        ),
        ("detectors", json!(detectors)),
        ("level", json!(settings.level)),
        ("seed", json!(settings.seed)),
        ("suites", json!(settings.suites)),
        ("all_pairs", json!(question.all_pairs)),
        ("genes", json!(genes_settings(settings))),
        ("same", json!(same_settings(settings))),
    ];
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn genes_settings(settings: &Settings) -> GenesSettings {
    GenesSettings {
        alpha: settings.level,
        seed: settings.seed,
        ..GenesSettings::default()
    }
}

fn same_settings(settings: &Settings) -> SameSettings {
    SameSettings {
        alpha: settings.level,
        seed: settings.seed,
        ..SameSettings::default()
    }
}

/// Asks the detectors.
struct Asker<'a> {
    loaded: &'a Loaded,
    corpus: &'a Corpus,
    /// By model: relatives have one number.
    families: BTreeMap<&'a str, usize>,
    roles: &'a Roles,
    pairs: &'a [(String, String)],
    settings: &'a Settings,
    /// Whether an accusation is meant: Holm, and else BH.
    is_registered: bool,
    progress: &'a Progress<'a>,
}

impl Asker<'_> {
    fn asks(&self, detector: Detector) -> bool {
        self.settings.detectors.contains(&detector)
    }

    /// Asks `kin` and `teacher`, which read the same fingerprints.
    fn habits(&self, made: &mut Analysis) {
        if !self.asks(Detector::Kin) && !self.asks(Detector::Teacher) {
            return;
        }
        let told = |done: usize, all: usize| (self.progress)("fingerprints", done, all);
        let outside = FingerprintSettings {
            outside: self.roles.outside(),
        };
        let fingerprints = Fingerprints::of(self.corpus, &outside, &told);
        let (alpha, seed, is_registered) =
            (self.settings.level, self.settings.seed, self.is_registered);
        if self.asks(Detector::Kin) {
            (self.progress)("kin", 0, 1);
            let found = kin::analyse(
                &fingerprints,
                self.roles,
                &KinSettings {
                    alpha,
                    is_registered,
                    seed,
                },
            );
            made.statements.extend(found.statements);
            made.calibrations.extend(found.calibration);
            made.matrices.push(found.matrix);
            check_controls(made, Detector::Kin, found.warnings);
        }
        if self.asks(Detector::Teacher) {
            (self.progress)("teacher", 0, 1);
            let found = teacher::analyse(
                &fingerprints,
                self.roles,
                &TeacherSettings {
                    alpha,
                    is_registered,
                    seed,
                },
            );
            made.statements.extend(found.statements);
            made.teachers = found.sets;
            made.calibrations.extend(found.calibration);
            made.matrices.push(found.matrix);
            check_controls(made, Detector::Teacher, found.warnings);
        }
    }

    /// Returns the controls of a pair: those of no known relation to either.
    fn controls(&self, suspect: &str, candidate: &str) -> Vec<String> {
        let is_related = |name: &str, to: &str| {
            self.families.get(name) == self.families.get(to) || self.roles.share_base(name, to)
        };
        let fit = |name: &&String| !is_related(name, suspect) && !is_related(name, candidate);
        self.roles.controls.iter().filter(fit).cloned().collect()
    }

    fn genes(&self, made: &mut Analysis) {
        if !self.asks(Detector::Genes) {
            return;
        }
        (self.progress)("genes", 0, self.pairs.len());
        let genes = Genes::measure(self.corpus, genes_settings(self.settings));
        let mut statements: Vec<Statement> = self
            .pairs
            .iter()
            .map(|(suspect, candidate)| {
                let controls = self.controls(suspect, candidate);
                let mut statement = genes.statement(suspect, candidate, &controls);
                if self.pairs.len() <= PAIRS_IN_FULL {
                    statement.exhibits = genes.exhibits(self.corpus, suspect, candidate, &controls);
                }
                statement
            })
            .collect();
        self.adjust(&mut statements);
        made.statements.extend(statements);
        if genes.prompts() > 0 {
            made.matrices.push(genes.matrix());
            (self.progress)("tree", 0, 1);
            made.trees.extend(genes.tree());
        }
    }

    /// Adjusts the p-values of one detector, and takes back what is not supported any more.
    fn adjust(&self, statements: &mut [Statement]) {
        adjust(statements, self.is_registered);
        for statement in statements {
            let is_lost = statement
                .p_adjusted
                .is_some_and(|p| p > self.settings.level);
            if statement.finding == Finding::Supported && is_lost {
                let reason = "supported alone, but not among everything that was asked".to_owned();
                statement.finding = Finding::Inconclusive(reason);
            }
        }
    }

    fn same(&self, made: &mut Analysis) {
        if !self.asks(Detector::Same) {
            return;
        }
        let settings = same_settings(self.settings);
        let mut bands: BTreeMap<&str, Option<Tolerance>> = BTreeMap::new();
        let picked = self.picked(&made.statements);
        if picked.len() < self.pairs.len() {
            made.warnings.push(format!(
                "sameness was tested for {} of {} pairs, those most alike by `kin`",
                picked.len(),
                self.pairs.len()
            ));
        }
        for (number, (suspect, candidate)) in picked.iter().enumerate() {
            (self.progress)("same", number, picked.len());
            let others: Vec<String> = self
                .controls(suspect, candidate)
                .into_iter()
                .take(FOREIGN_MODELS)
                .collect();
            let band = bands
                .entry(suspect)
                .or_insert_with(|| self.band(suspect, &settings));
            let against = Against {
                others: &others,
                band: band.as_ref(),
            };
            let statement = same::test(self.corpus, suspect, candidate, against, &settings);
            made.statements.push(statement);
        }
    }

    /// Returns how far apart endpoints of the same weights stand. That the suspect is such an endpoint
    /// is in question, so that what is said of it takes no part.
    fn band(&self, suspect: &str, settings: &SameSettings) -> Option<Tolerance> {
        let aliases = self.loaded.aliases.iter();
        let others = aliases.filter(|(one, other)| one != suspect && other != suspect);
        same::tolerance(self.corpus, &others.cloned().collect::<Vec<_>>(), settings)
    }

    /// Returns the pairs that are looked at closely: all, or where there are many and `kin` was asked,
    /// those that it finds most alike.
    fn picked(&self, statements: &[Statement]) -> Vec<(String, String)> {
        if self.pairs.len() <= PAIRS_IN_FULL || !self.asks(Detector::Kin) {
            return self.pairs.to_vec();
        }
        let mut alike: Vec<&Statement> = statements
            .iter()
            .filter(|s| s.detector == Detector::Kin)
            .filter(|s| s.p.is_some_and(|p| p <= self.settings.level))
            .collect();
        let effect = |s: &Statement| s.effect.map_or(f64::NEG_INFINITY, |effect| effect.value);
        alike.sort_by(|a, b| {
            let names = (&a.suspect, &a.candidate).cmp(&(&b.suspect, &b.candidate));
            effect(b).total_cmp(&effect(a)).then(names)
        });
        let pairs = alike.into_iter().take(PAIRS_PICKED);
        pairs
            .map(|s| (s.suspect.clone(), s.candidate.clone()))
            .collect()
    }
}

/// Keeps what a detector found about the fitness of controls.
fn check_controls(made: &mut Analysis, detector: Detector, found: Vec<String>) {
    let name = wording::detector(detector);
    made.control_checks
        .extend(found.into_iter().map(|line| format!("{name}: {line}")));
}

/// Adds what follows from all statements: exhibits, wording, order, conclusions, warnings.
fn finish(made: &mut Analysis, asker: &Asker<'_>) {
    (asker.progress)("exhibits", 0, 1);
    let few = asker.pairs.len() <= PAIRS_IN_FULL;
    let mut shown = 0;
    for statement in &mut made.statements {
        let carries = matches!(statement.detector, Detector::Kin | Detector::Teacher)
            && (statement.finding == Finding::Supported || few)
            && statement.exhibits.is_empty()
            && statement.p.is_some();
        if carries && shown < PAIRS_PICKED {
            statement.exhibits = exhibits(
                asker.corpus,
                &statement.suspect,
                &statement.candidate,
                EXHIBITS,
            );
            shown += 1;
        }
        tidy(statement);
        statement.wording = wording::statement(statement);
    }
    made.statements.sort_by(|a, b| {
        let key = |s: &Statement| (s.suspect.clone(), s.candidate.clone(), place(s.detector));
        key(a).cmp(&key(b))
    });
    made.decisions = decide::decide_all(&made.statements);
    let fewest = made
        .statements
        .iter()
        .filter(|s| s.p.is_some() && s.detector != Detector::Same)
        .map(|s| s.controls.len())
        .min();
    if let Some(fewest) = fewest.filter(|fewest| *fewest < CONTROLS_RECOMMENDED) {
        let level = asker.settings.level;
        let (enough, can) = if can_reach(fewest, level) {
            (CONTROLS_RECOMMENDED, "weights stay small".to_owned())
        } else {
            let reach = format!("no p-value can reach {}", wording::percent(level));
            (controls_needed(level), reach)
        };
        made.warnings.push(format!(
            "some statements rest on {fewest} controls: with fewer than {enough}, {can}"
        ));
    }
    let many = too_many(made, asker);
    made.warnings.extend(many);
    if asker.pairs.is_empty() {
        made.warnings
            .push("no two models that can be compared were asked about".to_owned());
    }
}

/// Says how many pairs must stand out before any is supported, where every pair is asked about: the
/// smallest p-value of few controls is large beside the number of questions.
fn too_many(made: &Analysis, asker: &Asker<'_>) -> Option<String> {
    let asked = made
        .statements
        .iter()
        .filter(|s| s.detector == Detector::Kin && s.p.is_some());
    let (count, controls) = asked.fold((0_usize, 0), |(count, most), statement| {
        (count + 1, most.max(statement.controls.len()))
    });
    let (level, smallest) = (asker.settings.level, 1.0 / (controls + 1) as f64);
    let needed = (1..=count).find(|rank| smallest * count as f64 / *rank as f64 <= level)?;
    (!asker.is_registered && needed > 1).then(|| {
        format!(
            "among {count} questions, pairs that stand above all their controls are supported only \
             when {needed} do; name suspects and candidates to ask fewer"
        )
    })
}

/// Takes out figures that are no numbers: JSON has no word for them, and they weigh nothing.
fn tidy(statement: &mut Statement) {
    let figures = [
        &mut statement.statistic,
        &mut statement.p,
        &mut statement.p_adjusted,
        &mut statement.log10_lr,
        &mut statement.log10_lr_cap,
    ];
    for figure in figures {
        *figure = figure.filter(|value| value.is_finite());
    }
    statement.effect = statement
        .effect
        .filter(|e| [e.value, e.low, e.high].iter().all(|v| v.is_finite()));
}

/// Returns a detector's place in the decision tree.
const fn place(detector: Detector) -> u8 {
    match detector {
        Detector::Same => 0,
        Detector::Genes => 1,
        Detector::Kin => 2,
        Detector::Teacher => 3,
    }
}

#[cfg(test)]
mod tests;
