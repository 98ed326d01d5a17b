//! Snapshots of every released format stay readable, and the format does not change unnoticed.
//!
//! `golden/v<N>` is a snapshot of table version N. A change of the schema makes version N + 1: a
//! new folder, written by `UPDATE_GOLDEN=1 cargo test -p retort-dataset --test it`, beside the old.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use retort_dataset::schema::{Table, VERSION};
use retort_dataset::segment::{SegmentName, encode};
use retort_dataset::snapshot::{Search, Snapshot};
use retort_dataset::{ModelRow, Origin, SealInput, ServedBy, Store, rows, seal};
use retort_types::{AttemptRecord, Campaign, Digest, Prompt, PromptInput, Timestamp};
use serde_json::{Value, json};

use crate::{asks_for, here};

const TEXT: &str = "four: 你好, مرحبا, \"quoted\",\nnew line";

fn folder(version: &str) -> std::path::PathBuf {
    here("tests/golden").join(format!("v{version}"))
}

/// Returns two records: an answer in which most is there, and a sample that was never asked.
fn records() -> Vec<AttemptRecord> {
    let input = json!({ "messages": [{ "role": "user", "content": "How much is two and two?" }] });
    let prompt: PromptInput = serde_json::from_value(input.clone()).unwrap();
    let sample = |index: u64, model: &str| {
        json!({
            "sample_id": format!("{index:032x}"), "campaign": "golden", "plan_hash": plan_hash(),
            "index": index, "block_id": 0, "order_in_block": index, "round": 0, "model": model,
            "endpoint": Digest::of(b"endpoint"), "domain": "domain", "suite": "sums",
            "prompt_id": "two-and-two", "prompt_digest": prompt.digest(), "input": input,
            "arm": "default", "arm_digest": Digest::of(b"arm"), "sample_index": 0,
            "params": { "temperature": 0.5, "logprobs": 1 },
        })
    };
    let asked = json!({
        "provider": "provider", "account": "account", "request_model": "alpha-1",
        "endpoint_host": "localhost", "wire_protocol": "openai-chat", "streamed": false,
        "request_params": "{\"temperature\":0.5}",
    });
    let answered = json!({
        "sample": sample(0, "org/alpha"), "attempt_id": "01900000-0000-7000-8000-000000000001",
        "attempt_no": 1, "outcome": "answered", "final_outcome": "answered", "asked": asked,
        "timing": { "sent_at": "2026-11-24T10:00:00Z", "finished_at": "2026-11-24T10:00:01.5Z", "latency_ms": 1500.0 },
        "http": { "status": 200, "version": "HTTP/1.1", "headers": [["server", "mock"]] },
        "reply": {
            "text": TEXT, "finish_reason": "stop", "finish_reason_raw": "stop",
            "usage": { "input_tokens": 7, "output_tokens": 2 }, "served_model": "alpha-1-2026",
            "tokens": [{ "token": "four", "bytes": [102], "logprob": -0.25, "rank": 1, "top": [{ "token": "four", "logprob": -0.25 }] }],
        },
        "stream_end": "complete", "worker_id": "worker", "software_version": "retort/0.1.0",
    });
    let not_asked = json!({
        "sample": sample(1, "beta"), "attempt_id": "01900000-0000-7000-8000-000000000002",
        "attempt_no": 0, "outcome": "not_asked", "final_outcome": "not_asked", "reason": "budget",
        "asked": asked, "timing": { "finished_at": "2026-11-24T10:00:02Z" },
        "worker_id": "worker", "software_version": "retort/0.1.0",
    });
    [answered, not_asked]
        .map(|record| serde_json::from_value(record).unwrap())
        .into()
}

fn plan_hash() -> Digest {
    Digest::of(b"{}")
}

