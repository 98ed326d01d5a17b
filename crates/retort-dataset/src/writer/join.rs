//! Segments of many rows made one by putting their row groups one after another, as they are.
//!
//! Decoding and encoding rows again costs more than encoding them the first time, and holds a
//! hundred times as much memory as the files. Where row groups are large nothing is gained by it.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;
use parquet::file::writer::SerializedFileWriter;
use uuid::Uuid;

use super::compact::Group;
use crate::DatasetError;
use crate::columns::Reader;
use crate::schema::Table;
use crate::segment::{Metadata, Source, metadata, properties, read};

/// Rows from which on a row group is large enough to be left as it is. What a file says of the
/// columns of a group takes some 10 KB, as much as 100 short rows.
const GROUP_MIN_ROWS: u64 = 256;

/// Returns the row groups of `sources` as one file and how many rows they hold, or nothing where
/// they have to be written anew: they are small on average, or an attempt is in two of them.
pub(super) fn join(
    table: Table,
    sources: &[(Source, String)],
    group: &Group,
) -> Result<Option<(Bytes, u64)>, DatasetError> {
    let mut rows = 0;
    let mut groups = 0;
    for (source, path) in sources {
        for group in metadata(source, path)?.row_groups() {
            rows += u64::try_from(group.num_rows()).unwrap_or(0);
            groups += 1;
        }
    }
    if rows < GROUP_MIN_ROWS * groups || !are_distinct(table, sources)? {
        return Ok(None);
    }
    let Some((first, path)) = sources.first() else {
        return Ok(None);
    };
    let file = metadata(first, path)?;
    let schema = file.file_metadata().schema_descr().root_schema_ptr();
    let of_campaign = Metadata::of(&group.campaign, group.plan_hash).with_software();
    let properties = Arc::new(properties(table, &of_campaign, usize::MAX, u64::MAX));
    let failed = DatasetError::parquet;
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)
        .map_err(failed(table.as_str()))?;
    // The schema in the words of Arrow is told by whoever encoded it.
    let told = file.file_metadata().key_value_metadata();
    for entry in told.into_iter().flatten() {
        if entry.key == parquet::arrow::ARROW_SCHEMA_META_KEY {
            writer.append_key_value_metadata(entry.clone());
        }
    }
    for (source, path) in sources {
        let appended = match source {
            Source::File(file) => append(&mut writer, file),
            Source::Bytes(bytes) => append(&mut writer, bytes),
        };
        appended.map_err(failed(path))?;
    }
    let bytes = writer.into_inner().map_err(failed(table.as_str()))?;
    Ok(Some((bytes.into(), rows)))
}

/// Returns whether no attempt is in two of the files, as far as their ids are those of crawls.
fn are_distinct(table: Table, sources: &[(Source, String)]) -> Result<bool, DatasetError> {
    let mut seen: HashSet<u128> = HashSet::new();
    for (source, path) in sources {
        let mut here = HashSet::new();
        for batch in read(source.again(path)?, path, table, &["attempt_id"])? {
            let batch = batch?;
            let ids = Reader::new(&batch, path).text("attempt_id")?;
            for row in 0..batch.num_rows() {
                let Ok(id) = Uuid::parse_str(ids.value(row)) else {
                    return Ok(false);
                };
                here.insert(id.as_u128());
            }
        }
        if !seen.is_disjoint(&here) {
            return Ok(false);
        }
        seen.extend(here);
    }
    Ok(true)
}

fn append<W: Write + Send, R: ChunkReader>(
    writer: &mut SerializedFileWriter<W>,
    input: &R,
) -> ParquetResult<()> {
    let metadata: ParquetMetaData = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Optional)
        .parse_and_finish(input)?;
    let pages = metadata.page_index();
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let mut out = writer.next_row_group()?;
        for (place, column) in group.columns().iter().enumerate() {
            let column_index = pages.and_then(|pages| pages.column_index(number, place));
            let offset_index = pages.and_then(|pages| pages.offset_index(number, place));
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                metadata: column.clone(),
                bloom_filter: Sbbf::read_from_column_chunk(column, input)?,
                column_index: column_index.cloned(),
                offset_index: offset_index.cloned(),
            };
            out.append_column(input, close)?;
        }
        out.close()?;
    }
    Ok(())
}
