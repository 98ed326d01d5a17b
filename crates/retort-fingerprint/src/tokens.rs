//! Words, punctuation and line breaks of a text, hashed, with the skeleton of its style beside.

use xxhash_rust::xxh3::xxh3_64;

/// Characters of a reply that are read: habits show early, and lengths differ.
pub(crate) const READ_CHARS: usize = 2_500;

/// A token as its hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Of what is written.
    pub(crate) text: u64,
    /// Of its place in the skeleton: content words become their kind.
    pub(crate) skeleton: u64,
    /// Whether it is a word.
    pub(crate) is_word: bool,
}

/// Returns the first characters of a text in lower case, with one kind of apostrophe.
pub(crate) fn read_text(text: &str, chars: usize) -> String {
    text.chars()
        .take(chars)
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the tokens of a text that is in lower case already: words with at most one inner
/// apostrophe, single marks, and runs of line breaks, of which one and several are told apart.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(text.len() / 5);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if is_word(c) {
            word_bytes(rest)
        } else if c == '\n' {
            rest.bytes().take_while(|b| *b == b'\n').count()
        } else {
            c.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        if is_word(c) {
            tokens.push(Token {
                text: xxh3_64(token.as_bytes()),
                skeleton: xxh3_64(crate::skeleton::place(token).as_bytes()),
                is_word: true,
            });
        } else if c == '\n' || !c.is_whitespace() {
            let token = if length > 1 && c == '\n' {
                "\n\n"
            } else {
                token
            };
            let hash = xxh3_64(token.as_bytes());
            tokens.push(Token {
                text: hash,
                skeleton: hash,
                is_word: false,
            });
        }
    }
    tokens
}

/// Returns how many bytes the word at the beginning of `text` takes.
fn word_bytes(text: &str) -> usize {
    let run = |text: &str| -> usize {
        text.chars()
            .take_while(|c| is_word(*c))
            .map(char::len_utf8)
            .sum()
    };
    let first = run(text);
    match text.get(first..).and_then(|rest| rest.strip_prefix('\'')) {
        Some(rest) if run(rest) > 0 => first + 1 + run(rest),
        Some(_) | None => first,
    }
}

/// Adds the hashes of all runs of `sizes` neighbours.
pub(crate) fn grams(tokens: &[u64], sizes: std::ops::RangeInclusive<usize>, into: &mut Vec<u64>) {
    for from in 0..tokens.len() {
        let mut hash = 0;
        for (count, token) in tokens.iter().skip(from).take(*sizes.end()).enumerate() {
            hash = chain(hash, *token);
            if count + 1 >= *sizes.start() {
                into.push(finish(hash, count + 1));
            }
        }
    }
}

/// Returns the hash of a run that is one token longer.
pub(crate) const fn chain(hash: u64, token: u64) -> u64 {
    (hash.rotate_left(23) ^ token).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Spreads a chained hash over all bits, as sorting and sampling need.
pub(crate) const fn finish(hash: u64, length: usize) -> u64 {
    let mut hash = hash ^ (length as u64);
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<u64> = tokens(text).iter().map(|token| token.text).collect();
        let expected: Vec<u64> = expected.iter().map(|t| xxh3_64(t.as_bytes())).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn words_marks_and_breaks() {
        check("it's a_1, ok.", &["it's", "a_1", ",", "ok", "."]);
        check("a' 'b", &["a", "'", "'", "b"]);
        check("x\n\n\ny\nz", &["x", "\n\n", "y", "\n", "z"]);
        check("日本語 ünï!", &["日本語", "ünï", "!"]);
        check("\u{1F600}\t ", &["\u{1F600}"]);
        check("", &[]);
    }

    #[test]
    fn grams_are_told_apart_by_order_and_size() {
        let mut found = Vec::new();
        grams(&[1, 2, 1, 2], 1..=3, &mut found);
        assert_eq!(found.len(), 4 + 3 + 2);
        found.sort_unstable();
        found.dedup();
        // 1, 2, 12, 21, 121, 212
        assert_eq!(found.len(), 6);
    }
}
