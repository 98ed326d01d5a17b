//! Rows against rows, cell by cell.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Float64Type, TimestampMicrosecondType, UInt16Type, UInt32Type, UInt64Type,
};

/// Calls `differs` with each row of `actual`, and its column, that is not as in `expected`.
pub(super) fn differences(
    expected: &RecordBatch,
    actual: &RecordBatch,
    columns: &[&str],
    differs: &mut dyn FnMut(usize, &str),
) {
    for column in columns {
        let (Some(want), Some(have)) = (
            expected.column_by_name(column),
            actual.column_by_name(column),
        ) else {
            continue;
        };
        if want == have {
            continue;
        }
        for row in 0..want.len().min(have.len()) {
            if want.slice(row, 1) != have.slice(row, 1) {
                differs(row, column);
            }
        }
    }
}

/// Appends a cell to `bytes` so that different cells give different bytes.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the columns that are compared so have these types only"
)]
pub(super) fn append(array: &dyn Array, row: usize, bytes: &mut Vec<u8>) {
    if array.is_null(row) {
        bytes.push(0);
        return;
    }
    bytes.push(1);
    match array.data_type() {
        DataType::Utf8 => {
            let text = array.as_string::<i32>().value(row);
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        DataType::UInt16 => {
            let value = array.as_primitive::<UInt16Type>().value(row);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        DataType::UInt32 => {
            let value = array.as_primitive::<UInt32Type>().value(row);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        DataType::UInt64 => {
            let value = array.as_primitive::<UInt64Type>().value(row);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        DataType::Timestamp(..) => {
            let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        other => bytes.extend_from_slice(other.to_string().as_bytes()),
    }
}

/// The place of a row in the order of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rank(Vec<RankPart>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum RankPart {
    Number(i128),
    Text(String),
}

impl Rank {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the columns that order rows have these types only"
    )]
    pub(super) fn of(batch: &RecordBatch, columns: &[&str], row: usize) -> Self {
        let columns = columns.iter().filter_map(|name| batch.column_by_name(name));
        let part = |array: &dyn Array| match array.data_type() {
            DataType::Utf8 => RankPart::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::UInt32 => {
                RankPart::Number(array.as_primitive::<UInt32Type>().value(row).into())
            }
            DataType::Timestamp(..) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                RankPart::Number(micros.into())
            }
            _ => RankPart::Number(array.as_primitive::<UInt64Type>().value(row).into()),
        };
        Self(columns.map(|array| part(array)).collect())
    }

    /// Returns whether rows of this and then that rank are in order.
    pub(super) fn is_before(&self, next: &Self) -> bool {
        self.0.cmp(&next.0) != Ordering::Greater
    }
}
