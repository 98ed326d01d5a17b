//! Texts of models as they are shown: cut, without characters that steer, shared phrases marked.
//!
//! Escaping is the template's; here nothing is markup yet.

use serde::Serialize;

/// Characters of a passage that are shown. A reply may have a million.
const SHOWN_CHARS: usize = 900;

/// Characters of a reply in which shared phrases are looked for.
const SEARCHED_CHARS: usize = 20_000;

/// Characters shown before the first shared phrase, where a passage begins in the middle.
const LEAD_CHARS: usize = 160;

/// Shared phrases that are marked.
const PHRASES: usize = 24;

/// A part of a passage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    /// The text.
    pub(super) text: String,
    /// Whether the other passage has it too.
    pub(super) shared: bool,
}

/// Returns a text in which control characters and characters that change the direction of writing
/// are seen instead of obeyed. New lines and tabs stay.
pub(super) fn visible(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Returns the first `most` characters, with an ellipsis where more follow.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}

/// Returns a passage of a reply in parts: around the first shared phrase, cut, phrases marked.
pub(super) fn marked(reply: &str, phrases: &[String]) -> Vec<Part> {
    let end = reply.char_indices().nth(SEARCHED_CHARS);
    let searched = end.map_or(reply, |(end, _)| reply.get(..end).unwrap_or_default());
    let spans = spans(searched, phrases);
    let chars: Vec<usize> = searched.char_indices().map(|(at, _)| at).collect();
    let number_of = |byte: usize| chars.partition_point(|at| *at < byte);
    let first = spans.first().map_or(0, |(from, _)| number_of(*from));
    let begin = if first + LEAD_CHARS < SHOWN_CHARS {
        0
    } else {
        first - LEAD_CHARS
    };
    let until = (begin + SHOWN_CHARS).min(chars.len());
    let byte_of = |number: usize| chars.get(number).copied().unwrap_or(searched.len());
    let (from, to) = (byte_of(begin), byte_of(until));
    let mut parts = Vec::new();
    let mut push = |from: usize, to: usize, shared: bool| {
        let text = searched.get(from..to).unwrap_or_default();
        if !text.is_empty() {
            parts.push(Part {
                text: visible(text),
                shared,
            });
        }
    };
    if begin > 0 {
        push(0, 0, false);
    }
    let mut at = from;
    for (start, end) in spans {
        let (start, end) = (start.max(from), end.min(to));
        if start < end && start >= at {
            push(at, start, false);
            push(start, end, true);
            at = end;
        }
    }
    push(at, to, false);
    let ellipsis = || Part {
        text: "…".to_owned(),
        shared: false,
    };
    if begin > 0 {
        parts.insert(0, ellipsis());
    }
    if to < reply.len() {
        parts.push(ellipsis());
    }
    parts
}

/// A word: where it stands, and its letters in lower case.
type Word = (usize, usize, String);

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut begun: Option<usize> = None;
    let ends = text.char_indices().chain([(text.len(), ' ')]);
    for (at, c) in ends {
        match (c.is_alphanumeric(), begun) {
            (true, None) => begun = Some(at),
            (false, Some(from)) => {
                let word = text.get(from..at).unwrap_or_default().to_lowercase();
                words.push((from, at, word));
                begun = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    words
}

/// Returns where phrases occur, in order and merged where they overlap. Punctuation and spaces
/// between words do not matter: phrases come from tokens.
fn spans(text: &str, phrases: &[String]) -> Vec<(usize, usize)> {
    let words = words(text);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for phrase in phrases.iter().take(PHRASES) {
        let wanted: Vec<String> = self::words(phrase).into_iter().map(|word| word.2).collect();
        if wanted.is_empty() {
            continue;
        }
        for window in words.windows(wanted.len()) {
            let is_here = window
                .iter()
                .zip(&wanted)
                .all(|(word, wanted)| word.2 == *wanted);
            if let (true, [(from, ..), ..], [.., (_, to, _)]) = (is_here, window, window) {
                found.push((*from, *to));
            }
        }
    }
    found.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (from, to) in found {
        match merged.last_mut() {
            Some((_, last)) if from <= *last => *last = to.max(*last),
            Some(_) | None => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: &str, phrases: &[&str], expected: &str) {
        let phrases: Vec<String> = phrases.iter().map(|phrase| (*phrase).to_owned()).collect();
        let parts = marked(reply, &phrases);
        let shown: String = parts
            .iter()
            .map(|part| {
                if part.shared {
                    format!("[{}]", part.text)
                } else {
                    part.text.clone()
                }
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn shared_phrases_are_marked_whatever_stands_between_their_words() {
        check(
            "Well, let me — THINK again.",
            &["let me think"],
            "Well, [let me — THINK] again.",
        );
        check("a b c d", &["a b", "b c"], "[a b c] d");
        check("äöü ÄÖÜ", &["äöü"], "[äöü] [ÄÖÜ]");
        check("none", &["", "...", "other"], "none");
        check("", &["x"], "");
    }

    #[test]
    fn long_replies_are_cut_around_what_is_shared() {
        let reply = format!(
            "{}the key phrase{}",
            "ö ".repeat(2_000),
            " z".repeat(600_000)
        );
        let parts = marked(&reply, &["key phrase".to_owned()]);
        let total: usize = parts.iter().map(|part| part.text.chars().count()).sum();
        assert!(total <= SHOWN_CHARS + 2, "{total}");
        assert!(
            parts
                .iter()
                .any(|part| part.shared && part.text == "key phrase")
        );
        assert_eq!(parts.first().map(|part| part.text.as_str()), Some("…"));
        assert_eq!(parts.last().map(|part| part.text.as_str()), Some("…"));
    }

    #[test]
    fn what_steers_is_shown() {
        assert_eq!(
            visible("a\u{202e}b\u{0}c\nd\te"),
            "a\\u{202e}b\\u{0}c\nd\te"
        );
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
