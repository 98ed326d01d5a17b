//! What is exported can be read back, and exchanges go along when there are any.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use retort_types::{AttemptRecord, CampaignId, Outcome, SuiteName, Timestamp};

use super::*;
use crate::import::{FieldColumns, ImportInput, import};
use crate::seal::seal;
use crate::segment::{SegmentName, encode};
use crate::testing::{
    START, answer, attempt, campaign_id, cell, full, local_store, plan_hash, seal_input,
    with_tokens,
};
use crate::{Store, rows};

/// Seals `records`, whose attempts name `exchange`.
async fn sealed(store: &Store, records: &[AttemptRecord], exchange: Option<&str>) -> Snapshot {
    let id = uuid::Uuid::from_u128(1);
    let name = SegmentName::new(&campaign_id(), "w", Timestamp::from_micros(START), id);
    for table in [Table::Tokens, Table::Attempts, Table::Responses] {
        let batch = match table {
            Table::Tokens => rows::tokens(records),
            Table::Attempts => rows::attempts(records).map(|batch| naming(&batch, exchange)),
            Table::Responses | Table::Prompts | Table::Models => rows::responses(records),
        };
        let file = encode(table, &batch.unwrap(), &campaign_id(), plan_hash()).unwrap();
        store.put(&name.path(table), file.bytes).await.unwrap();
    }
    let total = u64::try_from(records.len()).unwrap();
    let sealed = seal(store, &seal_input(total), &|_| {}).await.unwrap();
    Snapshot::open(store, &sealed.path).await.unwrap()
}

fn naming(batch: &RecordBatch, exchange: Option<&str>) -> RecordBatch {
    let place = batch.schema().index_of("exchange_file").unwrap();
    let mut columns = batch.columns().to_vec();
    let names: ArrayRef = Arc::new(StringArray::from(vec![exchange; batch.num_rows()]));
    columns[place] = names;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// Samples that ended in every way there is.
fn records() -> Vec<AttemptRecord> {
    let ends = [
        (Outcome::Refused, Outcome::Refused, Some(200)),
        (Outcome::Filtered, Outcome::Filtered, Some(200)),
        (Outcome::InvalidRequest, Outcome::InvalidRequest, Some(400)),
        (Outcome::NotFound, Outcome::NotFound, Some(404)),
        (Outcome::Timeout, Outcome::GaveUp, None),
        (Outcome::ProviderError, Outcome::GaveUp, Some(500)),
        (Outcome::Cut, Outcome::GaveUp, Some(200)),
        (Outcome::NotAsked, Outcome::NotAsked, None),
    ];
    let mut records = vec![
        answer(0, "plain"),
        answer(1, ""),
        with_tokens(
            answer(2, "你好, \"quoted\",\r\nnew line \u{0}"),
            &["a", "b"],
        ),
    ];
    for ((outcome, end, status), index) in ends.into_iter().zip(3..) {
        let number = u32::from(outcome != Outcome::NotAsked);
        let mut record = attempt(index, number, outcome);
        record.final_outcome = Some(end);
        record.http.status = status;
        record.reason = (outcome == Outcome::NotAsked).then(|| "budget".to_owned());
        if outcome == Outcome::Cut {
            record.reply.text = Some("half an ans".to_owned());
        }
        records.push(record);
    }
    let mut everything = full();
    everything.sample = std::sync::Arc::new(crate::testing::sample(11));
    everything.attempt_no = 1;
    everything.exchange = None;
    records.push(everything);
    records
}

async fn text(snapshot: &Snapshot, what: Export) -> String {
    let mut out = Vec::new();
    let rows = export(snapshot, what, &mut out, &|_| {}).await.unwrap();
    assert_eq!(rows, snapshot.manifest.samples);
    String::from_utf8(out).unwrap()
}

/// Returns what must survive: by model and prompt, how it ended and with which texts.
async fn told(snapshot: &Snapshot, columns: &[&str]) -> BTreeMap<String, String> {
    let batches = snapshot.responses(&[]).collect().await.unwrap();
    let mut told = BTreeMap::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let of = |name: &&str| format!("{name}={}", cell(batch, name, row));
            let key = ["model", "suite", "prompt_id"]
                .map(|name| of(&name))
                .join(" ");
            let values: Vec<String> = columns.iter().map(of).collect();
            told.insert(key, values.join("\n"));
        }
    }
    told
}

