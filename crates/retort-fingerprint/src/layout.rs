//! How a reply is laid out: the kinds of its lines, and counts of marks.

use xxhash_rust::xxh3::xxh3_64;

/// Characters of a reply whose layout is read.
const READ_CHARS: usize = 4_000;

/// Characters that make a step in the length of a line, and how many steps are told apart.
const LINE_STEP_CHARS: usize = 60;
const LINE_STEPS_MAX: usize = 4;

/// Deepest heading that is told apart.
const HEADING_MAX: usize = 6;

/// Returns the hash of the kind of each line.
pub(crate) fn lines(text: &str) -> Vec<u64> {
    let text: String = text.chars().take(READ_CHARS).collect();
    text.split('\n')
        .map(|line| xxh3_64(kind(line).as_bytes()))
        .collect()
}

fn kind(line: &str) -> String {
    let line = line.trim();
    let class = class(line);
    let bold = if line.contains("**") { "b" } else { "" };
    let end = match line.chars().next_back() {
        Some(':') => ":",
        Some('.' | '!' | '?') => ".",
        Some(_) | None => "",
    };
    let steps = (line.chars().count() / LINE_STEP_CHARS).min(LINE_STEPS_MAX);
    format!("{class}|{bold}|{end}|{steps}")
}

fn class(line: &str) -> String {
    let hashes = line.bytes().take_while(|b| *b == b'#').count();
    if line.is_empty() {
        "blank".to_owned()
    } else if hashes > 0 {
        format!("h{}", hashes.min(HEADING_MAX))
    } else if line.starts_with("```") {
        "fence".to_owned()
    } else if line.starts_with('|') {
        "table".to_owned()
    } else if let Some(bullet) = bullet(line) {
        format!("b{bullet}")
    } else if let Some(mark) = numbered(line) {
        format!("n{mark}")
    } else {
        "p".to_owned()
    }
}

/// Returns the bullet that a line begins with.
fn bullet(line: &str) -> Option<char> {
    let mut chars = line.chars();
    let first = chars
        .next()
        .filter(|c| matches!(c, '-' | '*' | '+' | '•' | '–'))?;
    chars
        .next()
        .is_some_and(char::is_whitespace)
        .then_some(first)
}

/// Returns the mark behind the number that a line begins with: `1.` or `1)`.
fn numbered(line: &str) -> Option<char> {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == line.len() {
        return None;
    }
    rest.chars().next().filter(|c| matches!(c, '.' | ')'))
}

/// How many counts make the numeric profile of a reply.
pub(crate) const COUNTS: usize = 6;

/// Returns ln(1 + x) of characters, line breaks, lines with bullets, numbered lines, commas and
/// double quotes.
pub(crate) fn counts(text: &str) -> [f32; COUNTS] {
    let (mut chars, mut breaks, mut commas, mut quotes) = (0_usize, 0, 0, 0);
    for c in text.chars() {
        chars += 1;
        match c {
            '\n' => breaks += 1,
            ',' => commas += 1,
            '"' => quotes += 1,
            _ => {}
        }
    }
    let (mut bullets, mut numbers) = (0_usize, 0_usize);
    for line in text.split('\n') {
        let line = line.trim_start();
        bullets += usize::from(bullet(line).is_some_and(|mark| matches!(mark, '-' | '*' | '•')));
        numbers += usize::from(numbered(line).is_some());
    }
    [chars, breaks, bullets, numbers, commas, quotes].map(|count| (count as f32).ln_1p())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_kinds() {
        for (line, expected) in [
            ("", "blank|||0"),
            ("## Über **x**:", "h2|b|:|0"),
            ("- one", "b-|||0"),
            ("**bold** text.", "p|b|.|0"),
            ("12) twelve!", "n)||.|0"),
            ("1. one", "n.|||0"),
            ("```rust", "fence|||0"),
            ("| a | b |", "table|||0"),
        ] {
            assert_eq!(kind(line), expected, "{line}");
        }
        assert!(kind(&"x".repeat(400)).ends_with("|4"));
    }

    #[test]
    fn counts_count() {
        let text = "a, b\n- \"c\"\n1. d";
        let expected = [15.0_f32, 2.0, 1.0, 1.0, 1.0, 2.0].map(f32::ln_1p);
        for (found, expected) in counts(text).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
