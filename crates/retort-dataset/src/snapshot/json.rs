//! Rows as JSON, for people and programs that look at a few of them.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt16Type,
    UInt32Type, UInt64Type,
};
use retort_types::Timestamp;
use retort_types::digest::hex;
use serde_json::{Map, Value, json};

/// Returns a row as an object: times as text, bytes in hex.
pub(super) fn object(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    fields
        .map(|(field, column)| (field.name().clone(), cell(column, row)))
        .collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the schema has these types only; another one has no value to tell"
)]
fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(hex(array.as_binary::<i32>().value(row))),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            json!(Timestamp::from_micros(micros))
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            (0..values.len()).map(|row| cell(&values, row)).collect()
        }
        DataType::Struct(_) => {
            let group = array.as_struct();
            let fields = group.fields().iter().zip(group.columns());
            let fields = fields.map(|(field, column)| (field.name().clone(), cell(column, row)));
            Value::Object(fields.collect())
        }
        _ => Value::Null,
    }
}
