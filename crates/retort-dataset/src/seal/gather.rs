//! Rows out of many files, in a given order, with bounded memory.
//!
//! Rows are written in slices whose borders depend on the rows alone, because Parquet pages depend
//! on how a table is handed to the writer. Memory holds one chunk of many slices at a time; where
//! there are several, their rows are put aside in one pass over the files.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use parquet::arrow::arrow_reader::RowSelection;

use super::keys::InputFile;
use crate::schema::Table;
use crate::segment::{Batches, Source, Wanted, read_wanted, row_lengths};
use crate::{DatasetError, SealError};

/// Rows of a slice.
const SLICE_ROWS: u64 = 1_024;

/// Bytes of rows that a chunk holds in memory, about. Small in tests, so that there are several.
const CHUNK_BYTES: u64 = if cfg!(test) { 64 << 10 } else { 64 << 20 };

/// Bytes of a slice above which it is halved: Arrow addresses 2 GiB of text per column. Small in
/// tests, so that some are.
const SLICE_BYTES: u64 = if cfg!(test) { 256 << 10 } else { 512 << 20 };

/// Consecutive rows of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) file: u32,
    pub(super) start: u32,
    pub(super) rows: u32,
}

/// Rows that are written together, in order.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) batch: RecordBatch,
    /// What its values take, without Arrow's own overhead: the same for the same rows.
    pub(super) bytes: u64,
}

/// Splits `spans` into slices.
pub(super) fn slices(spans: &[Span]) -> Vec<&[Span]> {
    let mut slices = Vec::new();
    let mut rest = spans;
    while !rest.is_empty() {
        let mut rows = 0;
        let mut length = 0;
        for span in rest {
            length += 1;
            rows += u64::from(span.rows);
            if rows >= SLICE_ROWS {
                break;
            }
        }
        let (slice, tail) = rest.split_at(length);
        slices.push(slice);
        rest = tail;
    }
    slices
}

/// Returns how many of `slices` are read at once.
pub(super) fn chunk_length(slices: &[&[Span]], files: &[InputFile]) -> usize {
    let mut bytes = 0_u64;
    for (length, slice) in slices.iter().enumerate() {
        let cost =
            |span: &Span| file_of(files, span.file).map_or(0, |f| f.memory_of(span.rows.into()));
        bytes += slice.iter().map(cost).sum::<u64>();
        if bytes >= CHUNK_BYTES {
            return length + 1;
        }
    }
    slices.len()
}

/// Returns whether reading `chunks` one after the other reads little more than reading each file
/// once: attempts lie in segments about in the order of the plan.
pub(super) fn is_read_once(files: &[InputFile], chunks: &[&[&[Span]]]) -> bool {
    let mut of_chunks = 0;
    let mut all = BTreeSet::new();
    for chunk in chunks {
        let touched: BTreeSet<u32> = chunk
            .iter()
            .flat_map(|s| s.iter())
            .map(|s| s.file)
            .collect();
        of_chunks += memory(files, &touched);
        all.extend(touched);
    }
    of_chunks <= memory(files, &all) / 2 * 3
}

fn memory(files: &[InputFile], numbers: &BTreeSet<u32>) -> u64 {
    let files = numbers.iter().filter_map(|number| file_of(files, *number));
    files.map(|file| file.memory).sum()
}

pub(super) fn file_of(files: &[InputFile], file: u32) -> Option<&InputFile> {
    files.get(usize::try_from(file).ok()?)
}

/// The rows of one chunk, in memory.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    batches: Vec<RecordBatch>,
    lengths: Vec<Vec<u64>>,
    /// Of each file: its number, the wanted spans by start with where they begin among the wanted
    /// rows, and its batches with where they begin.
    files: Vec<FileRows>,
}

/// The wanted rows of one file.
#[derive(Debug)]
pub(super) struct FileRows {
    file: u32,
    spans: Vec<(u32, usize)>,
    /// Batches by where they begin among the wanted rows.
    pub(super) batches: Vec<(usize, usize)>,
}

impl FileRows {
    /// Returns where the rows of `spans` will be, which are of one file and sorted.
    pub(super) fn of(spans: &[Span]) -> Self {
        let mut rows = Self {
            file: spans.first().map_or(0, |span| span.file),
            spans: Vec::with_capacity(spans.len()),
            batches: Vec::new(),
        };
        let mut begin = 0;
        for span in spans {
            rows.spans.push((span.start, begin));
            begin += usize::try_from(span.rows).unwrap_or(usize::MAX);
        }
        rows
    }
}

