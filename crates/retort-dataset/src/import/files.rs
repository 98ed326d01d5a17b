//! The files of an import: what they are, and their rows one after the other.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use retort_types::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::batch::{self, Requests};
use super::error::{ImportError, Place, Position};
use super::row::Sink;
use super::{ImportInput, cells, lines, tables};

/// Bytes that are hashed at once.
const HASH_BYTES: usize = 1 << 20;

/// A file as an import document names it: by its name alone, wherever it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Its name, without the folders it was in.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Returns what the files are.
pub(super) fn list(paths: &[PathBuf]) -> Result<Vec<ListedFile>, ImportError> {
    paths.iter().map(|path| listed(path)).collect()
}

fn listed(path: &Path) -> Result<ListedFile, ImportError> {
    let name = path.display().to_string();
    let mut file = lines::open(path, &name)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASH_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(lines::failed(&name))?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        hasher.update(part);
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
    }
    let own = path.file_name().map(|own| own.to_string_lossy());
    Ok(ListedFile {
        name: own.map_or(name, std::borrow::Cow::into_owned),
        bytes,
        sha256: Digest::from_bytes(hasher.finalize().into()),
    })
}

/// Hands on the rows of every file of `input`, in the order of the files.
pub(super) fn read(input: &ImportInput, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let requests = Requests::read(&input.requests)?;
    for path in &input.replies {
        let name = path.display().to_string();
        let suffix = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        match suffix.as_ref().and_then(|suffix| suffix.to_str()) {
            Some("jsonl" | "ndjson" | "json") => json_lines(path, &name, input, &requests, sink)?,
            Some("csv") => tables::csv(path, &name, input, sink)?,
            Some("parquet") => tables::parquet(path, &name, input, sink)?,
            Some(_) | None => {
                let position = Position {
                    file: &name,
                    place: Place::File,
                };
                return Err(position.bad_hint(
                    "the kind of file is not known",
                    "its name must end in .jsonl, .csv or .parquet",
                ));
            }
        }
    }
    Ok(())
}

/// Lines with a `custom_id` and a `response` or an `error` are batch output; others are replies.
fn json_lines(
    path: &Path,
    name: &str,
    input: &ImportInput,
    requests: &Requests,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    lines::each(path, name, &mut |position, line| {
        let value: Value = serde_json::from_slice(line).map_err(|error| {
            position.bad_hint(
                format!("it is not JSON: {error}"),
                "each line is one JSON object",
            )
        })?;
        let Value::Object(object) = value else {
            return Err(
                position.bad_hint("it is not a JSON object", "each line is one JSON object")
            );
        };
        let is_batch = object.contains_key("custom_id")
            && (object.contains_key("response") || object.contains_key("error"));
        let row = if is_batch {
            batch::row(position, &object, input, requests)?
        } else {
            let cells = cells::of_object(position, &object, &input.columns)?;
            cells.row(position, input.model.as_deref())?
        };
        sink(row)
    })
}
