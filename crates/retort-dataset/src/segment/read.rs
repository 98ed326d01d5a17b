//! Parquet files back as record batches, of the columns and rows that are wanted only.

use std::fs::File;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;

use crate::schema::Table;
use crate::{DatasetError, Store, StoreError};

/// Rows of a batch: large enough that per-batch work does not show.
const BATCH_ROWS: usize = 8_192;

/// Where a Parquet file is read from: in place, or from a copy in memory.
#[derive(Debug)]
pub enum Source {
    /// A file of this machine, of which only the wanted parts are read.
    File(File),
    /// The whole file.
    Bytes(Bytes),
}

impl Source {
    /// Returns another view of the same file, which is at `path`.
    ///
    /// # Errors
    /// When the system gives no further handle.
    pub(crate) fn again(&self, path: &str) -> Result<Self, StoreError> {
        match self {
            Self::File(file) => {
                file.try_clone()
                    .map(Self::File)
                    .map_err(|error| StoreError::Failed {
                        doing: "open",
                        path: path.to_owned(),
                        source: Box::new(error),
                    })
            }
            Self::Bytes(bytes) => Ok(Self::Bytes(bytes.clone())),
        }
    }

    /// Opens the file at `path` of `store`, in place when the store is a folder.
    ///
    /// # Errors
    /// When it is not there or the store fails.
    pub async fn open(store: &Store, path: &str) -> Result<Self, StoreError> {
        let Some(file) = store.local_path(path) else {
            return Ok(Self::Bytes(store.get(path).await?));
        };
        match File::open(file) {
            Ok(file) => Ok(Self::File(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::NotFound {
                    path: path.to_owned(),
                })
            }
            Err(error) => Err(StoreError::Failed {
                doing: "open",
                path: path.to_owned(),
                source: Box::new(error),
            }),
        }
    }
}

/// What is read of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    /// Columns; all of them when empty.
    pub(crate) columns: &'a [&'a str],
    /// Rows; all of them unless set.
    pub(crate) rows: Option<RowSelection>,
}

/// Record batches of one file, with the columns in the order they were asked for.
#[derive(Debug)]
pub struct Batches {
    reader: ParquetRecordBatchReader,
    table: Table,
    columns: Vec<String>,
    path: String,
}

/// Returns the batches of `columns` (all when empty) of the file behind `source`.
///
/// # Errors
/// When it is not a Parquet file or lacks a column.
pub fn read(
    source: Source,
    path: &str,
    table: Table,
    columns: &[&str],
) -> Result<Batches, DatasetError> {
    let wanted = Wanted {
        columns,
        rows: None,
    };
    read_wanted(source, path, table, wanted)
}

/// Returns the batches of what is `wanted` of the file behind `source`.
pub(crate) fn read_wanted(
    source: Source,
    path: &str,
    table: Table,
    wanted: Wanted<'_>,
) -> Result<Batches, DatasetError> {
    let columns: Vec<String> = if wanted.columns.is_empty() {
        let all = table.columns().iter();
        all.map(|column| column.name.to_owned()).collect()
    } else {
        wanted
            .columns
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    };
    let reader = match source {
        Source::File(file) => reader(file, (table, path), &columns, wanted.rows),
        Source::Bytes(bytes) => reader(bytes, (table, path), &columns, wanted.rows),
    }?;
    Ok(Batches {
        reader,
        table,
        columns,
        path: path.to_owned(),
    })
}

/// Returns the metadata of the file behind `source`.
pub(crate) fn metadata(source: &Source, path: &str) -> Result<Arc<ParquetMetaData>, DatasetError> {
    let options = ArrowReaderOptions::new();
    let loaded = match source {
        Source::File(file) => ArrowReaderMetadata::load(file, options),
        Source::Bytes(bytes) => ArrowReaderMetadata::load(bytes, options),
    };
    let loaded = loaded.map_err(DatasetError::parquet(path))?;
    Ok(Arc::clone(loaded.metadata()))
}

/// What a column's value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// This text.
    Text(String),
    /// A text that begins so.
    Prefix(String),
    /// This number.
    Number(u64),
}

impl Key {
    /// Returns whether a text fits.
    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Text(wanted) => text == wanted,
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Number(_) => false,
        }
    }
}