const KEPT: &[&str] = &[
    "outcome",
    "last_outcome",
    "response_text",
    "refusal_text",
    "reasoning_text",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "served_model",
    "response_id",
    "system_fingerprint",
    "http_status",
    "provider_request_id",
];

async fn imported(
    store: &Store,
    dir: &std::path::Path,
    files: &[(&str, String)],
    requests: &[&str],
) -> Snapshot {
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let input = ImportInput {
        campaign: CampaignId::new("back").unwrap(),
        name: None,
        purpose: "A test.".to_owned(),
        suite: SuiteName::new("imported").unwrap(),
        replies: vec![dir.join(files[0].0)],
        requests: requests.iter().map(|name| dir.join(name)).collect(),
        model: None,
        columns: FieldColumns::default(),
    };
    let sealed = import(store, input, &|_| {}).await.unwrap();
    Snapshot::open(store, &sealed.path).await.unwrap()
}

#[tokio::test]
async fn batch_lines_come_back_as_the_same_rows() {
    let (dir, store) = local_store();
    let snapshot = sealed(&store, &records(), None).await;
    let output = text(&snapshot, Export::BatchOutput).await;
    let requests = text(&snapshot, Export::BatchInput).await;
    insta::assert_snapshot!("output", output);
    insta::assert_snapshot!("input", requests);
    let files = [("out.jsonl", output), ("in.jsonl", requests)];
    let back = imported(&store, dir.path(), &files, &["in.jsonl"]).await;
    assert_eq!(told(&back, KEPT).await, told(&snapshot, KEPT).await);
}

#[tokio::test]
async fn csv_comes_back_as_the_same_rows() {
    let (dir, store) = local_store();
    let snapshot = sealed(&store, &records(), None).await;
    let table = text(&snapshot, Export::Csv).await;
    assert!(table.starts_with("sample_id,attempt_id,"), "{table}");
    let back = imported(&store, dir.path(), &[("out.csv", table)], &[]).await;
    // CSV has one cell for an absent text and an empty one.
    let kept = [
        "outcome",
        "messages",
        "sample_index",
        "finish_reason",
        "output_tokens",
    ];
    assert_eq!(told(&back, &kept).await, told(&snapshot, &kept).await);
    let texts = |told: BTreeMap<String, String>| -> Vec<String> {
        told.into_values()
            .map(|text| text.replace("=null", "="))
            .collect()
    };
    let kept = [
        "response_text",
        "refusal_text",
        "reasoning_text",
        "finished_at",
    ];
    assert_eq!(
        texts(told(&back, &kept).await),
        texts(told(&snapshot, &kept).await)
    );
}

#[tokio::test]
async fn exchanges_go_along_or_it_is_said_why_not() {
    let (dir, store) = local_store();
    let to = dir.path().join("export");
    let none = sealed(&store, &records(), None).await;
    let error = copy_exchanges(&none, &to).await.unwrap_err();
    assert!(matches!(error, ExportError::NoExchanges), "{error}");

    let name = "exchanges/date=2026-11-24/w-1.warc.gz";
    let path = format!("campaigns/test/{name}");
    let (dir, store) = local_store();
    store.put(&path, "raw bytes".into()).await.unwrap();
    let snapshot = sealed(&store, &records(), Some(name)).await;
    let to = dir.path().join("export");
    let alone = Snapshot::open_folder(&dir.path().join(&snapshot.path))
        .await
        .unwrap();
    for snapshot in [&snapshot, &alone] {
        assert_eq!(copy_exchanges(snapshot, &to).await.unwrap(), [name]);
        assert_eq!(std::fs::read(to.join(name)).unwrap(), b"raw bytes");
    }
    let mut outside = snapshot.clone();
    outside.manifest.exchanges[0].path = "exchanges/../../../etc/x.warc.gz".to_owned();
    let error = copy_exchanges(&outside, &to).await.unwrap_err();
    assert!(matches!(error, ExportError::BadExchange(file) if file.contains("..")));
    store.put(&path, "other bytes".into()).await.unwrap();
    let error = copy_exchanges(&snapshot, &to).await.unwrap_err();
    assert!(matches!(error, ExportError::BadExchange(file) if file == name));
    store.delete(&path).await.unwrap();
    for snapshot in [&snapshot, &alone] {
        let error = copy_exchanges(snapshot, &to).await.unwrap_err();
        assert!(matches!(error, ExportError::MissingExchange(file) if file == name));
    }
}
