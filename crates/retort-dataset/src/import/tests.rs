//! Collections in every form, wrong rows, and the same files again.

use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use retort_types::Outcome;

use super::*;
use crate::schema::Table;
use crate::snapshot::Snapshot;
use crate::testing::{cell, contents, local_store};

fn input(replies: &[&Path]) -> ImportInput {
    ImportInput {
        campaign: CampaignId::new("imported").unwrap(),
        name: None,
        purpose: "A test.".to_owned(),
        suite: SuiteName::new("imported").unwrap(),
        replies: replies.iter().map(|path| path.to_path_buf()).collect(),
        requests: Vec::new(),
        model: None,
        columns: FieldColumns::default(),
    }
}

async fn run(store: &Store, input: ImportInput) -> Result<Sealed, ImportError> {
    import(store, input, &|_| {}).await
}

/// Returns these columns of a table, a line per row.
async fn rows(store: &Store, sealed: &Sealed, table: Table, columns: &[&str]) -> Vec<String> {
    let snapshot = Snapshot::open(store, &sealed.path).await.unwrap();
    snapshot.verify().await.unwrap();
    let batches = snapshot.rows(table, columns).collect().await.unwrap();
    let mut lines = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|name| cell(batch, name, row)).collect();
            lines.push(cells.join(" | ").replace('\0', "[NUL]"));
        }
    }
    lines
}

const PLAIN: &str = r#"{"model": "a/b", "prompt": "Say \"hi\",\nplease.", "response": "hi"}
{"model": "a/b", "prompt": "Say \"hi\",\nplease.", "response": ""}

{"model": "GPT 4 (new)", "prompt": "Say \"hi\",\nplease.", "response": "你好 \u0000", "finish_reason": "length", "output_tokens": 3}
{"model": "a/b", "prompt": "Other", "response": "مرحبا"}
"#;

const SHOWN: &[&str] = &[
    "model",
    "request_model",
    "prompt_id",
    "messages",
    "sample_index",
    "outcome",
    "response_text",
    "finish_reason",
    "output_tokens",
    "origin",
    "provider",
    "finished_at",
    "plan_index",
];

#[tokio::test]
async fn plain_replies_become_a_snapshot_that_says_what_it_does_not_know() {
    let (dir, store) = local_store();
    let file = dir.path().join("replies.jsonl");
    let lost = "{\"model\": \"a/b\", \"prompt\": \"Other\", \"response\": null}\n";
    std::fs::write(&file, format!("{PLAIN}{lost}")).unwrap();
    let sealed = run(&store, input(&[&file])).await.unwrap();
    assert_eq!((sealed.rows, sealed.existed), (5, false));
    insta::assert_snapshot!(
        rows(&store, &sealed, Table::Responses, SHOWN)
            .await
            .join("\n")
    );
    let attempts = [
        "model",
        "outcome",
        "final_outcome",
        "reason",
        "worker_id",
        "finished_at",
    ];
    insta::assert_snapshot!(
        "attempts",
        rows(&store, &sealed, Table::Attempts, &attempts)
            .await
            .join("\n")
    );
    let models = ["model", "request_model", "provider", "endpoint_host"];
    assert_eq!(
        rows(&store, &sealed, Table::Models, &models).await,
        [
            "GPT-4--new--10dcca04 | GPT 4 (new) | null | null",
            "a/b | a/b | null | null"
        ]
    );
    let snapshot = Snapshot::open(&store, &sealed.path).await.unwrap();
    let plan = snapshot.file("plan.json").await.unwrap();
    let plan: ImportDocument = serde_json::from_slice(&plan).unwrap();
    assert_eq!(
        (plan.schema.as_str(), plan.total),
        (ImportDocument::SCHEMA, 5)
    );
    assert_eq!(plan.replies[0].name, "replies.jsonl");
    let card = snapshot.file("README.md").await.unwrap();
    let card = std::str::from_utf8(&card).unwrap();
    assert!(card.contains("imported into Retort from files"), "{card}");
    assert!(!card.contains("collected with Retort"), "{card}");
}

#[tokio::test]
async fn the_same_files_are_the_same_snapshot_and_others_need_another_id() {
    let (dir, store) = local_store();
    let file = dir.path().join("replies.jsonl");
    // Enough for several segments.
    let lines: Vec<String> = (0..40)
        .map(|n| {
            format!(
                "{{\"model\": \"m{}\", \"prompt\": \"p{}\", \"response\": \"r{n}\"}}\n",
                n % 3,
                n % 5
            )
        })
        .collect();
    let lines = lines.concat();
    std::fs::write(&file, &lines).unwrap();
    let first = run(&store, input(&[&file])).await.unwrap();
    let before = contents(&store, "campaigns").await;
    let moved = dir.path().join("elsewhere");
    std::fs::create_dir(&moved).unwrap();
    let moved = moved.join("replies.jsonl");
    std::fs::copy(&file, &moved).unwrap();
    let again = run(&store, input(&[&moved])).await.unwrap();
    assert!(again.existed);
    assert_eq!(again.path, first.path);
    assert_eq!(contents(&store, "campaigns").await, before);

    std::fs::write(&file, lines.replace("r7", "r8")).unwrap();
    let error = run(&store, input(&[&file])).await.unwrap_err();
    assert!(matches!(error, ImportError::Taken(_)), "{error}");
    assert_eq!(contents(&store, "campaigns").await, before);
}

