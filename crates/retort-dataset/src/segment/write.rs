//! Record batches as Parquet bytes.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;
use retort_types::{CampaignId, Digest};

use super::size::columns_below;
use crate::DatasetError;
use crate::schema::{self, Table};

/// Names the writer in every file. Constant, so that a release alone does not change bytes.
const CREATED_BY: &str = "retort-dataset";

/// Level 3: level 1 and 9 differ from it by 1 % in size and 20 % in time on recorded replies.
const ZSTD_LEVEL: i32 = 3;

/// Bytes of values below which a file, or a column of a segment, is not compressed. What a file says
/// of its columns takes 10 KB anyway, repeated values are told once as it is, and preparing to
/// compress a column, and to read it, costs more time and memory than so few values are worth.
const COMPRESSED_BYTES: u64 = 64 << 10;

/// Most rows of a row group: with 1 to 2 KB a row, what dataset viewers recommend (100 to 300 MB).
const ROW_GROUP_ROWS: usize = 65_536;

/// Most bytes of a row group, for tables with long rows.
const ROW_GROUP_BYTES: usize = 128 << 20;

/// Long or arbitrary texts, for which minimum and maximum say nothing.
const WITHOUT_STATISTICS: &[&str] = &[
    "response_text",
    "reasoning_text",
    "refusal_text",
    "tool_calls",
    "usage_raw",
    "request_params",
    "error_message",
    "messages.list.element.content",
    "response_headers.list.element.value",
    "token",
    "token_bytes",
    "top_tokens.list.element",
    "top_bytes.list.element",
];

/// Columns whose values differ in nearly every row: a dictionary would only be abandoned.
const WITHOUT_DICTIONARY: &[(Table, &str)] = &[
    (Table::Responses, "sample_id"),
    (Table::Responses, "attempt_id"),
    (Table::Responses, "response_text"),
    (Table::Responses, "reasoning_text"),
    (Table::Responses, "provider_request_id"),
    (Table::Responses, "response_id"),
    (Table::Responses, "request_sha256"),
    (Table::Responses, "response_sha256"),
    (Table::Attempts, "attempt_id"),
    (Table::Attempts, "provider_request_id"),
    (Table::Attempts, "request_sha256"),
    (Table::Attempts, "response_sha256"),
];

/// Key-value metadata of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata(BTreeMap<&'static str, String>);

impl Metadata {
    /// Returns what every file of a campaign says.
    pub(crate) fn of(campaign: &CampaignId, plan_hash: Digest) -> Self {
        Self(BTreeMap::from([
            ("retort.schema_version", schema::VERSION.to_owned()),
            ("retort.campaign", campaign.to_string()),
            ("retort.plan_hash", plan_hash.to_string()),
        ]))
    }

    /// Returns it with the software that wrote the file.
    #[must_use]
    pub(crate) fn with_software(mut self) -> Self {
        let software = concat!("retort/", env!("CARGO_PKG_VERSION"));
        self.0.insert("retort.software", software.to_owned());
        self
    }

    /// Returns it with what a snapshot says: the catalog that was meant and the software that made
    /// the rows, as the rows say. Who seals stays outside.
    #[must_use]
    pub(crate) fn with_origin(mut self, catalog: Option<Digest>, software: &[String]) -> Self {
        if let Some(catalog) = catalog {
            self.0.insert("retort.catalog_hash", catalog.to_string());
        }
        self.0.insert("retort.software", software.join(" "));
        self
    }

    fn key_values(&self) -> Vec<KeyValue> {
        self.0
            .iter()
            .map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()))
            .collect()
    }
}

/// Returns how files of `table` are written, for whoever compares with that.
pub fn writer_properties(table: Table) -> WriterProperties {
    properties(table, &Metadata::default(), usize::MAX, u64::MAX)
}

/// Returns how files of `table` are written; `rows` bounds the bloom filter, and a file with few
/// `bytes` of values is not compressed.
pub(crate) fn properties(
    table: Table,
    metadata: &Metadata,
    rows: usize,
    bytes: u64,
) -> WriterProperties {
    builder(table, metadata, rows, bytes).build()
}

