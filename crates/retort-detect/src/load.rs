//! What an analysis reads of a snapshot: replies, what is known of the models, the order of asking,
//! what was obtained, and what was registered.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::UInt32Type;
use retort_dataset::schema::Table;
use retort_dataset::seal::PLAN_FILE;
use retort_dataset::{DatasetError, Snapshot};
use retort_fingerprint::Corpus;
use retort_fingerprint::corpus::{CorpusError, Selection};
use retort_types::catalog::{KnownRelation, RelationKind};
use retort_types::{Campaign, Digest};

use crate::analysis::Coverage;
use crate::roles::{Kind, ModelFacts, Month};
use crate::same::Places;

/// Everything an analysis reads of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The replies.
    pub corpus: Corpus,
    /// What the catalog said of the models. Selects controls; never enters evidence.
    pub facts: BTreeMap<String, ModelFacts>,
    /// Pairs of names that the catalog says are one model.
    pub aliases: Vec<(String, String)>,
    /// Where each reply stood in the randomised order; empty for what was not crawled.
    pub places: Places,
    /// Samples per model by outcome, over the whole snapshot.
    pub coverage: Vec<Coverage>,
    /// The campaign as submitted, when a plan of ours is in the snapshot.
    pub campaign: Option<Campaign>,
    /// Hash of the plan that the manifest names, when the replies follow from it.
    pub plan_hash: Option<String>,
    /// Why the replies cannot be said to follow from that plan, if they cannot.
    pub plan_doubt: Option<String>,
    /// Where the replies came from, for people.
    pub source: BTreeMap<String, String>,
}

/// Reads what an analysis needs. `target` is what a person calls the snapshot.
///
/// # Errors
/// When a file cannot be read or is damaged, or there are too many replies.
pub async fn load(
    snapshot: &Snapshot,
    target: &str,
    selection: &Selection,
) -> Result<Loaded, CorpusError> {
    let manifest = &snapshot.manifest;
    let corpus = Corpus::from_snapshot(snapshot, selection).await?;
    let (facts, aliases) = facts(snapshot).await?;
    let (places, hashes) = order(snapshot).await?;
    let plan = snapshot.file(PLAN_FILE).await.ok();
    let campaign = plan.as_deref().and_then(campaign);
    let planned = manifest.plan_hash.to_string();
    let plan_doubt = if campaign.is_none() {
        Some("the snapshot has no plan of a campaign".to_owned())
    } else if plan.as_deref().map(Digest::of) != Some(manifest.plan_hash) {
        Some("the plan in the snapshot is not the one its manifest names".to_owned())
    } else if hashes.iter().any(|hash| *hash != planned) {
        Some("rows name another plan than the manifest".to_owned())
    } else if places.is_empty() {
        Some("the rows were imported and follow from no plan".to_owned())
    } else {
        None
    };
    let coverage = manifest.models.iter().map(|(model, outcomes)| Coverage {
        model: model.clone(),
        role: None,
        planned: outcomes.values().sum(),
        outcomes: outcomes
            .iter()
            .map(|(outcome, count)| (outcome.as_str().to_owned(), *count))
            .collect(),
    });
    let source = [
        ("campaign", manifest.campaign.to_string()),
        ("merkle_root", manifest.merkle_root.to_string()),
        ("place", snapshot.place()),
        ("target", target.to_owned()),
    ];
    Ok(Loaded {
        corpus,
        facts,
        aliases,
        places,
        coverage: coverage.collect(),
        // An import has a plan too, made after the fact: it registers nothing.
        plan_hash: plan_doubt.is_none().then_some(planned),
        campaign,
        plan_doubt,
        source: source
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect(),
    })
}

/// Returns the campaign that a plan is of, unless the plan is not ours.
fn campaign(plan: &[u8]) -> Option<Campaign> {
    let plan: serde_json::Value = serde_json::from_slice(plan).ok()?;
    serde_json::from_value(plan.get("campaign")?.clone()).ok()
}

fn text<'a>(
    batch: &'a RecordBatch,
    name: &str,
    snapshot: &Snapshot,
) -> Result<&'a StringArray, DatasetError> {
    let column = batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>());
    column.ok_or_else(|| DatasetError::Damaged {
        path: snapshot.path.clone(),
        what: format!("column `{name}` is missing or has another type"),
    })
}