#[tokio::test]
async fn csv_and_parquet_say_the_same_as_json_lines() {
    let (dir, store) = local_store();
    let json = dir.path().join("replies.jsonl");
    std::fs::write(&json, PLAIN).unwrap();
    let csv = dir.path().join("replies.csv");
    std::fs::write(
        &csv,
        "\u{feff}model,prompt,response,finish_reason,output_tokens\r\n\
         a/b,\"Say \"\"hi\"\",\nplease.\",hi,,\r\n\
         a/b,\"Say \"\"hi\"\",\nplease.\",,,\r\n\
         GPT 4 (new),\"Say \"\"hi\"\",\nplease.\",你好 \u{0},length,3\r\n\
         a/b,Other,مرحبا,,\r\n",
    )
    .unwrap();
    let parquet = dir.path().join("replies.parquet");
    let say = "Say \"hi\",\nplease.";
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "generator",
            std::sync::Arc::new(StringArray::from(vec!["a/b", "a/b", "GPT 4 (new)", "a/b"])),
        ),
        (
            "instruction",
            std::sync::Arc::new(StringArray::from(vec![say, say, say, "Other"])),
        ),
        (
            "output",
            std::sync::Arc::new(StringArray::from(vec!["hi", "", "你好 \u{0}", "مرحبا"])),
        ),
        (
            "finish_reason",
            std::sync::Arc::new(StringArray::from(vec![None, None, Some("length"), None])),
        ),
        (
            "output_tokens",
            std::sync::Arc::new(UInt32Array::from(vec![None, None, Some(3), None])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(&parquet).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let mut told = Vec::new();
    for (id, path) in [("json", &json), ("csv", &csv), ("parquet", &parquet)] {
        let mut input = input(&[path]);
        input.campaign = CampaignId::new(id).unwrap();
        if id == "parquet" {
            let model = Some("generator".to_owned());
            input.columns.0.insert(Field::Model, model);
        }
        let sealed = run(&store, input).await.unwrap();
        told.push(rows(&store, &sealed, Table::Responses, SHOWN).await);
    }
    assert_eq!(told[0].len(), 4);
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
}

const REQUESTS: &str = r#"{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-x", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "temperature": 0.5, "max_completion_tokens": 9}}
{"custom_id": "2", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-x", "messages": [{"role": "user", "content": "No"}]}}
{"custom_id": "3", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-x", "messages": [{"role": "user", "content": [{"type": "text", "text": "part"}]}]}}
{"custom_id": "4", "method": "POST", "url": "/v1/completions", "body": {"model": "gpt-x", "prompt": "Once"}}
{"custom_id": "5", "method": "POST", "url": "/v1/responses", "body": {"model": "gpt-x", "input": "Why", "instructions": "Be kind."}}
"#;

const OUTPUT: &str = r#"{"id": "b1", "custom_id": "1", "response": {"status_code": 200, "request_id": "r1", "body": {"id": "c1", "object": "chat.completion", "created": 1795514400, "model": "gpt-x-2026", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello", "refusal": null}, "finish_reason": "stop", "logprobs": {"content": [{"token": "Hello", "logprob": -0.25, "bytes": [72, 101], "top_logprobs": [{"token": "Hi", "logprob": -0.125, "bytes": null}, {"token": "Hello", "logprob": -0.25, "bytes": [72]}]}]}}], "usage": {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5}}}, "error": null}
{"id": "b2", "custom_id": "2", "response": {"status_code": 200, "request_id": "r2", "body": {"id": "c2", "model": "gpt-x-2026", "choices": [{"message": {"role": "assistant", "content": null, "refusal": "I will not."}, "finish_reason": "stop"}]}}, "error": null}
{"id": "b3", "custom_id": "3", "response": {"status_code": 400, "request_id": "r3", "body": {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}}, "error": null}
{"id": "b4", "custom_id": "4", "response": null, "error": {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}}
{"id": "b5", "custom_id": "5", "response": {"status_code": 200, "request_id": "r5", "body": {"id": "resp_1", "object": "response", "created_at": 1795514401, "model": "gpt-x-2026", "status": "completed", "output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, {"type": "message", "content": [{"type": "output_text", "text": "Be"}, {"type": "output_text", "text": "cause"}]}], "usage": {"input_tokens": 2, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 5}}}}, "error": null}
"#;

const BATCH_SHOWN: &[&str] = &[
    "model",
    "served_model",
    "messages",
    "mode",
    "request_params",
    "temperature",
    "max_tokens",
    "outcome",
    "last_outcome",
    "reason",
    "response_text",
    "refusal_text",
    "reasoning_text",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "has_logprobs",
    "http_status",
    "provider_request_id",
    "error_code",
    "error_message",
    "finished_at",
    "attempts",
];

#[tokio::test]
async fn batches_keep_errors_refusals_and_log_probabilities() {
    let (dir, store) = local_store();
    let (output, requests) = (dir.path().join("out.jsonl"), dir.path().join("in.jsonl"));
    std::fs::write(&output, OUTPUT).unwrap();
    std::fs::write(&requests, REQUESTS).unwrap();
    let mut joined = input(&[&output]);
    joined.requests = vec![requests];
    let sealed = run(&store, joined).await.unwrap();
    assert_eq!(sealed.outcomes[&Outcome::NotAsked], 1);
    assert_eq!(sealed.outcomes[&Outcome::ContextLength], 1);
    insta::assert_snapshot!(
        rows(&store, &sealed, Table::Responses, BATCH_SHOWN)
            .await
            .join("\n\n")
    );
    let tokens = ["token", "logprob", "rank", "top_tokens", "top_logprobs"];
    assert_eq!(
        rows(&store, &sealed, Table::Tokens, &tokens).await,
        ["Hello | -0.25 | 2 | [Hi, Hello] | [-0.125, -0.25]"]
    );
    assert_eq!(
        rows(&store, &sealed, Table::Attempts, &["outcome"])
            .await
            .len(),
        4
    );

    let mut alone = input(&[&output]);
    alone.campaign = CampaignId::new("alone").unwrap();
    alone.model = Some("gpt-x".to_owned());
    let sealed = run(&store, alone).await.unwrap();
    let shown = ["prompt_id", "messages", "model", "outcome"];
    insta::assert_snapshot!(
        "without_requests",
        rows(&store, &sealed, Table::Responses, &shown)
            .await
            .join("\n")
    );
}

/// Returns files that are wrong, by name.
fn wrong_files() -> Vec<(&'static str, String)> {
    let good = "{\"model\": \"m\", \"prompt\": \"p\", \"response\": \"r\"}\n";
    vec![
        ("not_json.jsonl", format!("{good}{{\"model\"")),
        ("not_object.jsonl", format!("{good}[1]\n")),
        (
            "no_prompt.jsonl",
            format!("{good}{{\"model\": \"m\", \"response\": \"r\"}}\n"),
        ),
        (
            "null_prompt.jsonl",
            format!("{good}{{\"model\": \"m\", \"prompt\": null, \"response\": \"r\"}}\n"),
        ),
        (
            "no_model.jsonl",
            format!("{good}{{\"prompt\": \"p\", \"response\": \"r\"}}\n"),
        ),
        (
            "bad_number.jsonl",
            good.replace('}', ", \"sample_index\": -1}"),
        ),
        (
            "bad_outcome.jsonl",
            good.replace('}', ", \"outcome\": \"cut\"}"),
        ),
        (
            "twice.jsonl",
            good.replace('}', ", \"sample_index\": 4}").repeat(2),
        ),
        (
            "bad_messages.jsonl",
            good.replace("\"prompt\": \"p\"", "\"messages\": [{\"role\": 1}]"),
        ),
        (
            "other_text.jsonl",
            format!(
                "{}{}",
                good.replace('}', ", \"prompt_id\": \"x\"}"),
                good.replace("\"p\"", "\"q\"")
                    .replace('}', ", \"prompt_id\": \"x\"}")
            ),
        ),
        ("empty.jsonl", "\n\n".to_owned()),
        (
            "no_column.csv",
            "model,question,response\nm,p,r\n".to_owned(),
        ),
        (
            "short_row.csv",
            "model,prompt,response\nm,p,r\nm,p\n".to_owned(),
        ),
        ("not.parquet", "PAR1 but not really".to_owned()),
        ("what.xlsx", String::new()),
        (
            "half_batch.jsonl",
            "{\"custom_id\": \"1\", \"response\": null, \"error\": null}\n".to_owned(),
        ),
        (
            "no_batch_model.jsonl",
            "{\"custom_id\": \"1\", \"response\": null, \"error\": {\"code\": \"x\"}}\n".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn a_wrong_row_is_named_and_leaves_nothing_behind() {
    let mut told = Vec::new();
    for (name, text) in wrong_files() {
        let (dir, store) = local_store();
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let error = run(&store, input(&[&file])).await.expect_err(name);
        assert_eq!(store.list("campaigns").await.unwrap(), [""; 0], "{name}");
        let folder = dir.path().display().to_string();
        let hint = error.hint().map(|hint| format!("\n  hint: {hint}"));
        told.push(format!("{error}{}", hint.unwrap_or_default()).replace(&folder, ""));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_line_without_an_end_is_refused_before_it_fills_memory() {
    let (dir, store) = local_store();
    let file = dir.path().join("long.jsonl");
    let long = std::fs::File::create(&file).unwrap();
    // Sparse: takes no room, reads as zeros.
    long.set_len(lines::ROW_BYTES_MAX * 4).unwrap();
    let error = run(&store, input(&[&file])).await.unwrap_err().to_string();
    assert!(error.contains("line 1: it is longer than"), "{error}");
    let csv = dir.path().join("long.csv");
    std::fs::rename(&file, &csv).unwrap();
    let error = run(&store, input(&[&csv])).await.unwrap_err();
    assert!(matches!(error, ImportError::File { .. }), "{error}");
}
