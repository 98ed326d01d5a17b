//! Version 2 of the dataset's tables: names, types, units and meaning of every column.
//!
//! Names are stable. Arrow maps and dictionary types are not used: common readers refuse or merge
//! them wrongly. Parquet still dictionary-encodes repeated texts on its own.
//!
//! Version 2 added `client_lag_ms`. A file of an earlier version reads as if columns that came later
//! were there and null.

mod columns;
mod readers;

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Metadata, Schema, SchemaRef, TimeUnit};

pub use columns::{ATTEMPTS, MODELS, PROMPTS, RESPONSES, TOKENS};
pub use readers::{READERS, Reader};

/// Version of the tables; goes into every file's metadata and every manifest.
pub const VERSION: &str = "2";

/// One of the dataset's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One final row per sample.
    Responses,
    /// One row per token with a log probability.
    Tokens,
    /// One row per HTTP exchange.
    Attempts,
    /// One row per prompt.
    Prompts,
    /// One row per model.
    Models,
}

impl Table {
    /// Every table, in the order of documents.
    pub const ALL: [Self; 5] = [
        Self::Responses,
        Self::Tokens,
        Self::Attempts,
        Self::Prompts,
        Self::Models,
    ];

    /// Returns the table's name: its folder in a snapshot and its suffix in segments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Tokens => "tokens",
            Self::Attempts => "attempts",
            Self::Prompts => "prompts",
            Self::Models => "models",
        }
    }

    /// Returns what a row of the table is, in one sentence.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Responses => "One sample of the plan, with how it ended and what was answered.",
            Self::Tokens => "One token of an answer, with its log probability and alternatives.",
            Self::Attempts => "One HTTP exchange, failed ones included.",
            Self::Prompts => "One prompt.",
            Self::Models => "One model, with what the catalog said of it.",
        }
    }

    /// Returns the table's columns in order.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Responses => RESPONSES,
            Self::Tokens => TOKENS,
            Self::Attempts => ATTEMPTS,
            Self::Prompts => PROMPTS,
            Self::Models => MODELS,
        }
    }

    /// Returns the table's Arrow schema; each field's metadata says `doc` and, where it has one,
    /// `unit` and `otel` (the attribute of the OpenTelemetry `GenAI` conventions).
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 5]> =
            LazyLock::new(|| Table::ALL.map(|table| Arc::new(schema_of(table.columns()))));
        let [responses, tokens, attempts, prompts, models] = &*SCHEMAS;
        Arc::clone(match self {
            Self::Responses => responses,
            Self::Tokens => tokens,
            Self::Attempts => attempts,
            Self::Prompts => prompts,
            Self::Models => models,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether values may be absent.
    pub nullable: bool,
    /// Unit of its numbers.
    pub unit: Option<&'static str>,
    /// The attribute of the OpenTelemetry `GenAI` conventions that means the same.
    pub otel: Option<&'static str>,
    /// What it says, in one sentence.
    pub doc: &'static str,
    /// The version of the tables that brought it.
    pub since: u8,
}

impl Column {
    const fn of(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            nullable: false,
            unit: None,
            otel: None,
            doc,
            since: 1,
        }
    }

    const fn null(mut self) -> Self {
        self.nullable = true;
        self
    }

    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Makes it a column that came later; it must be one whose values may be absent.
    const fn since(mut self, version: u8) -> Self {
        self.since = version;
        self
    }

    const fn otel(mut self, otel: &'static str) -> Self {
        self.otel = Some(otel);
        self
    }

    fn field(&self) -> Field {
        let entries = [
            Some(("doc", self.doc)),
            self.unit.map(|unit| ("unit", unit)),
            self.otel.map(|otel| ("otel", otel)),
        ];
        let metadata: Metadata = entries.into_iter().flatten().collect();
        Field::new(self.name, self.kind.data_type(), self.nullable).with_metadata(metadata)
    }
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// True or false.
    Boolean,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// Floating point, 32 bits.
    F32,
    /// Floating point, 64 bits.
    F64,
    /// Microseconds since the epoch, UTC.
    Time,
    /// List of 32-bit floating point numbers.
    F32List,
    /// List of texts.
    TextList,
    /// List of bytes, each of which may be absent.
    BinaryList,
    /// List of `{role, content}`.
    Messages,
    /// List of `{name, value}`.
    Headers,
}

impl Kind {
    /// Returns the Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Boolean => DataType::Boolean,
            Self::U16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
            Self::U64 => DataType::UInt64,
            Self::I64 => DataType::Int64,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::F32List => list(DataType::Float32, false),
            Self::TextList => list(DataType::Utf8, false),
            Self::BinaryList => list(DataType::Binary, true),
            Self::Messages => list(pair("role", "content"), false),
            Self::Headers => list(pair("name", "value"), false),
        }
    }

    /// Returns the word used in documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Binary => "binary",
            Self::Boolean => "bool",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::Time => "timestamp[us, UTC]",
            Self::F32List => "list<float32>",
            Self::TextList => "list<string>",
            Self::BinaryList => "list<binary>",
            Self::Messages => "list<struct<role: string, content: string>>",
            Self::Headers => "list<struct<name: string, value: string>>",
        }
    }
}

/// Name of the child of list columns, as the Parquet specification wants it.
pub(crate) const LIST_CHILD: &str = "element";

fn list(child: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new(LIST_CHILD, child, nullable)))
}

fn pair(first: &str, second: &str) -> DataType {
    DataType::Struct(Fields::from(vec![
        Field::new(first, DataType::Utf8, false),
        Field::new(second, DataType::Utf8, false),
    ]))
}

fn schema_of(columns: &[Column]) -> Schema {
    Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>())
}

/// Returns every column of every table, in order: what reference pages are made from.
pub fn columns() -> impl Iterator<Item = (Table, &'static Column)> {
    Table::ALL
        .into_iter()
        .flat_map(|table| table.columns().iter().map(move |column| (table, column)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_schema_is_the_released_one() {
        let mut text = format!("version {VERSION}\n");
        for table in Table::ALL {
            writeln!(text, "\n{table}").unwrap();
            for field in table.schema().fields() {
                let null = if field.is_nullable() { " null" } else { "" };
                write!(text, "  {} {}{null}", field.name(), field.data_type()).unwrap();
                for key in ["unit", "otel"] {
                    if let Some(value) = field.metadata().get(key) {
                        write!(text, " {key}={value}").unwrap();
                    }
                }
                text.push('\n');
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn names_are_unique_and_documented() {
        let mut seen = BTreeSet::new();
        for (table, column) in columns() {
            assert!(seen.insert((table, column.name)), "{table}.{}", column.name);
            assert!(column.doc.ends_with('.'), "{table}.{}", column.name);
            // Else files from before could not be read.
            assert!(column.since == 1 || column.nullable, "{}", column.name);
            let field = table.schema().field_with_name(column.name).unwrap().clone();
            assert_eq!(
                field.metadata().get("doc").map(String::as_str),
                Some(column.doc)
            );
        }
    }

    #[test]
    fn no_type_that_common_readers_refuse() {
        fn check(data_type: &DataType) {
            let refused = matches!(data_type, DataType::Map(..) | DataType::Dictionary(..));
            assert!(!refused, "{data_type}");
            if let DataType::List(child) = data_type {
                assert_eq!(child.name(), LIST_CHILD);
                check(child.data_type());
            }
            if let DataType::Struct(fields) = data_type {
                fields.iter().for_each(|field| check(field.data_type()));
            }
        }
        for (_, column) in columns() {
            check(&column.kind.data_type());
        }
    }
}
