//! Reasoning in a tag at the start of a text, as servers without a field for it leave it there.

use retort_types::reply::FinishReason;

const OPEN: &str = "<think>";

/// The tag that ends reasoning.
pub(crate) const CLOSE: &str = "</think>";

/// A text taken apart.
pub(crate) struct Tagged<'a> {
    pub(crate) reasoning: &'a str,
    pub(crate) text: &'a str,
    pub(crate) is_closed: bool,
}

/// Returns what stands within and after a think tag at the very start of `text`. A tag that is
/// never closed is reasoning only when the answer ended before its natural end.
pub(crate) fn taken_apart(text: &str, finish: Option<FinishReason>) -> Option<Tagged<'_>> {
    let inner = text.trim_start().strip_prefix(OPEN)?;
    let (reasoning, text, is_closed) = match inner.split_once(CLOSE) {
        Some((reasoning, text)) => (reasoning, text, true),
        None if finish == Some(FinishReason::Stop) => return None,
        None => (inner, "", false),
    };
    Some(Tagged {
        reasoning,
        text,
        is_closed,
    })
}
