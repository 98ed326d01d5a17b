//! Rows of CSV and Parquet files.

use std::cell::Cell as Counter;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use retort_types::Timestamp;
use serde_json::{Value, json};

use super::ImportInput;
use super::cells::{Cell, Cells, Field};
use super::error::{ImportError, Place, Position};
use super::lines::{ROW_BYTES_MAX, failed, open};
use super::row::Sink;

/// Rows of a Parquet file that are decoded at once.
const BATCH_ROWS: usize = 1_024;

/// Hands on the rows of a CSV file with a heading (RFC 4180).
pub(super) fn csv(
    path: &Path,
    name: &str,
    input: &ImportInput,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let left = Rc::new(Counter::new(ROW_BYTES_MAX));
    let capped = Capped {
        inner: open(path, name)?,
        left: Rc::clone(&left),
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(capped);
    let whole = Position {
        file: name,
        place: Place::File,
    };
    let heading = reader
        .headers()
        .map_err(|error| csv_error(whole, error))?
        .clone();
    let there: Vec<&str> = heading
        .iter()
        .map(|column| column.trim_start_matches('\u{feff}'))
        .collect();
    let chosen = input
        .columns
        .choose(whole, &there, input.model.as_deref())?;
    let mut record = csv::StringRecord::new();
    let mut number = 0;
    loop {
        left.set(ROW_BYTES_MAX);
        number += 1;
        let position = Position {
            file: name,
            place: Place::Row(number),
        };
        let more = reader.read_record(&mut record);
        if !more.map_err(|error| csv_error(position, error))? {
            return Ok(());
        }
        let mut cells = Cells::default();
        for &(field, column) in &chosen {
            if let (Some(text), Some(heading)) = (record.get(column), there.get(column)) {
                cells.set(field, heading, Cell::Text(text.to_owned()));
            }
        }
        sink(cells.row(position, input.model.as_deref())?)?;
    }
}

fn csv_error(position: Position<'_>, error: csv::Error) -> ImportError {
    let shown = error.to_string();
    if let csv::ErrorKind::Io(source) = error.into_kind() {
        return failed(position.file)(source);
    }
    position.bad_hint(
        shown,
        "the file must be RFC 4180 CSV in UTF-8 with a heading",
    )
}

/// Ends with an error when a row takes too long to end.
struct Capped<R> {
    inner: R,
    left: Rc<Counter<u64>>,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            let what = format!("a row is longer than {ROW_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let read = self.inner.read(buffer)?;
        let used = u64::try_from(read).unwrap_or(u64::MAX);
        self.left.set(left.saturating_sub(used));
        Ok(read)
    }
}

/// Hands on the rows of a Parquet file.
pub(super) fn parquet(
    path: &Path,
    name: &str,
    input: &ImportInput,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let whole = Position {
        file: name,
        place: Place::File,
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        whole.bad(format!("it is no Parquet file that can be read: {error}"))
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(open(path, name)?)
        .map_err(|error| unreadable(&error))?;
    let schema = std::sync::Arc::clone(builder.schema());
    let there: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let chosen = input
        .columns
        .choose(whole, &there, input.model.as_deref())?;
    let wanted = chosen.iter().map(|(_, column)| *column);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let batches = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| unreadable(&error))?;
    let mut number = 0;
    for batch in batches {
        let batch = batch.map_err(|error| unreadable(&error))?;
        let columns = columns(whole, &batch, &chosen, &there)?;
        for row in 0..batch.num_rows() {
            number += 1;
            let position = Position {
                file: name,
                place: Place::Row(number),
            };
            let mut cells = Cells::default();
            for (field, column, values) in &columns {
                if let Some(cell) = values.cell(row) {
                    cells.set(*field, column, cell);
                }
            }
            sink(cells.row(position, input.model.as_deref())?)?;
        }
    }
    Ok(())
}

/// A column whose cells can be had.
enum Values {
    Texts(StringArray),
    Times(ArrayRef),
    Conversations(ArrayRef),
}

impl Values {
    fn cell(&self, row: usize) -> Option<Cell> {
        match self {
            Self::Texts(texts) => texts
                .is_valid(row)
                .then(|| Cell::Text(texts.value(row).to_owned())),
            Self::Times(times) => {
                let times = times.as_primitive::<TimestampMicrosecondType>();
                let at = || Timestamp::from_micros(times.value(row));
                times.is_valid(row).then(|| Cell::Text(at().to_string()))
            }
            Self::Conversations(lists) => {
                let lists = lists.as_list::<i32>();
                lists
                    .is_valid(row)
                    .then(|| Cell::Json(conversation(&lists.value(row))))
            }
        }
    }
}

fn columns<'a>(
    position: Position<'_>,
    batch: &RecordBatch,
    chosen: &[(Field, usize)],
    there: &[&'a str],
) -> Result<Vec<(Field, &'a str, Values)>, ImportError> {
    let mut columns = Vec::with_capacity(chosen.len());
    for &(field, index) in chosen {
        let Some(&name) = there.get(index) else {
            continue;
        };
        let column = batch.column_by_name(name).and_then(values);
        let column = column.ok_or_else(|| {
            position.bad_hint(
                format!(
                    "column `{name}` has a type that cannot be read as `{}`",
                    field.as_str()
                ),
                format!("name another column with --column {}=NAME", field.as_str()),
            )
        })?;
        columns.push((field, name, column));
    }
    Ok(columns)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is no time and no list of messages is cast to text, or cannot be"
)]
fn values(column: &ArrayRef) -> Option<Values> {
    match column.data_type() {
        DataType::Timestamp(_, zone) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            Some(Values::Times(cast(column, &micros).ok()?))
        }
        DataType::List(entry) => match entry.data_type() {
            DataType::Struct(parts) => {
                let has = |name: &str| {
                    let part = parts.find(name);
                    part.is_some_and(|(_, part)| *part.data_type() == DataType::Utf8)
                };
                let is_conversation = has("role") && has("content");
                is_conversation.then(|| Values::Conversations(ArrayRef::clone(column)))
            }
            _ => None,
        },
        DataType::Struct(_) | DataType::Map(..) | DataType::Binary => None,
        _ => {
            let texts = cast(column, &DataType::Utf8).ok()?;
            Some(Values::Texts(texts.as_string_opt::<i32>()?.clone()))
        }
    }
}

fn conversation(entries: &ArrayRef) -> Value {
    let entries = entries.as_struct();
    let part = |name: &str| entries.column_by_name(name).map(ArrayRef::as_string::<i32>);
    let (Some(roles), Some(contents)) = (part("role"), part("content")) else {
        return Value::Null;
    };
    let message =
        |(role, content): (Option<&str>, Option<&str>)| json!({ "role": role, "content": content });
    roles.iter().zip(contents.iter()).map(message).collect()
}
