//! The files of a snapshot on their way into the store.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use retort_types::Digest;
use tokio::runtime::Handle;

use super::gather::Slice;
use super::manifest::ManifestFile;
use crate::schema::Table;
use crate::segment::{Metadata, properties, row_lengths};
use crate::{DatasetError, Store};

/// Bytes of rows, before compression, after which a part ends: 100 to 200 MB of file.
const PART_BYTES: u64 = 512 << 20;

/// Rows after which a part ends. Small in tests, so that there are several.
const PART_ROWS: u64 = if cfg!(test) { 1_024 } else { 1 << 20 };

/// Writes files below a folder and remembers them.
#[derive(Debug)]
pub(super) struct Output {
    store: Store,
    handle: Handle,
    folder: String,
    metadata: Metadata,
    files: Vec<ManifestFile>,
}

/// A Parquet file under construction.
#[derive(Debug)]
pub(super) struct Part {
    table: Table,
    folder: String,
    number: u32,
    writer: Option<ArrowWriter<Vec<u8>>>,
    rows: u64,
    bytes: u64,
}

impl Part {
    /// Begins the files of `table` in `folder`; `rows` is how many there will be at least.
    pub(super) const fn new(table: Table, folder: String) -> Self {
        Self {
            table,
            folder,
            number: 0,
            writer: None,
            rows: 0,
            bytes: 0,
        }
    }
}

impl Output {
    pub(super) fn new(store: Store, handle: Handle, folder: String, metadata: Metadata) -> Self {
        Self {
            store,
            handle,
            folder,
            metadata,
            files: Vec::new(),
        }
    }

    /// Stores a file and remembers it.
    pub(super) fn put(
        &mut self,
        path: &str,
        bytes: Bytes,
        rows: Option<u64>,
    ) -> Result<(), DatasetError> {
        self.files.push(ManifestFile {
            path: path.to_owned(),
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            rows,
            sha256: Digest::of(&bytes),
        });
        self.put_unlisted(path, bytes)
    }

    /// Stores a file that is not part of the manifest.
    pub(super) fn put_unlisted(&self, path: &str, bytes: Bytes) -> Result<(), DatasetError> {
        let path = format!("{}/{path}", self.folder);
        Ok(self.handle.block_on(self.store.put(&path, bytes))?)
    }

    /// Returns the files, sorted by path.
    pub(super) fn files(&mut self) -> Vec<ManifestFile> {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.files.clone()
    }

    /// Returns the part of `group`, whose files are in `folder`; ends the one of another group.
    pub(super) fn part_of<'a>(
        &mut self,
        current: &'a mut Option<(usize, Part)>,
        group: usize,
        table: Table,
        folder: &str,
    ) -> Result<&'a mut Part, DatasetError> {
        let part = match current.take() {
            Some((of, part)) if of == group => part,
            before => {
                if let Some((_, mut before)) = before {
                    self.finish(&mut before)?;
                }
                Part::new(table, folder.to_owned())
            }
        };
        let (_, part) = current.insert((group, part));
        Ok(part)
    }

    /// Appends rows to a part and ends it when it is large enough.
    pub(super) fn write(&mut self, part: &mut Part, slice: &Slice) -> Result<(), DatasetError> {
        self.append(part, slice)?;
        part.rows += u64::try_from(slice.batch.num_rows()).unwrap_or(u64::MAX);
        part.bytes += slice.bytes;
        if part.rows >= PART_ROWS || part.bytes >= PART_BYTES {
            self.finish(part)?;
        }
        Ok(())
    }

    fn append(&self, part: &mut Part, slice: &Slice) -> Result<(), DatasetError> {
        let failed = DatasetError::parquet(&part.folder);
        let mut writer = if let Some(writer) = part.writer.take() {
            writer
        } else {
            // How many rows follow is not known; the filter folds to what it holds. Where a slice
            // is small no other one follows.
            let properties = properties(part.table, &self.metadata, usize::MAX, slice.bytes);
            let schema = part.table.schema();
            ArrowWriter::try_new(Vec::new(), schema, Some(properties))
                .map_err(DatasetError::parquet(&part.folder))?
        };
        writer.write(&slice.batch).map_err(failed)?;
        part.writer = Some(writer);
        Ok(())
    }

    /// Ends a part that holds rows.
    pub(super) fn finish(&mut self, part: &mut Part) -> Result<(), DatasetError> {
        let Some(writer) = part.writer.take() else {
            return Ok(());
        };
        let path = format!("{}/part-{:05}.parquet", part.folder, part.number);
        let bytes = writer.into_inner().map_err(DatasetError::parquet(&path))?;
        self.put(&path, bytes.into(), Some(part.rows))?;
        part.number += 1;
        part.rows = 0;
        part.bytes = 0;
        Ok(())
    }

    /// Writes a table that is one batch, also when it is empty.
    pub(super) fn whole(&mut self, table: Table, batch: &RecordBatch) -> Result<(), DatasetError> {
        let mut part = Part::new(table, table.as_str().to_owned());
        let slice = Slice {
            bytes: row_lengths(batch).iter().sum(),
            batch: batch.clone(),
        };
        self.append(&mut part, &slice)?;
        part.rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        self.finish(&mut part)
    }
}