/// Returns where each reply stood, by row, and the plans that rows name.
async fn order(snapshot: &Snapshot) -> Result<(Places, BTreeSet<String>), DatasetError> {
    let (mut places, mut hashes) = (Places::new(), BTreeSet::new());
    let mut rows = snapshot.responses(&["sample_id", "plan_hash", "block_id", "order_in_block"]);
    while let Some(batch) = rows.next().await? {
        let (id, hash) = (
            text(&batch, "sample_id", snapshot)?,
            text(&batch, "plan_hash", snapshot)?,
        );
        let number = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|c| c.as_primitive_opt::<UInt32Type>())
        };
        let (block, place) = (number("block_id"), number("order_in_block"));
        for row in 0..batch.num_rows() {
            if !hashes.contains(hash.value(row)) {
                hashes.insert(hash.value(row).to_owned());
            }
            if let (Some(block), Some(place)) = (block, place)
                && block.is_valid(row)
                && place.is_valid(row)
            {
                places.insert(
                    id.value(row).to_owned(),
                    (block.value(row), place.value(row)),
                );
            }
        }
    }
    Ok((places, hashes))
}

/// What the catalog says of the models, and which names it says are one model.
type Known = (BTreeMap<String, ModelFacts>, Vec<(String, String)>);

/// Returns what the snapshot's table of models says.
async fn facts(snapshot: &Snapshot) -> Result<Known, DatasetError> {
    let columns = [
        "model",
        "vendor",
        "family",
        "base",
        "released",
        "known_relations",
    ];
    let (mut facts, mut aliases) = (BTreeMap::new(), Vec::new());
    let mut rows = snapshot.rows(Table::Models, &columns);
    while let Some(batch) = rows.next().await? {
        let mut arrays = Vec::new();
        for name in columns {
            arrays.push(text(&batch, name, snapshot)?);
        }
        for row in 0..batch.num_rows() {
            let mut cells = arrays
                .iter()
                .map(|array| array.is_valid(row).then(|| array.value(row)));
            let mut next = || cells.next().flatten();
            let Some(model) = next() else { continue };
            let (vendor, family, base, released) = (next(), next(), next(), next());
            let relations: Vec<KnownRelation> = next()
                .and_then(|json| serde_json::from_str(json).ok())
                .unwrap_or_default();
            let same = relations
                .iter()
                .filter(|r| r.kind == RelationKind::SameModel);
            aliases.extend(same.map(|relation| (model.to_owned(), relation.to.clone())));
            let known = facts_of([vendor, family, base, released], &relations);
            facts.insert(model.to_owned(), known);
        }
    }
    Ok((facts, aliases))
}

/// Returns what a row of the catalog means for who may be whose control.
fn facts_of(
    [vendor, family, base, released]: [Option<&str>; 4],
    relations: &[KnownRelation],
) -> ModelFacts {
    let mut facts = ModelFacts {
        vendor: vendor.map(str::to_owned),
        base: base.or(family).map(str::to_owned),
        released: released.and_then(Month::parse),
        kind: if base.is_some() {
            Kind::Student
        } else {
            Kind::Unknown
        },
        ..ModelFacts::default()
    };
    facts
        .groups
        .extend(family.map(|family| format!("family:{family}")));
    facts.parents.extend(base.map(str::to_owned));
    for relation in relations {
        let to = relation.to.clone();
        match relation.kind {
            RelationKind::FineTune => {
                facts.parents.insert(to);
                facts.kind = Kind::Student;
            }
            RelationKind::Merge | RelationKind::SameModel | RelationKind::Sibling => {
                facts.parents.insert(to);
            }
            RelationKind::Distillation => {
                facts.teachers.insert(to);
                facts.kind = Kind::Student;
            }
            RelationKind::Unrelated => {}
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(to: &str, kind: RelationKind) -> KnownRelation {
        KnownRelation {
            to: to.to_owned(),
            kind,
            confidence: "documented".to_owned(),
            source: "a test".to_owned(),
        }
    }

    #[test]
    fn relations_become_ties_and_teachers() {
        let facts = facts_of(
            [Some("v"), Some("f"), Some("b"), Some("2024-05")],
            &[
                relation("t", RelationKind::Distillation),
                relation("m", RelationKind::Merge),
                relation("u", RelationKind::Unrelated),
            ],
        );
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(facts.parents, set(&["b", "m"]));
        assert_eq!(facts.teachers, set(&["t"]));
        assert_eq!(facts.groups, set(&["family:f"]));
        assert_eq!(facts.released, Month::parse("2024-05"));
        assert_eq!(facts.kind, Kind::Student);
        assert_eq!(facts_of([None; 4], &[]), ModelFacts::default());
    }
}
