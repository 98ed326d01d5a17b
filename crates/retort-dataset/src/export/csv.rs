//! Responses as CSV.

use std::io::Write;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::array_value_to_string;
use csv::{Terminator, Writer, WriterBuilder};
use retort_types::Timestamp;
use serde_json::{Value, json};

use super::ExportError;
use crate::DatasetError;
use crate::schema::{Kind, RESPONSES};

/// Writes the heading: the columns of the schema.
pub(super) fn begin<W: Write>(out: W) -> Result<Writer<W>, ExportError> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(out);
    let heading = RESPONSES.iter().map(|column| column.name);
    writer.write_record(heading).map_err(failed)?;
    Ok(writer)
}

/// Writes the rows of a batch. An absent value and an empty text are both empty cells.
pub(super) fn write<W: Write>(
    batch: &RecordBatch,
    path: &str,
    writer: &mut Writer<W>,
) -> Result<(), ExportError> {
    for row in 0..batch.num_rows() {
        for (column, kind) in batch.columns().iter().zip(RESPONSES) {
            let text = if column.is_null(row) {
                String::new()
            } else {
                cell(column, kind.kind, row)
                    .ok_or_else(|| DatasetError::damaged(path, format!("`{}`", kind.name)))?
            };
            writer.write_field(text).map_err(failed)?;
        }
        writer.write_record(None::<&[u8]>).map_err(failed)?;
    }
    Ok(())
}

fn cell(column: &dyn Array, kind: Kind, row: usize) -> Option<String> {
    match kind {
        Kind::Text => Some(column.as_string_opt::<i32>()?.value(row).to_owned()),
        Kind::Time => {
            let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some(Timestamp::from_micros(times.value(row)).to_string())
        }
        Kind::Messages => pairs(column, ["role", "content"], row),
        Kind::Headers => pairs(column, ["name", "value"], row),
        Kind::F32List => {
            let list = column.as_list_opt::<i32>()?.value(row);
            let numbers = list.as_primitive_opt::<arrow::datatypes::Float32Type>()?;
            Some(
                numbers
                    .iter()
                    .map(|number| json!(number))
                    .collect::<Value>()
                    .to_string(),
            )
        }
        Kind::Boolean
        | Kind::U16
        | Kind::U32
        | Kind::U64
        | Kind::I64
        | Kind::F32
        | Kind::F64
        | Kind::Binary
        | Kind::TextList
        | Kind::BinaryList => array_value_to_string(column, row).ok(),
    }
}

fn pairs(column: &dyn Array, names: [&str; 2], row: usize) -> Option<String> {
    let list = column.as_list_opt::<i32>()?.value(row);
    Some(Value::Array(entries(&list, names)?).to_string())
}

/// Returns the structs of a list as JSON objects with these two texts.
pub(super) fn entries(list: &dyn Array, names: [&str; 2]) -> Option<Vec<Value>> {
    let list = list.as_struct_opt()?;
    let part = |name: &str| list.column_by_name(name)?.as_string_opt::<i32>();
    let [first, second] = names;
    let (ones, others) = (part(first)?, part(second)?);
    let both = ones.iter().zip(others.iter());
    Some(
        both.map(|(one, other)| json!({ first: one, second: other }))
            .collect(),
    )
}

fn failed(error: csv::Error) -> ExportError {
    ExportError::Write(error.into())
}
