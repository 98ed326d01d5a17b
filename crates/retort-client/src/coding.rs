//! Undoing content encodings: push-style, so that each received chunk expands at once, and capped.

mod brotli;
mod deflate;
mod gzip;
mod inflate;
mod zstd;

use http::{HeaderMap, header};

/// Most content encodings applied one upon another. Servers use one, and a proxy may add another.
const MAX_CODINGS: usize = 3;

/// Size of the buffers that expanded bytes pass through.
const BUFFER_BYTES: usize = 16 * 1024;

/// Why a body cannot be expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Unknown,
    TooMany,
    Corrupt,
    Trailing,
    Truncated,
    TooLarge,
}

impl Fault {
    pub(crate) const fn cause(self) -> &'static str {
        match self {
            Self::Unknown => "unknown encoding",
            Self::TooMany => "too many encodings",
            Self::Corrupt => "corrupt",
            Self::Trailing => "data after its end",
            Self::Truncated => "ends too early",
            Self::TooLarge => "too large",
        }
    }
}

/// Takes expanded bytes.
type Out<'a> = dyn FnMut(&[u8]) -> Result<(), Fault> + 'a;

/// Undoes one encoding.
trait Coding: Send {
    /// Expands `input` as far as possible.
    fn push(&mut self, input: &[u8], out: &mut Out<'_>) -> Result<(), Fault>;

    /// Tells whether the encoding may end here.
    fn finish(&self) -> Result<(), Fault>;
}

struct Stage {
    coding: Box<dyn Coding>,
    /// Bytes it may still give. Counted for each stage, so that no inner one is a bomb either.
    left: usize,
}

/// Undoes the content encodings of one body.
pub(crate) struct Expander {
    /// In the order of decoding: the last applied first.
    stages: Vec<Stage>,
    /// Bytes that may still pass when nothing is encoded.
    left: usize,
    is_empty: bool,
}

impl Expander {
    /// Returns an expander for a body with these headers that gives at most `cap` bytes.
    pub(crate) fn of(headers: &HeaderMap, cap: usize) -> Result<Self, Fault> {
        let mut stages = Vec::new();
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let list = value.to_str().map_err(|_| Fault::Unknown)?;
            for name in list.split(',') {
                if let Some(coding) = coding(name.trim())? {
                    stages.push(Stage { coding, left: cap });
                }
                if stages.len() > MAX_CODINGS {
                    return Err(Fault::TooMany);
                }
            }
        }
        stages.reverse();
        Ok(Self {
            stages,
            left: cap,
            is_empty: true,
        })
    }

    /// Returns whether the body is as it was received.
    pub(crate) const fn is_identity(&self) -> bool {
        self.stages.is_empty()
    }

    /// Expands `input`. What could be expanded before a fault is given out.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        self.is_empty &= input.is_empty();
        let mut give = |piece: &[u8]| {
            if !piece.is_empty() {
                out(piece);
            }
            Ok(())
        };
        if self.is_identity() {
            return capped(&mut self.left, input, &mut give);
        }
        run(&mut self.stages, input, &mut give)
    }

    /// Tells whether the body may end here. An empty body is complete in any encoding.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.is_empty {
            return Ok(());
        }
        self.stages.iter().try_for_each(|s| s.coding.finish())
    }
}

/// Undoes the content encodings of a whole body with these headers, giving at most `max_bytes`.
/// Returns what could be expanded, and why that is not all, if it is not.
pub fn expand(
    headers: &HeaderMap,
    body: &[u8],
    max_bytes: usize,
) -> (Vec<u8>, Option<&'static str>) {
    let mut expanded = Vec::new();
    let mut expander = match Expander::of(headers, max_bytes) {
        Ok(expander) => expander,
        Err(fault) => return (expanded, Some(fault.cause())),
    };
    let pushed = expander.push(body, &mut |piece| expanded.extend_from_slice(piece));
    let fault = pushed.and_then(|()| expander.finish()).err();
    (expanded, fault.map(Fault::cause))
}

fn run(stages: &mut [Stage], input: &[u8], out: &mut Out<'_>) -> Result<(), Fault> {
    let Some((first, rest)) = stages.split_first_mut() else {
        return out(input);
    };
    let left = &mut first.left;
    first.coding.push(input, &mut |piece| {
        capped(left, piece, &mut |fitting| run(rest, fitting, out))
    })
}

fn capped(left: &mut usize, piece: &[u8], out: &mut Out<'_>) -> Result<(), Fault> {
    let fitting = piece.len().min(*left);
    *left -= fitting;
    out(&piece[..fitting])?;
    if fitting < piece.len() {
        return Err(Fault::TooLarge);
    }
    Ok(())
}

fn coding(name: &str) -> Result<Option<Box<dyn Coding>>, Fault> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "" | "identity" => None,
        "gzip" | "x-gzip" => Some(Box::new(gzip::Gzip::new())),
        "deflate" => Some(Box::new(deflate::Deflate::new())),
        "br" => Some(Box::new(brotli::Brotli::new())),
        "zstd" => Some(Box::new(zstd::Zstd::new()?)),
        _ => return Err(Fault::Unknown),
    })
}

#[cfg(test)]
mod tests;