/// Returns the rows of the row groups that may hold `key` in `column`, by bloom filters and
/// statistics, and how many rows there are up to the last of them.
pub(crate) fn row_groups_with(
    source: Source,
    path: &str,
    column: &str,
    key: &Key,
) -> Result<(Vec<Range<usize>>, usize), DatasetError> {
    match source {
        Source::File(file) => row_groups(file, column, key),
        Source::Bytes(bytes) => row_groups(bytes, column, key),
    }
    .map_err(DatasetError::parquet(path))
}

fn row_groups<T: ChunkReader + 'static>(
    source: T,
    column: &str,
    key: &Key,
) -> parquet::errors::Result<(Vec<Range<usize>>, usize)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(source)?;
    let metadata = Arc::clone(builder.metadata());
    let columns = metadata.file_metadata().schema_descr().columns();
    let leaf = columns
        .iter()
        .position(|leaf| leaf.path().parts() == [column]);
    let (mut ranges, mut begin) = (Vec::new(), 0);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let may_hold = match (leaf, key) {
            (Some(leaf), Key::Text(text)) => builder
                .get_row_group_column_bloom_filter(number, leaf)?
                .is_none_or(|filter| filter.check(text.as_str())),
            (Some(leaf), Key::Number(wanted)) => {
                let range = group.columns().get(leaf).and_then(u64_range);
                range.is_none_or(|range| range.contains(wanted))
            }
            (Some(_), Key::Prefix(_)) | (None, _) => true,
        };
        if may_hold {
            ranges.push(begin..begin + rows);
        }
        begin += rows;
    }
    Ok((ranges, begin))
}

/// Returns the smallest and largest value of a column of unsigned numbers, where told.
fn u64_range(column: &ColumnChunkMetaData) -> Option<RangeInclusive<u64>> {
    let Statistics::Int64(statistics) = column.statistics()? else {
        return None;
    };
    // The bits are those of an unsigned number, and so is the order.
    let (min, max) = (statistics.min_opt()?, statistics.max_opt()?);
    Some(min.cast_unsigned()..=max.cast_unsigned())
}

/// Returns whether files of earlier versions do not have this column: it is null there.
fn came_later(table: Table, column: &str) -> bool {
    let mut columns = table.columns().iter();
    columns.any(|known| known.name == column && known.since > 1)
}

fn reader<T: ChunkReader + 'static>(
    source: T,
    (table, path): (Table, &str),
    columns: &[String],
    rows: Option<RowSelection>,
) -> Result<ParquetRecordBatchReader, DatasetError> {
    let mut options = ArrowReaderOptions::new().with_skip_arrow_metadata(false);
    if rows.is_some() {
        // The offset index lets whole pages without wanted rows be skipped.
        options = options.with_offset_index_policy(PageIndexPolicy::Optional);
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(source, options)
        .map_err(DatasetError::parquet(path))?;
    let mut indices = Vec::with_capacity(columns.len());
    for column in columns {
        match builder.schema().index_of(column) {
            Ok(index) => indices.push(index),
            Err(_) if came_later(table, column) => {}
            Err(_) => {
                return Err(DatasetError::damaged(
                    path,
                    format!("it has no column `{column}`"),
                ));
            }
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), indices);
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    if let Some(rows) = rows {
        builder = builder.with_row_selection(rows);
    }
    builder.build().map_err(DatasetError::parquet(path))
}

impl Batches {
    /// Returns `batch` with exactly the asked columns, typed as the table's schema says.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch, DatasetError> {
        let schema = self.table.schema();
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for name in &self.columns {
            let missing =
                || DatasetError::damaged(&self.path, format!("it has no column `{name}`"));
            let (_, field) = schema.fields().find(name).ok_or_else(missing)?;
            let column = match batch.column_by_name(name) {
                Some(column) => Arc::clone(column),
                None if came_later(self.table, name) => {
                    new_null_array(field.data_type(), batch.num_rows())
                }
                None => return Err(missing()),
            };
            fields.push(Arc::clone(field));
            columns.push(column);
        }
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        RecordBatch::try_new(schema, columns)
            .map_err(|error| DatasetError::damaged(&self.path, error.to_string()))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.reader.next()? {
            Ok(batch) => Some(self.conform(&batch)),
            Err(error) => Some(Err(DatasetError::damaged(&self.path, error.to_string()))),
        }
    }
}
