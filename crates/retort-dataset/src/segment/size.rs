//! What the values of rows take in bytes: the same for the same rows, however Arrow holds them.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;

/// Returns what each row's values take in bytes.
pub(crate) fn row_lengths(batch: &RecordBatch) -> Vec<u64> {
    let mut lengths = vec![0; batch.num_rows()];
    for column in batch.columns() {
        add_lengths(column, &mut lengths);
    }
    lengths
}

/// Returns the names of the columns of `batch` whose values take fewer than `bytes`.
pub(super) fn columns_below(batch: &RecordBatch, bytes: u64) -> Vec<String> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let is_below = |column: &dyn Array| {
        let mut lengths = vec![0; column.len()];
        add_lengths(column, &mut lengths);
        lengths.iter().sum::<u64>() < bytes
    };
    columns
        .filter(|(_, column)| is_below(column))
        .map(|(field, _)| field.name().clone())
        .collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every type without inner lengths is a number of at most 8 bytes"
)]
fn add_lengths(array: &dyn Array, lengths: &mut [u64]) {
    match array.data_type() {
        DataType::Utf8 => add_offsets(array.as_string::<i32>().value_offsets(), lengths),
        DataType::Binary => add_offsets(array.as_binary::<i32>().value_offsets(), lengths),
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                add_lengths(column, lengths);
            }
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let mut inner = vec![0; list.values().len()];
            add_lengths(list.values(), &mut inner);
            for (length, bounds) in lengths.iter_mut().zip(list.value_offsets().windows(2)) {
                let at = |n: usize| bounds.get(n).and_then(|o| usize::try_from(*o).ok());
                let range = at(0).unwrap_or(0)..at(1).unwrap_or(0);
                *length += inner.get(range).unwrap_or_default().iter().sum::<u64>();
            }
        }
        _ => lengths.iter_mut().for_each(|length| *length += 8),
    }
}

fn add_offsets(offsets: &[i32], lengths: &mut [u64]) {
    for (length, bounds) in lengths.iter_mut().zip(offsets.windows(2)) {
        if let [from, to] = bounds {
            *length += u64::try_from(to - from).unwrap_or(0);
        }
    }
}
