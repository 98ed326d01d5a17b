//! Coverage of a plan: what was planned, what was obtained and why the rest is missing, as a table
//! and as a picture. Whole numbers only, so the picture is the same bytes everywhere.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use retort_types::Outcome;

/// How the samples of each model ended.
pub(super) type ByModel = BTreeMap<String, BTreeMap<Outcome, u64>>;

/// Width of the picture in pixels.
const WIDTH: u64 = 760;
/// Where bars begin and how long a whole one is.
const BAR_X: u64 = 232;
const BAR_WIDTH: u64 = 360;
/// Height of a model's row, and of its bar.
const ROW: u64 = 24;
const BAR: u64 = 14;
/// Legend entries of a line.
const LEGEND_COLUMNS: u64 = 4;
/// Characters of a model's name that fit beside its bar; the whole name is in the row's title.
const NAME_CHARS: usize = 30;

/// Returns the outcomes that hold a measurement, then those that do not, as they occur.
fn ordered(outcomes: &BTreeMap<Outcome, u64>) -> impl Iterator<Item = (Outcome, u64)> {
    let part = |missing| {
        let of = outcomes.iter().map(|(outcome, n)| (*outcome, *n));
        of.filter(move |(outcome, _)| outcome.is_missing() == missing)
    };
    part(false).chain(part(true))
}

fn planned(outcomes: &BTreeMap<Outcome, u64>) -> u64 {
    outcomes.values().sum()
}

fn obtained(outcomes: &BTreeMap<Outcome, u64>) -> u64 {
    let measured = outcomes.iter().filter(|(outcome, _)| !outcome.is_missing());
    measured.map(|(_, n)| n).sum()
}

/// Returns `part` of `whole` in percent with one digit, rounded down: 100.0 % means all.
fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1_000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Writes the table: planned, obtained, and the count of every outcome that occurs.
pub(super) fn table(
    text: &mut String,
    models: &ByModel,
    all: &BTreeMap<Outcome, u64>,
) -> fmt::Result {
    write!(text, "| model | planned | obtained | share |")?;
    ordered(all).try_for_each(|(outcome, _)| write!(text, " {outcome} |"))?;
    write!(text, "\n|---|---:|---:|---:|")?;
    ordered(all).for_each(|_| text.push_str("---:|"));
    text.push('\n');
    let total = ("**all**".to_owned(), all);
    let rows = models
        .iter()
        .map(|(name, counts)| (format!("`{name}`"), counts));
    for (name, counts) in rows.chain([total]) {
        let (planned, obtained) = (planned(counts), obtained(counts));
        let share = percent(obtained, planned);
        write!(text, "| {name} | {planned} | {obtained} | {share} |")?;
        for (outcome, _) in ordered(all) {
            write!(text, " {} |", counts.get(&outcome).copied().unwrap_or(0))?;
        }
        text.push('\n');
    }
    text.push('\n');
    ordered(all).try_for_each(|(outcome, _)| {
        let kind = if outcome.is_missing() {
            "missing: "
        } else {
            ""
        };
        writeln!(text, "* `{outcome}`: {kind}{}.", meaning(outcome))
    })?;
    text.push('\n');
    Ok(())
}

/// Says what an outcome means, for readers of a card.
pub const fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "the model answered",
        Outcome::Refused => "the provider's own refusal field or finish reason",
        Outcome::Filtered => "a content filter of the provider withheld the answer or the prompt",
        Outcome::InvalidRequest => "the provider says that the request can never succeed as it is",
        Outcome::ContextLength => "the prompt does not fit the model's context",
        Outcome::NotFound => "the provider does not know the model",
        Outcome::Unauthorized => "the key may not use this model",
        Outcome::QuotaExhausted => "the account had no money or quota left",
        Outcome::GaveUp => "all attempts were used; `last_outcome` keeps the last cause",
        Outcome::NotAsked => "never asked: a budget, a deadline, cancelled; `reason` says which",
        Outcome::RateLimited => "asked too fast",
        Outcome::Overloaded => "the provider had no capacity",
        Outcome::Timeout => "a deadline passed",
        Outcome::ConnectFailed => "no connection",
        Outcome::ProviderError => "the provider failed",
        Outcome::Cut => "the answer broke off",
        Outcome::Undecodable => "the answer did not follow its protocol",
    }
}

/// Returns the colour of an outcome: cold ones hold a measurement, warm ones do not. They are told
/// apart in common kinds of colour blindness and stand out on white and on black.
const fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "#2b7bba",
        Outcome::Refused => "#56b4e9",
        Outcome::Filtered => "#009e73",
        Outcome::InvalidRequest => "#7a8fa6",
        Outcome::ContextLength => "#8fd1c1",
        Outcome::GaveUp => "#d55e00",
        Outcome::NotAsked => "#e69f00",
        Outcome::NotFound => "#cc79a7",
        Outcome::Unauthorized => "#a0522d",
        Outcome::QuotaExhausted => "#d9c13b",
        // These end attempts, never samples.
        Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::Timeout
        | Outcome::ConnectFailed
        | Outcome::ProviderError
        | Outcome::Cut
        | Outcome::Undecodable => "#808080",
    }
}

const STYLE: &str = "<style>\
    text{font:12px system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif;fill:#1f2328}\
    .title{font-size:14px;font-weight:600}.page{fill:#ffffff}.track{fill:#e6e8eb}\
    .note{fill:#59636e}\
    @media (prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.track{fill:#30363d}\
    .note{fill:#9198a1}}</style>";