fn seal_input(records: &[AttemptRecord]) -> SealInput {
    let campaign: Campaign = serde_json::from_value(json!({
        "id": "golden", "purpose": "A snapshot that must stay readable.",
        "models": ["org/alpha", "beta"], "suites": [{ "suite": "sums" }],
    }))
    .unwrap();
    let sample = &records[0].sample;
    let model = |name: &str| ModelRow {
        name: name.parse().unwrap(),
        request_model: "alpha-1".to_owned(),
        served: Some(ServedBy {
            provider: "provider".parse().unwrap(),
            terms: None,
            account: "account".parse().unwrap(),
            domain: "domain".parse().unwrap(),
            wire: retort_types::WireProtocol::OpenaiChat,
            host: "localhost".to_owned(),
        }),
        vendor: Some("vendor".to_owned()),
        family: None,
        base: None,
        tokenizer: None,
        released: Some("2026-01".to_owned()),
        known_relations: Vec::new(),
        price: None,
    };
    SealInput {
        campaign,
        plan_hash: plan_hash(),
        plan_document: b"{}".to_vec(),
        total: 2,
        prompts: vec![Prompt {
            suite: sample.suite.clone(),
            id: sample.prompt_id.clone(),
            digest: sample.prompt_digest,
            input: Arc::clone(&sample.input),
        }],
        models: ["org/alpha", "beta"].map(model).into(),
        origin: Origin::Crawl,
    }
}

async fn write(folder: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap()).unwrap();
    let records = records();
    let campaign = &records[0].sample.campaign;
    let at: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
    let name = SegmentName::new(campaign, "worker", at, uuid::Uuid::from_u128(1));
    for (table, batch) in [
        (Table::Tokens, rows::tokens(&records)),
        (Table::Attempts, rows::attempts(&records)),
        (Table::Responses, rows::responses(&records)),
    ] {
        let file = encode(table, &batch.unwrap(), campaign, plan_hash()).unwrap();
        store.put(&name.path(table), file.bytes).await.unwrap();
    }
    let sealed = seal(&store, &seal_input(&records), &|_| {}).await.unwrap();
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    copy(&dir.path().join(sealed.path), folder);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Returns what a version of the schema must not change: names, types, nulls, units, attributes.
fn shape(schema: &Schema) -> Vec<String> {
    let field = |field: &arrow::datatypes::FieldRef| {
        let (unit, otel) = (field.metadata().get("unit"), field.metadata().get("otel"));
        let (name, data_type, null) = (field.name(), field.data_type(), field.is_nullable());
        format!("{name} {data_type} {null} {unit:?} {otel:?}")
    };
    schema.fields().iter().map(field).collect()
}

#[tokio::test]
async fn the_schema_is_that_of_its_golden_snapshot() {
    let folder = folder(VERSION);
    if asks_for("UPDATE_GOLDEN") {
        write(&folder).await;
    }
    let snapshot = Snapshot::open_folder(&folder).await.unwrap();
    let mut seen = 0;
    for file in &snapshot.manifest.files {
        let of = |table: &Table| file.path.starts_with(&format!("{table}/"));
        let Some(table) = Table::ALL.into_iter().find(of) else {
            continue;
        };
        let bytes = snapshot.file(&file.path).await.unwrap();
        let there = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        assert_eq!(
            shape(&table.schema()),
            shape(there.schema()),
            "{table}: the schema changed; make a new version of it, and a golden snapshot"
        );
        seen += 1;
    }
    assert_eq!(seen, 6, "two models have responses, one has tokens");
}

#[tokio::test]
async fn every_released_snapshot_stays_readable() {
    let mut versions = 0;
    for entry in std::fs::read_dir(here("tests/golden")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        versions += 1;
        let snapshot = Snapshot::open_folder(&folder).await.unwrap();
        snapshot.verify().await.unwrap();
        assert_eq!(snapshot.manifest.samples, 2);
        let mut counts = Vec::new();
        for table in Table::ALL {
            let batches = snapshot.rows(table, &[]).collect().await.unwrap();
            counts.push(
                batches
                    .iter()
                    .map(arrow::array::RecordBatch::num_rows)
                    .sum::<usize>(),
            );
        }
        assert_eq!(counts, [2, 1, 1, 1, 2], "{}", folder.display());
        let id = "00000000000000000000000000000000";
        let Search::Found(found) = snapshot.find(id).await.unwrap() else {
            panic!("{} has lost a sample", folder.display());
        };
        let row = &found.responses[0].values;
        assert_eq!(row["response_text"], Value::from(TEXT));
        assert_eq!(row["outcome"], "answered");
    }
    assert!(versions >= 1);
}
