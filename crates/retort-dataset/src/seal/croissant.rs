//! `croissant.json`: the snapshot in the vocabulary of Croissant 1.0, which data search engines and
//! the `mlcroissant` reader understand.
//!
//! Every file is a `FileObject` with its hash; every table with rows is a `FileSet` over its files
//! and a `RecordSet` over that. A property that is not known (who publishes it, where) is left out.

use retort_types::Timestamp;
use retort_types::digest::canonical_json;
use serde_json::{Map, Value, json};

use super::card::Facts;
use super::manifest::ManifestFile;
use crate::schema::{self, Column, Kind, Table};

/// Name of the description.
pub(super) const FILE: &str = "croissant.json";

/// What `mlcroissant` knows Parquet by.
const PARQUET: &str = "application/x-parquet";

/// Returns the description of what `facts` tell.
pub(super) fn render(facts: &Facts<'_>) -> String {
    let tables: Vec<Table> = facts.tables_with_rows().collect();
    let mut distribution: Vec<Value> = facts.files.iter().map(file_object).collect();
    distribution.extend(tables.iter().map(|table| file_set(*table)));
    let mut document = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.campaign.id,
        "alternateName": facts.title(),
        "description": format!("{}\n\n{}", facts.campaign.purpose.trim(), facts.use_of_it()),
        "license": "other",
        "version": format!("{}.0.0", schema::VERSION),
        "citeAs": format!("Retort campaign {}, plan {}", facts.campaign.id, facts.plan_hash),
        "keywords": ["retort", "model-provenance"],
        "distribution": distribution,
        "recordSet": tables.iter().map(|table| record_set(*table)).collect::<Vec<_>>(),
    });
    if let (Some(at), Some(properties)) = (facts.last_finished_at, document.as_object_mut()) {
        properties.insert("datePublished".to_owned(), collected(at).into());
    }
    canonical_json(&document).expect("texts and numbers always serialize")
}

/// Returns the day on which the newest row was made: a clock would make two sealers differ.
fn collected(at: Timestamp) -> String {
    at.date()
}

fn file_object(file: &ManifestFile) -> Value {
    json!({
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": format!("{} B", file.bytes),
        "encodingFormat": encoding_of(&file.path),
        "sha256": file.sha256,
    })
}

fn encoding_of(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("parquet") => PARQUET,
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "text/plain",
    }
}

fn file_set(table: Table) -> Value {
    json!({
        "@type": "cr:FileSet",
        "@id": file_set_id(table),
        "name": file_set_id(table),
        "description": format!("The files of the table `{table}`."),
        "encodingFormat": PARQUET,
        // Not `**`: the reader takes it for at least one folder.
        "includes": match table {
            Table::Responses | Table::Tokens => format!("{table}/*/*.parquet"),
            Table::Attempts | Table::Prompts | Table::Models => format!("{table}/*.parquet"),
        },
    })
}

fn file_set_id(table: Table) -> String {
    format!("{table}-files")
}

fn record_set(table: Table) -> Value {
    let fields = table.columns().iter().map(|column| field(table, column));
    json!({
        "@type": "cr:RecordSet",
        "@id": table.as_str(),
        "name": table.as_str(),
        "description": table.doc(),
        "field": fields.collect::<Vec<_>>(),
    })
}

fn field(table: Table, column: &Column) -> Value {
    let id = format!("{table}/{}", column.name);
    let mut field = Map::new();
    let mut set = |key: &str, value: Value| field.insert(key.to_owned(), value);
    set("@type", "cr:Field".into());
    set("name", column.name.into());
    set("description", column.doc.into());
    if is_list(column.kind) {
        set("repeated", true.into());
    }
    if let Some(names) = pair(column.kind) {
        let subfields = names.map(|name| subfield(table, column, name));
        set("subField", subfields.to_vec().into());
    } else {
        set("dataType", data_type(column.kind).into());
        set("source", source(table, column, None));
    }
    set("@id", id.into());
    Value::Object(field)
}

fn subfield(table: Table, column: &Column, name: &str) -> Value {
    json!({
        "@type": "cr:Field",
        "@id": format!("{table}/{}/{name}", column.name),
        "name": name,
        "description": format!("The {name} of each entry of `{}`.", column.name),
        "dataType": "sc:Text",
        "source": source(table, column, Some(name)),
    })
}

fn source(table: Table, column: &Column, part: Option<&str>) -> Value {
    let mut source = json!({
        "fileSet": { "@id": file_set_id(table) },
        "extract": { "column": column.name },
    });
    if let (Some(part), Some(source)) = (part, source.as_object_mut()) {
        source.insert("transform".to_owned(), json!({ "jsonPath": part }));
    }
    source
}

const fn is_list(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::F32List | Kind::TextList | Kind::BinaryList | Kind::Messages | Kind::Headers
    )
}

/// Returns the names of the parts of an entry, when entries have parts.
const fn pair(kind: Kind) -> Option<[&'static str; 2]> {
    match kind {
        Kind::Messages => Some(["role", "content"]),
        Kind::Headers => Some(["name", "value"]),
        Kind::Text
        | Kind::Binary
        | Kind::Boolean
        | Kind::U16
        | Kind::U32
        | Kind::U64
        | Kind::I64
        | Kind::F32
        | Kind::F64
        | Kind::Time
        | Kind::F32List
        | Kind::TextList
        | Kind::BinaryList => None,
    }
}

/// Croissant has no type for bytes; its readers hand texts out as bytes.
const fn data_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "sc:Boolean",
        Kind::U16 | Kind::U32 | Kind::U64 | Kind::I64 => "sc:Integer",
        Kind::F32 | Kind::F64 | Kind::F32List => "sc:Float",
        Kind::Time => "sc:DateTime",
        Kind::Text
        | Kind::Binary
        | Kind::TextList
        | Kind::BinaryList
        | Kind::Messages
        | Kind::Headers => "sc:Text",
    }
}

/// Returns the context that Croissant 1.0 prescribes.
fn context() -> Value {
    let mut context = json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "data": { "@id": "cr:data", "@type": "@json" },
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" },
        "dct": "http://purl.org/dc/terms/",
        "examples": { "@id": "cr:examples", "@type": "@json" },
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
    });
    let terms = [
        "citeAs",
        "column",
        "equivalentProperty",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
        "includes",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
    ];
    if let Some(context) = context.as_object_mut() {
        context.extend(terms.map(|term| (term.to_owned(), format!("cr:{term}").into())));
    }
    context
}