/// Returns the picture: a bar per model. It paints its own ground, so it can be read on a light
/// and on a dark page.
pub(super) fn svg(title: &str, models: &ByModel, all: &BTreeMap<Outcome, u64>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let written = write_svg(&mut text, title, models, all);
    debug_assert!(written.is_ok(), "a string takes any text");
    text
}

fn write_svg(
    text: &mut String,
    title: &str,
    models: &ByModel,
    all: &BTreeMap<Outcome, u64>,
) -> fmt::Result {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let legend_lines = count(all.len()).div_ceil(LEGEND_COLUMNS);
    let first = 48 + legend_lines * 20 + 12;
    let height = first + count(models.len()) * ROW + 12;
    let title = escaped(title);
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Coverage of {title}\">"
    )?;
    writeln!(text, "<title>Coverage of {title}</title>\n{STYLE}")?;
    writeln!(
        text,
        "<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>"
    )?;
    let (planned_all, obtained_all) = (planned(all), obtained(all));
    writeln!(
        text,
        "<text class=\"title\" x=\"16\" y=\"28\">Coverage of {title}: {obtained_all} of \
         {planned_all} obtained ({})</text>",
        percent(obtained_all, planned_all)
    )?;
    legend(text, all)?;
    for ((name, counts), row) in models.iter().zip(0..) {
        bar(text, name, counts, first + row * ROW)?;
    }
    writeln!(text, "</svg>")
}

fn legend(text: &mut String, all: &BTreeMap<Outcome, u64>) -> fmt::Result {
    let step = (WIDTH - 32) / LEGEND_COLUMNS;
    for ((outcome, n), place) in ordered(all).zip(0_u64..) {
        let x = 16 + place % LEGEND_COLUMNS * step;
        let y = 48 + place / LEGEND_COLUMNS * 20;
        writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"{}\">{outcome} <tspan class=\"note\">{n}</tspan></text>",
            colour(outcome),
            x + 18,
            y + 10
        )?;
    }
    Ok(())
}

fn bar(text: &mut String, name: &str, counts: &BTreeMap<Outcome, u64>, y: u64) -> fmt::Result {
    let total = planned(counts).max(1);
    let tenths = |n: u64| {
        let scaled = u128::from(n) * u128::from(BAR_WIDTH * 10) / u128::from(total);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    let (bar_y, text_y) = (y + (ROW - BAR) / 2, y + ROW / 2 + 4);
    writeln!(
        text,
        "<g><title>{}</title><text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{}</text>",
        escaped(name),
        BAR_X - 12,
        escaped(&shortened(name))
    )?;
    writeln!(
        text,
        "<rect class=\"track\" x=\"{BAR_X}\" y=\"{bar_y}\" width=\"{BAR_WIDTH}\" height=\"{BAR}\"/>"
    )?;
    let mut before = 0;
    for (outcome, n) in ordered(counts).filter(|(_, n)| *n > 0) {
        let begin = tenths(before);
        before += n;
        // A lone sample among thousands must be seen: two pixels at least, within the bar.
        let width = (tenths(before) - begin).max(20);
        let begin = begin.min(BAR_WIDTH * 10 - width);
        let x = BAR_X * 10 + begin;
        writeln!(
            text,
            "<rect x=\"{}.{}\" y=\"{bar_y}\" width=\"{}.{}\" height=\"{BAR}\" fill=\"{}\">\
             <title>{outcome}: {n}</title></rect>",
            x / 10,
            x % 10,
            width / 10,
            width % 10,
            colour(outcome)
        )?;
    }
    let obtained = obtained(counts);
    writeln!(
        text,
        "<text class=\"note\" x=\"{}\" y=\"{text_y}\">{obtained} / {} ({})</text></g>",
        BAR_X + BAR_WIDTH + 12,
        planned(counts),
        percent(obtained, planned(counts))
    )
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    let begin: String = name.chars().take(NAME_CHARS - 1).collect();
    format!("{begin}…")
}

/// Returns `text` for use in XML; what XML 1.0 cannot hold becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> (ByModel, BTreeMap<Outcome, u64>) {
        let counts = |counts: &[(Outcome, u64)]| counts.iter().copied().collect();
        let models = BTreeMap::from([
            (
                "a<b>&\"c".to_owned(),
                counts(&[(Outcome::Answered, 9_999), (Outcome::GaveUp, 1)]),
            ),
            ("x".repeat(60), counts(&[(Outcome::NotAsked, 3)])),
        ]);
        let all = counts(&[
            (Outcome::Answered, 9_999),
            (Outcome::GaveUp, 1),
            (Outcome::NotAsked, 3),
        ]);
        (models, all)
    }

    #[test]
    fn the_table_counts_what_is_there_and_why_the_rest_is_not() {
        let (models, all) = models();
        let mut text = String::new();
        table(&mut text, &models, &all).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_picture_is_well_formed_and_shows_single_samples() {
        let (models, all) = models();
        let picture = svg("campaign `t`", &models, &all);
        assert!(!picture.contains("a<b>"), "{picture}");
        // One of ten thousand is two pixels wide and ends with its bar.
        assert!(
            picture.contains("x=\"590.0\" y=\"85\" width=\"2.0\""),
            "{picture}"
        );
        insta::assert_snapshot!(picture);
    }

    #[test]
    fn all_means_all() {
        assert_eq!(percent(9_999, 10_000), "99.9 %");
        assert_eq!(percent(10_000, 10_000), "100.0 %");
        assert_eq!(percent(0, 0), "0.0 %");
    }
}