fn builder(table: Table, metadata: &Metadata, rows: usize, bytes: u64) -> WriterPropertiesBuilder {
    let compression = if bytes < COMPRESSED_BYTES {
        Compression::UNCOMPRESSED
    } else {
        Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default())
    };
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(compression)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(Some(metadata.key_values()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    for column in WITHOUT_STATISTICS {
        builder =
            builder.set_column_statistics_enabled(column_path(column), EnabledStatistics::None);
    }
    for (of, column) in WITHOUT_DICTIONARY {
        if *of == table {
            builder = builder.set_column_dictionary_enabled(column_path(column), false);
        }
    }
    with_bloom_filter(builder, table, rows)
}

/// Returns how the segment with these rows is written.
fn properties_of(
    table: Table,
    metadata: &Metadata,
    batch: &RecordBatch,
) -> parquet::errors::Result<WriterProperties> {
    let mut builder = builder(table, metadata, batch.num_rows(), u64::MAX);
    let small = columns_below(batch, COMPRESSED_BYTES);
    let leaves = ArrowSchemaConverter::new().convert(&table.schema())?;
    for leaf in leaves.columns() {
        let path = leaf.path();
        if path
            .parts()
            .first()
            .is_some_and(|name| small.contains(name))
        {
            builder = builder.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
        }
    }
    Ok(builder.build())
}

fn with_bloom_filter(
    builder: WriterPropertiesBuilder,
    table: Table,
    rows: usize,
) -> WriterPropertiesBuilder {
    let distinct = u64::try_from(rows.clamp(1, ROW_GROUP_ROWS)).unwrap_or(1);
    match table {
        Table::Responses => builder
            .set_column_bloom_filter_enabled(column_path("sample_id"), true)
            .set_column_bloom_filter_max_ndv(column_path("sample_id"), distinct),
        Table::Attempts => builder
            .set_column_bloom_filter_enabled(column_path("attempt_id"), true)
            .set_column_bloom_filter_max_ndv(column_path("attempt_id"), distinct),
        Table::Tokens | Table::Prompts | Table::Models => builder,
    }
}

fn column_path(path: &str) -> ColumnPath {
    ColumnPath::from(path.split('.').map(str::to_owned).collect::<Vec<_>>())
}

/// A Parquet file in memory.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The file's bytes.
    pub bytes: Bytes,
    /// Its rows.
    pub rows: u64,
}

/// Returns `batch` as the bytes of a segment file.
///
/// # Errors
/// When the batch does not have the table's schema.
pub fn encode(
    table: Table,
    batch: &RecordBatch,
    campaign: &CampaignId,
    plan_hash: Digest,
) -> Result<Encoded, DatasetError> {
    let metadata = Metadata::of(campaign, plan_hash).with_software();
    let bytes =
        to_parquet(table, batch, &metadata).map_err(DatasetError::parquet(table.as_str()))?;
    Ok(Encoded {
        bytes: bytes.into(),
        rows: u64::try_from(batch.num_rows()).unwrap_or(u64::MAX),
    })
}

fn to_parquet(
    table: Table,
    batch: &RecordBatch,
    metadata: &Metadata,
) -> parquet::errors::Result<Vec<u8>> {
    let properties = properties_of(table, metadata, batch)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::rows;
    use crate::testing::{answer, campaign_id, plan_hash};

    #[test]
    fn columns_are_compressed_where_they_hold_much() {
        let records: Vec<_> = (0..1_000).map(|n| answer(n, &"text ".repeat(30))).collect();
        let batch = rows::responses(&records).unwrap();
        let file = encode(Table::Responses, &batch, &campaign_id(), plan_hash()).unwrap();
        let reader = SerializedFileReader::new(file.bytes).unwrap();
        let columns = reader.metadata().row_group(0).columns();
        let is_compressed = |name: &str| {
            let column = columns
                .iter()
                .find(|column| column.column_path().string() == name)
                .unwrap();
            column.compression() != Compression::UNCOMPRESSED
        };
        for (name, expected) in [
            ("response_text", true),
            ("model", false),
            ("latency_ms", false),
            ("messages.list.element.content", false),
        ] {
            assert_eq!(is_compressed(name), expected, "{name}");
        }
    }
}
