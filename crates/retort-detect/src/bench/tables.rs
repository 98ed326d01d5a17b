//! The tables of the benchmark: replies, what is known of the models, labelled pairs.

use std::collections::BTreeSet;
use std::path::Path;

use retort_fingerprint::{Corpus, Selection};
use serde::{Deserialize, Serialize};

use super::BenchError;
use crate::roles::{Kind, ModelFacts, Month, Roles};

/// What is known of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// One model under two names or prompts.
    SameModel,
    /// The student continues the candidate's weights.
    Parent,
    /// The student was trained on the candidate's outputs.
    Teacher,
    /// The student is older than the candidate.
    NegativeTemporal,
    /// The student's training is documented, without the candidate.
    NegativeDocumented,
}

impl Label {
    /// Returns the word used in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameModel => "same_model",
            Self::Parent => "parent",
            Self::Teacher => "teacher",
            Self::NegativeTemporal => "negative_temporal",
            Self::NegativeDocumented => "negative_documented",
        }
    }

    /// Returns whether the pair is unrelated.
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::NegativeTemporal | Self::NegativeDocumented)
    }
}

/// A pair of known relation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct LabelledPair {
    /// The suspect.
    pub student: String,
    /// The candidate.
    pub candidate: String,
    /// What is known.
    pub label: Label,
    /// How well: `high`, `med` or `low`.
    pub confidence: String,
}

/// A row of `lineage.csv`, as far as it is used.
#[derive(Debug, Deserialize)]
struct LineageRow {
    model: String,
    #[serde(default)]
    vendor: String,
    base_family: String,
    immediate_parent: String,
    distilled_from: String,
    teachers_in_list: String,
    variant_of: String,
    kind: String,
    data_group: String,
    note: String,
    release_approx: String,
}

/// Replies and what is known of their models.
#[derive(Debug, Clone)]
pub struct Tables {
    /// The replies.
    pub corpus: Corpus,
    /// Facts by model; no suspects, candidates or controls.
    pub roles: Roles,
    /// Pairs whose models both replied, sorted.
    pub pairs: Vec<LabelledPair>,
}

/// Names that the file of replies may have.
const REPLIES: [&str; 2] = ["alpaca_eval.parquet", "outputs.parquet"];

impl Tables {
    /// Reads `alpaca_eval.parquet` (or `outputs.parquet`), `lineage.csv` and `pairs.csv`.
    ///
    /// # Errors
    /// When a file is missing or has other columns.
    pub fn read(folder: &Path) -> Result<Self, BenchError> {
        let found = REPLIES
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file());
        let replies = found.ok_or_else(|| BenchError::Table {
            path: folder.join(REPLIES[0]),
            reason: "there is no such file".to_owned(),
        })?;
        let corpus = Corpus::from_parquet(&[&replies], &Selection::default())?;
        let mut roles = Roles::default();
        for row in rows::<LineageRow>(&folder.join("lineage.csv"))? {
            roles.facts.insert(row.model.clone(), facts(&row));
        }
        let mut pairs: Vec<LabelledPair> = rows(&folder.join("pairs.csv"))?;
        pairs.retain(|pair| {
            corpus.model(&pair.student).is_some() && corpus.model(&pair.candidate).is_some()
        });
        pairs.sort();
        pairs.dedup();
        Ok(Self {
            corpus,
            roles,
            pairs,
        })
    }
}

fn rows<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>, BenchError> {
    let bad = |reason: String| BenchError::Table {
        path: path.to_owned(),
        reason,
    };
    let mut reader = csv::Reader::from_path(path).map_err(|error| bad(error.to_string()))?;
    let rows = reader.deserialize().collect::<Result<Vec<T>, _>>();
    rows.map_err(|error| bad(error.to_string()))
}

fn facts(row: &LineageRow) -> ModelFacts {
    let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let set = |texts: &[&str]| -> BTreeSet<String> {
        texts.iter().filter_map(|text| some(text)).collect()
    };
    // A model whose row asks to be left out is treated as one that is no single model.
    let kind = match row.kind.as_str() {
        "composite" => Kind::Composite,
        _ if row.note.contains("exclude") => Kind::Composite,
        "origin" => Kind::Origin,
        "student" => Kind::Student,
        _ => Kind::Unknown,
    };
    // Families of bases are named after their vendor's line: `gpt-4`, `qwen1.5`, `llama-2`.
    let line: String = row
        .base_family
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let line = some(&line).filter(|line| !["unknown", "none"].contains(&line.as_str()));
    ModelFacts {
        vendor: some(&row.vendor).or(line),
        base: some(&row.base_family).filter(|base| !base.starts_with("unknown")),
        groups: set(&[&row.data_group]),
        parents: set(&[&row.immediate_parent, &row.variant_of]),
        teachers: row.teachers_in_list.split(';').filter_map(some).collect(),
        teachers_known: !row.distilled_from.is_empty() && row.distilled_from != "undisclosed",
        released: Month::parse(&row.release_approx),
        kind,
    }
}
