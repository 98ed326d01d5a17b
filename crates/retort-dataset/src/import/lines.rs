//! Lines of a file, each of bounded length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use super::error::{ImportError, Place, Position};

/// Longest line or row: an answer of a megabyte with its log probabilities takes some thirty.
pub(super) const ROW_BYTES_MAX: u64 = 64 << 20;

/// Takes a line and where it is.
type Take<'t> = dyn FnMut(Position<'_>, &[u8]) -> Result<(), ImportError> + 't;

/// Hands on every line of the file that is not blank, without its end, and its number from 1.
pub(super) fn each(path: &Path, name: &str, take: &mut Take<'_>) -> Result<(), ImportError> {
    let mut reader = BufReader::new(open(path, name)?);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = (&mut reader)
            .take(ROW_BYTES_MAX)
            .read_until(b'\n', &mut line);
        let read = read.map_err(failed(name))?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        let position = Position {
            file: name,
            place: Place::Line(number),
        };
        if u64::try_from(read).unwrap_or(u64::MAX) == ROW_BYTES_MAX && !line.ends_with(b"\n") {
            return Err(position.bad(format!("it is longer than {ROW_BYTES_MAX} bytes")));
        }
        let mut text = line.trim_ascii();
        if number == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        if !text.is_empty() {
            take(position, text)?;
        }
    }
}

/// Opens a file.
pub(super) fn open(path: &Path, name: &str) -> Result<File, ImportError> {
    let file = File::open(path).map_err(failed(name))?;
    let is_folder = file.metadata().map_err(failed(name))?.is_dir();
    if is_folder {
        return Err(failed(name)(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(file)
}

/// Returns an error about reading the file called `name`.
pub(super) fn failed(name: &str) -> impl Fn(io::Error) -> ImportError + '_ {
    move |source| ImportError::File {
        file: name.to_owned(),
        source,
    }
}
