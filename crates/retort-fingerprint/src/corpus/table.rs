//! Replies in plain Parquet tables, as others publish them.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array as _, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use retort_types::{Mode, Outcome};
use xxhash_rust::xxh3::xxh3_64;

use super::load::{REPLIES_MAX, Selection};
use super::{Prompt, RawReply};

/// Rows that are decoded at once: answers can be long.
const BATCH_ROWS: usize = 1_024;

/// The suite of prompts whose table names none.
const SUITE: &str = "prompts";

/// Columns by what they are, the preferred name first.
const MODEL: &[&str] = &["model"];
const PROMPT: &[&str] = &["prompt_index", "prompt_id"];
const QUESTION: &[&str] = &["instruction", "prompt"];
const OUTPUT: &[&str] = &["output", "response_text"];
const DRAW: &[&str] = &["repeat", "sample_index", "replication"];
const OTHERS: [&str; 7] = [
    "suite",
    "arm",
    "outcome",
    "reasoning_text",
    "input_tokens",
    "output_tokens",
    "round",
];

/// Adds the replies of a file.
pub(super) fn read(
    path: &Path,
    selection: &Selection,
    into: &mut Vec<RawReply>,
) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    let known = |name: &str| {
        [MODEL, PROMPT, QUESTION, OUTPUT, DRAW]
            .iter()
            .any(|names| names.contains(&name))
            || OTHERS.contains(&name)
    };
    let fields = builder.schema().fields().iter().enumerate();
    let wanted: Vec<usize> = fields
        .filter(|(_, field)| known(field.name()))
        .map(|(at, _)| at)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    for batch in batches.build().map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        add(&batch, selection, into)?;
        if into.len() > REPLIES_MAX {
            return Ok(());
        }
    }
    Ok(())
}

fn texts(batch: &RecordBatch, names: &[&str]) -> Option<StringArray> {
    let column = names.iter().find_map(|name| batch.column_by_name(name))?;
    Some(
        cast(column, &DataType::Utf8)
            .ok()?
            .as_string_opt::<i32>()?
            .clone(),
    )
}

fn numbers(batch: &RecordBatch, names: &[&str]) -> Option<Int64Array> {
    let column = names.iter().find_map(|name| batch.column_by_name(name))?;
    let cast = cast(column, &DataType::Int64).ok()?;
    Some(cast.as_primitive_opt::<Int64Type>()?.clone())
}

fn add(batch: &RecordBatch, selection: &Selection, into: &mut Vec<RawReply>) -> Result<(), String> {
    let model = texts(batch, MODEL).ok_or("there is no column `model`")?;
    let answer = texts(batch, OUTPUT).ok_or("there is no column `output`")?;
    let (named, question) = (texts(batch, PROMPT), texts(batch, QUESTION));
    if named.is_none() && question.is_none() {
        return Err("there is no column `prompt_index`, `prompt_id` or `instruction`".to_owned());
    }
    let (suite, arm) = (texts(batch, &["suite"]), texts(batch, &["arm"]));
    let (outcome, reasoning) = (
        texts(batch, &["outcome"]),
        texts(batch, &["reasoning_text"]),
    );
    let (draw, round) = (numbers(batch, DRAW), numbers(batch, &["round"]));
    let (input, output) = (
        numbers(batch, &["input_tokens"]),
        numbers(batch, &["output_tokens"]),
    );
    for row in 0..batch.num_rows() {
        let text = |array: &Option<StringArray>| {
            let array = array.as_ref()?;
            array.is_valid(row).then(|| array.value(row).to_owned())
        };
        let number = |array: &Option<Int64Array>| {
            let array = array.as_ref()?;
            array.is_valid(row).then(|| array.value(row))
        };
        let suite = text(&suite).unwrap_or_else(|| SUITE.to_owned());
        if !model.is_valid(row) || !selection.takes(&suite, model.value(row)) {
            continue;
        }
        let id = text(&named)
            .or_else(|| text(&question).map(|q| format!("{:016x}", xxh3_64(q.as_bytes()))))
            .ok_or("a row names no prompt")?;
        let outcome = match text(&outcome) {
            Some(word) => word.parse::<Outcome>().map_err(|error| error.to_string())?,
            None => Outcome::Answered,
        };
        let order = |of: Option<i64>| of.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let count = |of: Option<i64>| of.and_then(|n| u64::try_from(n).ok());
        into.push(RawReply {
            model: model.value(row).to_owned(),
            prompt: Prompt {
                suite,
                id,
                arm: text(&arm).unwrap_or_default(),
                mode: Mode::Chat,
            },
            order: (order(number(&round)), order(number(&draw))),
            outcome,
            text: if answer.is_valid(row) {
                answer.value(row).to_owned()
            } else {
                String::new()
            },
            reasoning: text(&reasoning).filter(|text| !text.is_empty()),
            input_tokens: count(number(&input)),
            output_tokens: count(number(&output)),
            row: String::new(),
        });
    }
    Ok(())
}
