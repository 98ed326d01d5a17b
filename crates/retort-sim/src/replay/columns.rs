//! Reading of recordings: Parquet columns into rows.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use retort_types::Message;

use super::{ROWS_MAX, Row};

/// Rows per batch: what is decoded at once.
const BATCH_ROWS: usize = 4_096;

/// Columns that are read when they are there; the rest of a file is left alone.
const COLUMNS: [&str; 9] = [
    "model",
    "messages",
    "prompt",
    "instruction",
    "response_text",
    "output",
    "sample_index",
    "repeat",
    "outcome",
];

/// Adds the answered rows of a file.
pub(super) fn read(path: &Path, rows: &mut Vec<Row>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let file = File::open(path).map_err(|e| text(&e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| text(&e))?;
    let schema = builder.parquet_schema();
    let mask = ProjectionMask::columns(schema, COLUMNS);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|e| text(&e))?;
    for batch in reader {
        let batch = batch.map_err(|e| text(&e))?;
        read_batch(&batch, rows)?;
        if rows.len() > ROWS_MAX {
            break;
        }
    }
    Ok(())
}

fn read_batch(batch: &RecordBatch, rows: &mut Vec<Row>) -> Result<(), String> {
    let models = texts(batch, &["model"])?.ok_or("column `model` is missing")?;
    let replies = texts(batch, &["response_text", "output"])?
        .ok_or("column `response_text` or `output` is missing")?;
    let prompts = prompts(batch)?;
    let outcomes = texts(batch, &["outcome"])?;
    let indexes = numbers(batch, &["sample_index", "repeat"])?;
    let columns = models.into_iter().zip(replies).zip(prompts).enumerate();
    for (at, ((model, reply), messages)) in columns {
        let outcome = outcomes
            .as_ref()
            .and_then(|outcomes| outcomes[at].as_deref());
        if outcomes.is_some() && outcome != Some("answered") {
            continue;
        }
        let Some(model) = model else {
            return Err("a row has no model".to_owned());
        };
        rows.push(Row {
            model,
            messages,
            reply: reply.unwrap_or_default(),
            sample_index: indexes.as_ref().map_or(0, |indexes| indexes[at]),
        });
    }
    Ok(())
}

/// Returns the first of the columns that is there, as texts.
fn texts(batch: &RecordBatch, names: &[&str]) -> Result<Option<Vec<Option<String>>>, String> {
    let Some((name, column)) = first(batch, names) else {
        return Ok(None);
    };
    let column = cast(column, &DataType::Utf8).map_err(|_| format!("`{name}` is not text"))?;
    let column = column
        .as_string_opt::<i32>()
        .ok_or_else(|| format!("`{name}` is not text"))?;
    let owned = column.iter().map(|text| text.map(str::to_owned));
    Ok(Some(owned.collect()))
}

fn numbers(batch: &RecordBatch, names: &[&str]) -> Result<Option<Vec<u64>>, String> {
    let Some((name, column)) = first(batch, names) else {
        return Ok(None);
    };
    let bad = || format!("`{name}` is not a column of whole numbers");
    if !column.data_type().is_integer() {
        return Err(bad());
    }
    let column = cast(column, &DataType::UInt64).map_err(|_| bad())?;
    let column = column.as_primitive_opt::<UInt64Type>().ok_or_else(bad)?;
    Ok(Some(column.iter().map(Option::unwrap_or_default).collect()))
}

/// Returns the prompt of every row.
fn prompts(batch: &RecordBatch) -> Result<Vec<Vec<Message>>, String> {
    if batch.column_by_name("messages").is_some() {
        return conversations(batch);
    }
    let texts = texts(batch, &["prompt", "instruction"])?
        .ok_or("column `messages`, `prompt` or `instruction` is missing")?;
    let message = |text: Option<String>| {
        let role = "user".to_owned();
        let content = text.unwrap_or_default();
        vec![Message { role, content }]
    };
    Ok(texts.into_iter().map(message).collect())
}

fn conversations(batch: &RecordBatch) -> Result<Vec<Vec<Message>>, String> {
    let bad = || "`messages` is not a list of `role` and `content`".to_owned();
    let (_, column) = first(batch, &["messages"]).ok_or_else(bad)?;
    let lists = column.as_list_opt::<i32>().ok_or_else(bad)?;
    let mut prompts = Vec::with_capacity(lists.len());
    for list in lists {
        let Some(list) = list else {
            return Err("a row has no messages".to_owned());
        };
        let entries = list.as_struct_opt().ok_or_else(bad)?;
        let column = |name: &str| {
            let column = entries.column_by_name(name).ok_or_else(bad)?;
            cast(column, &DataType::Utf8).map_err(|_| bad())
        };
        let (roles, contents) = (column("role")?, column("content")?);
        let roles = roles.as_string_opt::<i32>().ok_or_else(bad)?;
        let contents = contents.as_string_opt::<i32>().ok_or_else(bad)?;
        let pairs = roles.iter().zip(contents.iter());
        let message = |(role, content): (Option<&str>, Option<&str>)| Message {
            role: role.unwrap_or("user").to_owned(),
            content: content.unwrap_or("").to_owned(),
        };
        prompts.push(pairs.map(message).collect());
    }
    Ok(prompts)
}

fn first<'a>(
    batch: &'a RecordBatch,
    names: &[&'a str],
) -> Option<(&'a str, &'a arrow::array::ArrayRef)> {
    names
        .iter()
        .find_map(|name| Some((*name, batch.column_by_name(name)?)))
}
