//! Rows of many chunks in one pass over the segments: each chunk's rows wait in a temporary file.
//!
//! Segments hold rows as they arrived, chunks as they are sorted, so nearly every chunk has rows of
//! nearly every page. Reading the segments once per chunk would decompress them that many times;
//! instead they are read once and rows are put aside uncompressed. The files have no name, so that
//! nothing stays of a sealer that is killed.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::gather::{Chunk, FileRows, Span, file_of, read_rows};
use super::keys::InputFile;
use crate::schema::Table;
use crate::segment::Source;
use crate::{DatasetError, StoreError};

/// Chunks that are put aside in one pass: each has an open file, of which processes may have some
/// hundreds, and holds 64 MiB.
pub(super) const SPILLS_MAX: usize = if cfg!(test) { 3 } else { 128 };

/// Bytes that wait to be written to one such file.
const BUFFER_BYTES: usize = 64 << 10;

/// The rows of one chunk, put aside.
pub(super) struct Spill {
    table: Table,
    writer: StreamWriter<BufWriter<File>>,
    files: Vec<FileRows>,
    /// Of each batch, the columns that have one value throughout, which are not written.
    constants: Vec<Vec<(usize, ArrayRef)>>,
}

impl Spill {
    /// Begins a spill in a nameless file below `folder`, or where the system keeps such files.
    fn begin(table: Table, folder: Option<&Path>) -> Result<Self, DatasetError> {
        let file = match folder {
            Some(folder) => tempfile::tempfile_in(folder),
            None => tempfile::tempfile(),
        };
        let file = file.map_err(io)?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let writer = StreamWriter::try_new(file, &all_nullable(&table.schema()))?;
        Ok(Self {
            table,
            writer,
            files: Vec::new(),
            constants: Vec::new(),
        })
    }

    fn add(&mut self, batch: &RecordBatch, position: usize) -> Result<(), DatasetError> {
        let (varying, constants) = without_constants(batch)?;
        self.writer.write(&varying)?;
        if let Some(rows) = self.files.last_mut() {
            rows.batches.push((position, self.constants.len()));
        }
        self.constants.push(constants);
        Ok(())
    }

    /// Returns the rows as a chunk in memory.
    pub(super) fn load(mut self) -> Result<Chunk, DatasetError> {
        self.writer.finish()?;
        let file = self.writer.into_inner()?.into_inner();
        let mut file = file.map_err(|error| io(error.into_error()))?;
        file.rewind().map_err(io)?;
        let reader = StreamReader::try_new(BufReader::new(file), None)?;
        let mut batches = Vec::with_capacity(self.constants.len());
        for (batch, constants) in reader.zip(&self.constants) {
            batches.push(with_constants(&batch?, constants, &self.table.schema())?);
        }
        if batches.len() != self.constants.len() {
            let what = "rows that were put aside did not all come back";
            return Err(DatasetError::damaged("a temporary file", what));
        }
        Ok(Chunk::of(batches, self.files))
    }
}

fn all_nullable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter();
    Schema::new(
        fields
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>(),
    )
}

/// Returns the batch with nulls in place of texts that are the same in every row, and these.
fn without_constants(
    batch: &RecordBatch,
) -> Result<(RecordBatch, Vec<(usize, ArrayRef)>), ArrowError> {
    let mut constants = Vec::new();
    let mut columns = batch.columns().to_vec();
    for (number, column) in columns.iter_mut().enumerate() {
        if is_constant(column) {
            // A slice would keep all of the column in memory.
            constants.push((number, take(column, &UInt32Array::from(vec![0]), None)?));
            *column = new_null_array(column.data_type(), column.len());
        }
    }
    let schema = Arc::new(all_nullable(&batch.schema()));
    Ok((RecordBatch::try_new(schema, columns)?, constants))
}

fn is_constant(column: &ArrayRef) -> bool {
    let Some(texts) = column.as_string_opt::<i32>() else {
        return false;
    };
    let Some(first) = (texts.len() > 1 && texts.null_count() == 0).then(|| texts.value(0)) else {
        return false;
    };
    texts.iter().all(|text| text == Some(first))
}

/// Returns the batch with `constants` back in their columns.
fn with_constants(
    batch: &RecordBatch,
    constants: &[(usize, ArrayRef)],
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    let rows = UInt32Array::from(vec![0; batch.num_rows()]);
    for (number, value) in constants {
        if let Some(column) = columns.get_mut(*number) {
            *column = take(value, &rows, None)?;
        }
    }
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn io(source: std::io::Error) -> DatasetError {
    StoreError::Failed {
        doing: "put rows aside in",
        path: "a temporary file".to_owned(),
        source: Box::new(source),
    }
    .into()
}

/// A wanted span and the chunk it belongs to.
type Wanted = (Span, usize);

/// Reads the rows of `chunks` in one pass and puts each chunk's aside; `open` opens a file.
pub(super) fn spill(
    table: Table,
    files: &[InputFile],
    chunks: &[&[&[Span]]],
    folder: Option<&Path>,
    open: &mut dyn FnMut(&str) -> Result<Source, DatasetError>,
) -> Result<Vec<Spill>, DatasetError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for (number, slices) in chunks.iter().enumerate() {
        let spans = slices.iter().flat_map(|slice| slice.iter());
        wanted.extend(spans.map(|span| (*span, number)));
    }
    wanted.sort_unstable_by_key(|(span, _)| (span.file, span.start));
    let spills = chunks.iter().map(|_| Spill::begin(table, folder));
    let mut spills = spills.collect::<Result<Vec<_>, _>>()?;
    for group in wanted.chunk_by(|(a, _), (b, _)| a.file == b.file) {
        let Some(file) = group
            .first()
            .and_then(|(span, _)| file_of(files, span.file))
        else {
            continue;
        };
        let source = open(file.path())?;
        spill_file(table, file, group, source, &mut spills)?;
    }
    Ok(spills)
}

fn spill_file(
    table: Table,
    file: &InputFile,
    wanted: &[Wanted],
    source: Source,
    spills: &mut [Spill],
) -> Result<(), DatasetError> {
    // Of each chunk, where its rows are among all that are wanted of this file.
    let mut places: Vec<Vec<u32>> = vec![Vec::new(); spills.len()];
    let mut spans: Vec<Vec<Span>> = vec![Vec::new(); spills.len()];
    let mut begin = 0;
    for (span, chunk) in wanted {
        if let Some((places, spans)) = places.get_mut(*chunk).zip(spans.get_mut(*chunk)) {
            places.extend(begin..begin + span.rows);
            spans.push(*span);
        }
        begin += span.rows;
    }
    for (spill, spans) in spills.iter_mut().zip(&spans) {
        if !spans.is_empty() {
            spill.files.push(FileRows::of(spans));
        }
    }
    let all: Vec<Span> = wanted.iter().map(|(span, _)| *span).collect();
    let mut read = 0;
    for batch in read_rows(table, file, &all, source)? {
        let batch = batch?;
        let end = read + u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
        for (spill, places) in spills.iter_mut().zip(&places) {
            let first = places.partition_point(|place| *place < read);
            let last = places.partition_point(|place| *place < end);
            let here = places.get(first..last).unwrap_or_default();
            if here.is_empty() {
                continue;
            }
            let indices: UInt32Array = here.iter().map(|place| place - read).collect();
            spill.add(&take_record_batch(&batch, &indices)?, first)?;
        }
        read = end;
    }
    if read != begin {
        let what = format!("{read} of {begin} wanted rows are there");
        return Err(DatasetError::damaged(file.path(), what));
    }
    Ok(())
}
