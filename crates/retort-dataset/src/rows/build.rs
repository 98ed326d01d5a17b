//! Builds a record batch column by column, in the order of the schema.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, Float32Array, Float32Builder,
    Float64Array, Int64Array, ListArray, ListBuilder, PrimitiveArray, RecordBatch, StringArray,
    StringBuilder, StructArray, TimestampMicrosecondArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use retort_types::Timestamp;

use crate::schema::{LIST_CHILD, Table};

/// Columns under construction over `items`, one row each.
pub(super) struct Rows<'a, T> {
    table: Table,
    schema: SchemaRef,
    items: &'a [&'a T],
    columns: Vec<ArrayRef>,
}

/// Pairs of texts, as messages and headers are.
pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;

impl<'a, T> Rows<'a, T> {
    pub(super) fn new(table: Table, items: &'a [&'a T]) -> Self {
        Self {
            table,
            schema: table.schema(),
            items,
            columns: Vec::with_capacity(table.columns().len()),
        }
    }

    fn push(&mut self, name: &str, column: impl Array + 'static) {
        self.push_ref(name, Arc::new(column));
    }

    fn push_ref(&mut self, name: &str, column: ArrayRef) {
        let expected = self.table.columns().get(self.columns.len());
        assert_eq!(
            expected.map(|column| column.name),
            Some(name),
            "columns are built in the order of the schema"
        );
        self.columns.push(column);
    }

    fn values<V>(&self, value: impl Fn(&'a T) -> V) -> impl Iterator<Item = V> {
        self.items.iter().map(move |item| value(item))
    }

    /// Adds a column of values as they show, written straight to where they stay.
    pub(super) fn shown<V: Display>(&mut self, name: &str, value: impl Fn(&'a T) -> Option<V>) {
        let mut column = StringBuilder::new();
        for value in self.values(value) {
            match value {
                Some(value) => {
                    write!(column, "{value}").expect("a builder takes any text");
                    column.append_value("");
                }
                None => column.append_null(),
            }
        }
        let column = column.finish();
        self.push(name, column);
    }

    pub(super) fn str(&mut self, name: &str, value: impl Fn(&'a T) -> Option<&'a str>) {
        let column: StringArray = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn bytes(&mut self, name: &str, value: impl Fn(&'a T) -> Option<&'a [u8]>) {
        let column: BinaryArray = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn boolean(&mut self, name: &str, value: impl Fn(&'a T) -> bool) {
        let column: BooleanArray = self.values(value).map(Some).collect();
        self.push(name, column);
    }

    pub(super) fn u16(&mut self, name: &str, value: impl Fn(&'a T) -> Option<u16>) {
        let column: UInt16Array = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn u32(&mut self, name: &str, value: impl Fn(&'a T) -> Option<u32>) {
        let column: UInt32Array = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn u64(&mut self, name: &str, value: impl Fn(&'a T) -> Option<u64>) {
        let column: UInt64Array = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn i64(&mut self, name: &str, value: impl Fn(&'a T) -> Option<i64>) {
        let column: Int64Array = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn f32(&mut self, name: &str, value: impl Fn(&'a T) -> Option<f32>) {
        let column: Float32Array = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn f64(&mut self, name: &str, value: impl Fn(&'a T) -> Option<f64>) {
        let column: Float64Array = self.values(value).collect();
        self.push(name, column);
    }

    pub(super) fn time(&mut self, name: &str, value: impl Fn(&'a T) -> Option<Timestamp>) {
        let micros = self
            .values(value)
            .map(|time| time.map(Timestamp::as_micros));
        let column: TimestampMicrosecondArray = micros.collect::<PrimitiveArray<_>>();
        self.push(name, column.with_timezone("UTC"));
    }

    pub(super) fn f32_list<I>(&mut self, name: &str, value: impl Fn(&'a T) -> Option<I>)
    where
        I: IntoIterator<Item = f32>,
    {
        let mut list =
            ListBuilder::new(Float32Builder::new()).with_field(child(DataType::Float32, false));
        for numbers in self.values(value) {
            let told = numbers.is_some();
            for number in numbers.into_iter().flatten() {
                list.values().append_value(number);
            }
            list.append(told);
        }
        let column = list.finish();
        self.push(name, column);
    }

    pub(super) fn text_list<I>(&mut self, name: &str, value: impl Fn(&'a T) -> I)
    where
        I: IntoIterator<Item = &'a str>,
    {
        let mut list =
            ListBuilder::new(StringBuilder::new()).with_field(child(DataType::Utf8, false));
        for texts in self.values(value) {
            for text in texts {
                list.values().append_value(text);
            }
            list.append(true);
        }
        let column = list.finish();
        self.push(name, column);
    }

    pub(super) fn bytes_list<I>(&mut self, name: &str, value: impl Fn(&'a T) -> Option<I>)
    where
        I: IntoIterator<Item = Option<&'a [u8]>>,
    {
        let mut list =
            ListBuilder::new(BinaryBuilder::new()).with_field(child(DataType::Binary, true));
        for values in self.values(value) {
            let told = values.is_some();
            for bytes in values.into_iter().flatten() {
                list.values().append_option(bytes);
            }
            list.append(told);
        }
        let column = list.finish();
        self.push(name, column);
    }

    pub(super) fn pairs(&mut self, name: &str, value: impl Fn(&'a T) -> Pairs<'a>) {
        let DataType::List(element) = self.schema.field(self.columns.len()).data_type().clone()
        else {
            unreachable!("columns of pairs are lists in the schema");
        };
        let lists: Vec<Pairs<'a>> = self.values(value).collect();
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
        let texts = || lists.iter().flatten();
        let first = StringArray::from_iter_values(texts().map(|(text, _)| *text));
        let second = StringArray::from_iter_values(texts().map(|(_, text)| *text));
        let DataType::Struct(fields) = element.data_type() else {
            unreachable!("elements of pairs are structs in the schema");
        };
        let structs = StructArray::new(
            fields.clone(),
            vec![Arc::new(first), Arc::new(second)],
            None,
        );
        let column = ListArray::new(element, offsets, Arc::new(structs), None);
        self.push(name, column);
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(self.schema, self.columns)
    }
}

fn child(data_type: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new(LIST_CHILD, data_type, nullable))
}
