//! Every column through Parquet and back.

use std::fmt::Write as _;
use std::sync::Arc;

use retort_types::Outcome;

use super::*;
use crate::segment::{Source, encode, read};
use crate::testing::{answer, attempt, campaign_id, cell, full, plan_hash, seal_input};

fn print(batch: &RecordBatch, row: usize) -> String {
    let mut text = String::new();
    for field in batch.schema().fields() {
        let value = cell(batch, field.name(), row);
        writeln!(text, "{}: {value}", field.name()).expect("a string takes any text");
    }
    text
}

fn round_trip(table: Table, batch: &RecordBatch) -> RecordBatch {
    let file = encode(table, batch, &campaign_id(), plan_hash()).expect("a file");
    let source = Source::Bytes(file.bytes);
    let batches: Result<Vec<_>, _> = read(source, "test", table, &[])
        .expect("a reader")
        .collect();
    let batches = batches.expect("batches");
    arrow::compute::concat_batches(&table.schema(), &batches).expect("one batch")
}

fn nulls(batch: &RecordBatch, row: usize) -> Vec<String> {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    fields
        .filter(|(_, column)| column.is_null(row))
        .map(|(field, _)| field.name().clone())
        .collect()
}

fn nullable(table: Table) -> Vec<String> {
    let columns = table.columns().iter().filter(|column| column.nullable);
    columns.map(|column| column.name.to_owned()).collect()
}

/// Returns the columns that a crawl may leave null; an import may leave out more.
fn nullable_in_crawls(table: Table) -> Vec<String> {
    let mut columns = nullable(table);
    columns.retain(|column| !imported::is_always_crawled(column));
    columns
}

#[test]
fn imports_leave_out_what_only_a_crawl_knows() {
    let mut record = attempt(0, 1, Outcome::GaveUp);
    record.timing.finished_at = retort_types::Timestamp::default();
    Arc::make_mut(&mut record.asked).request_params = String::new();
    for (table, batch) in [
        (Table::Responses, responses(std::slice::from_ref(&record))),
        (Table::Attempts, attempts(std::slice::from_ref(&record))),
    ] {
        let batch = as_imported(&batch.unwrap()).unwrap();
        let mut expected = nullable(table);
        expected.retain(|column| column != "final_outcome");
        assert_eq!(nulls(&batch, 0), expected, "{table}");
        assert_eq!(round_trip(table, &batch), batch);
    }
    let batch = as_imported(&responses(&[full()]).unwrap()).unwrap();
    assert_eq!(cell(&batch, "origin", 0), "import");
    assert_ne!(cell(&batch, "finished_at", 0), "null");
}

#[test]
fn every_column_of_responses_survives() {
    let records = [full(), attempt(0, 0, Outcome::NotAsked)];
    let batch = responses(&records).unwrap();
    assert_eq!(round_trip(Table::Responses, &batch), batch);
    assert_eq!(nulls(&batch, 0), Vec::<String>::new());
    assert_eq!(nulls(&batch, 1), nullable_in_crawls(Table::Responses));
    insta::assert_snapshot!(print(&batch, 0));
}

#[test]
fn every_column_of_attempts_survives() {
    let mut retried = attempt(1, 1, Outcome::RateLimited);
    retried.final_outcome = None;
    let batch = attempts(&[full(), retried, attempt(0, 0, Outcome::NotAsked)]).unwrap();
    assert_eq!(batch.num_rows(), 2, "what was never asked is no attempt");
    assert_eq!(round_trip(Table::Attempts, &batch), batch);
    assert_eq!(nulls(&batch, 0), Vec::<String>::new());
    assert_eq!(nulls(&batch, 1), nullable_in_crawls(Table::Attempts));
    insta::assert_snapshot!(print(&batch, 0));
}

#[test]
fn every_column_of_tokens_survives() {
    let mut record = full();
    record.reply.tokens.push(TokenLogprob::default());
    let mut retried = record.clone();
    retried.final_outcome = None;
    let batch = tokens(&[retried, record]).unwrap();
    assert_eq!(
        batch.num_rows(),
        2,
        "only attempts that end a sample have tokens"
    );
    assert_eq!(round_trip(Table::Tokens, &batch), batch);
    assert_eq!(nulls(&batch, 0), Vec::<String>::new());
    assert_eq!(nulls(&batch, 1), nullable(Table::Tokens));
    insta::assert_snapshot!(print(&batch, 0));
}

#[test]
fn prompts_and_models_survive_sorted() {
    let mut input = seal_input(33);
    input.models.reverse();
    let batch = prompts(&input.prompts).unwrap();
    assert_eq!(round_trip(Table::Prompts, &batch), batch);
    assert_eq!(cell(&batch, "prompt_id", 2), "q10");
    let batch = models(&input.models).unwrap();
    assert_eq!(round_trip(Table::Models, &batch), batch);
    assert_eq!(cell(&batch, "model", 0), "gamma");
    assert_eq!(cell(&batch, "known_relations", 0), "[]");
}

#[test]
fn what_is_not_a_chat_has_no_system_message() {
    let mut record = answer(0, "x");
    let sample = Arc::make_mut(&mut record.sample);
    sample.system = Some("system".into());
    sample.input = std::sync::Arc::new(retort_types::PromptInput::Text("Once".to_owned()));
    let batch = responses(&[record]).unwrap();
    assert_eq!(cell(&batch, "messages", 0), "[{role: text, content: Once}]");
    assert_eq!(cell(&batch, "mode", 0), "completion");
}

#[test]
fn odd_texts_survive() {
    let huge = "ü".repeat(2 << 20);
    let texts = [
        "",
        "\0",
        "a\0b",
        "\u{feff}",
        "👩\u{200d}👧 \u{202e}",
        "\r\n\t",
        &huge,
    ];
    let records: Vec<_> = texts
        .iter()
        .zip(0..)
        .map(|(text, n)| answer(n, text))
        .collect();
    let batch = round_trip(Table::Responses, &responses(&records).unwrap());
    for (row, text) in texts.iter().enumerate() {
        assert_eq!(cell(&batch, "response_text", row), *text);
    }
}

#[test]
fn nothing_makes_empty_tables() {
    let none: [AttemptRecord; 0] = [];
    assert_eq!(responses(&none).unwrap().num_rows(), 0);
    assert_eq!(attempts(&none).unwrap().num_rows(), 0);
    let batch = tokens(&none).unwrap();
    assert_eq!(round_trip(Table::Tokens, &batch), batch);
}