/// Returns the batches of `spans` of one file, which are sorted.
pub(super) fn read_rows(
    table: Table,
    file: &InputFile,
    spans: &[Span],
    source: Source,
) -> Result<Batches, DatasetError> {
    let index = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let ranges = spans
        .iter()
        .map(|s| index(s.start)..index(s.start + s.rows));
    let total = usize::try_from(file.listed.rows.unwrap_or(0)).unwrap_or(usize::MAX);
    let is_whole = spans.iter().map(|span| index(span.rows)).sum::<usize>() == total;
    let wanted = Wanted {
        columns: &[],
        rows: (!is_whole).then(|| RowSelection::from_consecutive_ranges(ranges, total)),
    };
    read_wanted(source, file.path(), table, wanted)
}

impl Chunk {
    /// Returns a chunk of rows that are in memory.
    pub(super) fn of(batches: Vec<RecordBatch>, files: Vec<FileRows>) -> Self {
        Self {
            lengths: batches.iter().map(row_lengths).collect(),
            batches,
            files,
        }
    }

    /// Reads the rows of `slices`; `open` opens a file.
    pub(super) fn read(
        table: Table,
        files: &[InputFile],
        slices: &[&[Span]],
        mut open: impl FnMut(&str) -> Result<Source, DatasetError>,
    ) -> Result<Self, DatasetError> {
        let mut spans: Vec<Span> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        spans.sort_unstable_by_key(|span| (span.file, span.start));
        let mut chunk = Self::default();
        for group in spans.chunk_by(|a, b| a.file == b.file) {
            let Some(file) = group.first().and_then(|span| file_of(files, span.file)) else {
                continue;
            };
            chunk.read_file(table, file, group, open(file.path())?)?;
        }
        Ok(chunk)
    }

    fn read_file(
        &mut self,
        table: Table,
        file: &InputFile,
        spans: &[Span],
        source: Source,
    ) -> Result<(), DatasetError> {
        let mut rows = FileRows::of(spans);
        let wanted: u64 = spans.iter().map(|span| u64::from(span.rows)).sum();
        let begin = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut read = 0;
        for batch in read_rows(table, file, spans, source)? {
            let batch = batch?;
            rows.batches.push((read, self.batches.len()));
            read += batch.num_rows();
            self.lengths.push(row_lengths(&batch));
            self.batches.push(batch);
        }
        if read != begin {
            let what = format!("{read} of {begin} wanted rows are there");
            return Err(DatasetError::damaged(file.path(), what));
        }
        self.files.push(rows);
        Ok(())
    }

    /// Hands the rows of `slice` to `write`, halved as long as they are too large for one batch.
    pub(super) fn write(
        &self,
        slice: &[Span],
        write: &mut dyn FnMut(Slice) -> Result<(), SealError>,
    ) -> Result<(), SealError> {
        let places: Vec<(usize, usize)> =
            slice.iter().flat_map(|span| self.places(*span)).collect();
        let length = |&(batch, row): &(usize, usize)| {
            self.lengths
                .get(batch)
                .and_then(|l| l.get(row))
                .copied()
                .unwrap_or(0)
        };
        let bytes: u64 = places.iter().map(length).sum();
        if bytes > SLICE_BYTES && slice.len() > 1 {
            let (left, right) = slice.split_at(slice.len() / 2);
            self.write(left, write)?;
            return self.write(right, write);
        }
        let mut used: Vec<usize> = places.iter().map(|(batch, _)| *batch).collect();
        used.sort_unstable();
        used.dedup();
        let batches: Vec<&RecordBatch> = used.iter().filter_map(|n| self.batches.get(*n)).collect();
        let places: Vec<(usize, usize)> = places
            .into_iter()
            .map(|(batch, row)| (used.partition_point(|n| *n < batch), row))
            .collect();
        let batch = interleave_record_batch(&batches, &places)?;
        write(Slice { batch, bytes })
    }

    /// Returns where the rows of `span` are: (batch, row).
    fn places(&self, span: Span) -> impl Iterator<Item = (usize, usize)> {
        let file = self
            .files
            .binary_search_by_key(&span.file, |rows| rows.file);
        let rows = file.ok().and_then(|at| self.files.get(at));
        let begin = rows.and_then(|rows| {
            let at = rows
                .spans
                .binary_search_by_key(&span.start, |(start, _)| *start);
            at.ok()
                .and_then(|at| rows.spans.get(at))
                .map(|(_, begin)| *begin)
        });
        let count = usize::try_from(span.rows).unwrap_or(usize::MAX);
        rows.zip(begin).into_iter().flat_map(move |(rows, begin)| {
            (begin..begin + count).filter_map(move |position| {
                let after = rows
                    .batches
                    .partition_point(|(start, _)| *start <= position);
                let (start, batch) = rows.batches.get(after.checked_sub(1)?)?;
                Some((*batch, position - start))
            })
        })
    }
}
