//! What an analysis says: the one value that JSON, `pairs.parquet`, the summary and the report are
//! made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Similarity of habits beyond what unrelated models share.
    Kin,
    /// Shared first characters of short completions.
    Genes,
    /// Whether two endpoints are the same model now.
    Same,
    /// Whether one was trained on replies of the other.
    Teacher,
}

/// What a detector found about one pair. The first two are measurements; the others say why there
/// is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum Finding {
    /// The observations support the first proposition at the registered level.
    Supported,
    /// They do not.
    NotSupported,
    /// They point in different directions, or the interval holds both answers.
    Inconclusive(String),
    /// The snapshot has not what this detector reads.
    NotMeasured(String),
    /// Too few prompts or samples to find an effect of the size that matters.
    Underpowered(String),
    /// Too few, or unfit, control models.
    ControlSetInsufficient(String),
}

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Two passages that carry part of the evidence, side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exhibit {
    /// `suite/id` of the prompt.
    pub prompt: String,
    /// Rows of the dataset: the suspect's and the candidate's `sample_id`.
    pub rows: [String; 2],
    /// The passages.
    pub texts: [String; 2],
    /// What they share, as character ranges are too fragile: the shared phrases.
    pub shared: Vec<String>,
    /// Its contribution to the statistic.
    pub weight: f64,
}

/// What one detector says about one ordered pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The model in question.
    pub suspect: String,
    /// Its possible teacher, ancestor or twin.
    pub candidate: String,
    /// Who says so.
    pub detector: Detector,
    /// The statistic, in its detector's units; absent when not measured.
    pub statistic: Option<f64>,
    /// Effect against the controls, in standard deviations of theirs.
    pub effect: Option<Interval>,
    /// Conformal p-value against the controls: smallest possible 1 / (controls + 1). Of `same`, by
    /// permutation. Absent where dates answer the question.
    pub p: Option<f64>,
    /// `p` adjusted over everything asked: Holm for registered candidates, BH for exploration.
    pub p_adjusted: Option<f64>,
    /// Base-10 logarithm of the likelihood ratio, within plus and minus the cap, and at most that of
    /// 1 / `p`. Absent where none is calibrated, or a finding takes more than the ratio weighs.
    pub log10_lr: Option<f64>,
    /// Largest magnitude the control set supports.
    pub log10_lr_cap: Option<f64>,
    /// What was found.
    pub finding: Finding,
    /// Prompts both answered.
    pub prompts: usize,
    /// Names of the controls, sorted.
    pub controls: Vec<String>,
    /// The pair of propositions and the verbal equivalent, ready to print.
    pub wording: String,
    /// What else a reader must know: confounds, outlier controls, same-era results.
    pub notes: Vec<String>,
    /// Passages that carry it, the weightiest first.
    pub exhibits: Vec<Exhibit>,
}

/// How a detector errs, measured on pairs of known relation, leaving families out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Which one.
    pub detector: Detector,
    /// Where the pairs came from.
    pub source: String,
    /// Related and unrelated pairs.
    pub pairs: [usize; 2],
    /// Cost of the log likelihood ratio; 1 says nothing, 0 is perfect.
    pub cllr: Option<f64>,
    /// The same after the best monotone recalibration.
    pub cllr_min: Option<f64>,
    /// Equal error rate.
    pub eer: Option<f64>,
    /// Share of unrelated pairs that are found before adjustment, at the level of the analysis.
    /// Absent where none had the controls to be found.
    pub false_positive_rate: Option<Interval>,
    /// Share of related pairs found so.
    pub power: Option<Interval>,
    /// Log10 likelihood ratios of related pairs, sorted.
    pub related: Vec<f64>,
    /// Log10 likelihood ratios of unrelated pairs, sorted.
    pub unrelated: Vec<f64>,
}

/// What the decision tree concludes for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// One derives from the other, or both from one base; which cannot be told.
    DerivationOrSharedBase,
    /// Trained on outputs of the candidate, on data made by it, or on a common source.
    DistillationOrCommonSource,
    /// The same model under two names.
    SameModel,
    /// A relation, of which derivation, shared base and distillation could not be told apart,
    /// because raw completions were not measured.
    RelationOfUnknownKind,
    /// Nothing beyond what unrelated models show.
    NotDistinguishable,
    /// Something needed was not measured.
    Undetermined,
}

/// A conclusion and the questions that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The model in question.
    pub suspect: String,
    /// The candidate.
    pub candidate: String,
    /// The conclusion.
    pub conclusion: Conclusion,
    /// Each question with its answer, in order.
    pub path: Vec<(String, String)>,
}

/// Which candidates may have taught a suspect, by the teacher detector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeacherSet {
    /// The model in question.
    pub suspect: String,
    /// Candidates that are not excluded, sorted.
    pub candidates: Vec<String>,
    /// Whether "none of these" is not excluded.
    pub none_of_these: bool,
}

/// Similarities between models, for the heat map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Whose.
    pub detector: Detector,
    /// Names, in the order of rows and columns.
    pub models: Vec<String>,
    /// Row by row; absent where not measured. The diagonal is absent.
    pub values: Vec<Option<f64>>,
}

/// A tree of models in Newick notation, with bootstrap support in per cent as labels of inner nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// What it was built from.
    pub detector: Detector,
    /// The tree.
    pub newick: String,
}

/// What was obtained from a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The model.
    pub model: String,
    /// Its role: suspect, candidate, control, or none.
    pub role: Option<String>,
    /// Samples planned.
    pub planned: u64,
    /// How many ended how.
    pub outcomes: BTreeMap<String, u64>,
}

/// Who plays which part in an analysis; names sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// The models in question.
    pub suspects: Vec<String>,
    /// Their possible teachers or ancestors.
    pub candidates: Vec<String>,
    /// Models of known relation, which a pair's controls are chosen from.
    pub controls: Vec<String>,
}

/// Whether the analysis was fixed before the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "reason")]
pub enum Registration {
    /// The campaign carried this analysis, and its plan hash is in every row.
    Confirmatory,
    /// It did not, or something differs; the reason says what.
    Exploratory(String),
}

/// An analysis of one snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Version of this shape.
    pub schema: String,
    /// Where the replies came from: campaign, path, Merkle root of the snapshot.
    pub source: BTreeMap<String, String>,
    /// Hash of the plan, where there is one.
    pub plan_hash: Option<String>,
    /// Whether it was registered.
    pub registration: Registration,
    /// Every setting that reaches a number, with its value.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Who plays which part.
    pub cast: Cast,
    /// What was obtained.
    pub coverage: Vec<Coverage>,
    /// What was found about the fitness of controls: outlier pairs, controls that were refused.
    pub control_checks: Vec<String>,
    /// What was left out, and why.
    pub exclusions: Vec<String>,
    /// Everything said about pairs.
    pub statements: Vec<Statement>,
    /// Conclusions per pair.
    pub decisions: Vec<Decision>,
    /// Sets of possible teachers.
    pub teachers: Vec<TeacherSet>,
    /// Error rates.
    pub calibrations: Vec<Calibration>,
    /// Heat maps.
    pub matrices: Vec<Matrix>,
    /// Trees.
    pub trees: Vec<Tree>,
    /// What a reader must know of the whole.
    pub warnings: Vec<String>,
}

impl Analysis {
    /// The value of `schema`.
    pub const SCHEMA: &'static str = "retort.analysis.v1";

    /// Returns the level of findings, above 0 and below 0.5; 5 % where the settings do not say.
    pub fn level(&self) -> f64 {
        let level = self.settings.get("level");
        level.and_then(serde_json::Value::as_f64).unwrap_or(0.05)
    }
}
