//! The ledger against a simple model, and rebuilt from segments.

use std::collections::BTreeMap;

use proptest::prelude::*;
use retort_types::{AttemptRecord, Digest};

use super::*;
use crate::schema::Table;
use crate::segment::{SegmentName, encode};
use crate::testing::{START, answer, attempt, campaign_id, local_store, plan_hash};
use crate::{DatasetError, Store, rows};

#[derive(Debug, Clone)]
enum Step {
    Record(u64, Outcome),
    Forget,
}

fn steps(total: u64) -> impl Strategy<Value = Vec<Step>> {
    let outcome = proptest::sample::select(Outcome::ALL);
    let record = (0..total + 3, outcome).prop_map(|(index, outcome)| Step::Record(index, outcome));
    let step = prop_oneof![20 => record, 1 => Just(Step::Forget)];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn a_ledger_is_a_map_of_endings(
        (total, steps) in (1_u64..100).prop_flat_map(|total| (Just(total), steps(total))),
    ) {
        let mut ledger = Ledger::new(total);
        let mut model: BTreeMap<u64, bool> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Record(index, outcome) => {
                    let is_new = index < total && !model.contains_key(&index);
                    prop_assert_eq!(ledger.record(index, outcome), is_new);
                    if index < total {
                        let missing = model.entry(index).or_insert(true);
                        *missing &= outcome.is_missing();
                    }
                }
                Step::Forget => {
                    let missing = model.values().filter(|missing| **missing).count();
                    prop_assert_eq!(ledger.forget_missing(), missing as u64);
                    model.retain(|_, missing| !*missing);
                }
            }
        }
        prop_assert_eq!(ledger.done_count(), model.len() as u64);
        let missing = model.values().filter(|missing| **missing).count();
        prop_assert_eq!(ledger.missing_count(), missing as u64);
        prop_assert_eq!(ledger.open_count(), total - model.len() as u64);
        for index in 0..total + 3 {
            prop_assert_eq!(ledger.is_done(index), model.contains_key(&index));
            prop_assert_eq!(ledger.is_missing(index), model.get(&index) == Some(&true));
            let first = (index..total).find(|i| !model.contains_key(i));
            prop_assert_eq!(ledger.first_open_from(index), first);
        }
    }
}

async fn put(store: &Store, number: u128, records: &[AttemptRecord], plan: Digest) -> String {
    let id = uuid::Uuid::from_u128(number);
    let at = retort_types::Timestamp::from_micros(START);
    let path = SegmentName::new(&campaign_id(), "w", at, id).path(Table::Responses);
    let batch = rows::responses(records).expect("rows");
    let file = encode(Table::Responses, &batch, &campaign_id(), plan).expect("a file");
    store.put(&path, file.bytes).await.expect("a stored file");
    path
}

async fn rebuilt(store: &Store, total: u64) -> Result<(Ledger, Vec<LedgerRow>), DatasetError> {
    let mut rows = Vec::new();
    let mut on_row = |row: &LedgerRow| rows.push(*row);
    let ledger = rebuild(store, &campaign_id(), plan_hash(), total, &mut on_row).await?;
    Ok((ledger, rows))
}

#[tokio::test]
async fn it_is_rebuilt_from_segments_in_any_order() {
    let missing = attempt(1, 4, Outcome::GaveUp);
    let measured = answer(1, "late");
    for (first, second) in [(&missing, &measured), (&measured, &missing)] {
        let (_dir, store) = local_store();
        assert_eq!(rebuilt(&store, 4).await.unwrap().0, Ledger::new(4));
        put(&store, 1, &[answer(0, "x"), first.clone()], plan_hash()).await;
        put(&store, 2, &[second.clone(), answer(0, "x")], plan_hash()).await;
        let (ledger, rows) = rebuilt(&store, 4).await.unwrap();
        assert_eq!((ledger.done_count(), ledger.missing_count()), (2, 0));
        assert_eq!(ledger.first_open_from(0), Some(2));
        let told: Vec<_> = rows.iter().map(|row| (row.index, row.outcome)).collect();
        assert_eq!(told, [(0, Outcome::Answered), (1, Outcome::Answered)]);
        assert_eq!(rows[1].attempts, 1);
        assert_eq!(rows[0].cost_usd, Some(0.25));
        assert_eq!(
            (rows[0].input_tokens, rows[0].output_tokens),
            (Some(3), Some(5))
        );
    }
}

#[tokio::test]
async fn rows_of_another_plan_are_refused_by_name() {
    let (_dir, store) = local_store();
    let mut record = answer(0, "x");
    std::sync::Arc::make_mut(&mut record.sample).plan_hash = Digest::of(b"another plan");
    let path = put(&store, 1, &[record], plan_hash()).await;
    let error = rebuilt(&store, 4).await.unwrap_err();
    assert!(matches!(error, DatasetError::OtherPlan { .. }), "{error}");
    assert!(error.to_string().contains(&path), "{error}");
}

#[tokio::test]
async fn a_row_outside_the_plan_and_a_broken_file_are_refused_by_name() {
    let (_dir, store) = local_store();
    let path = put(&store, 1, &[answer(4, "x")], plan_hash()).await;
    let error = rebuilt(&store, 4).await.unwrap_err().to_string();
    assert!(
        error.contains(&path) && error.contains("sample 4"),
        "{error}"
    );
    store.put(&path, "PAR1 no".into()).await.unwrap();
    let error = rebuilt(&store, 4).await.unwrap_err().to_string();
    assert!(error.contains(&path), "{error}");
}
