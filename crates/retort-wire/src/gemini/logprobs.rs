//! Log probabilities: the chosen tokens, and beside them the likeliest ones at each position.

use retort_types::reply::{TokenLogprob, TopToken};
use serde::Deserialize;

use crate::lenient::{Item, List, Number, Object, Text};
use crate::openai::{ALTERNATIVES_MAX, TOKENS_MAX, Tokens, TooMany, ranked};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Told<'a> {
    #[serde(borrow)]
    chosen_candidates: List<Object<Entry<'a>>>,
    #[serde(borrow)]
    top_candidates: List<Object<Position<'a>>>,
}

/// A chosen token or an alternative to one.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    log_probability: Number,
}

// One more than is kept, so that the excess shows.
impl Item for Entry<'_> {
    const MAX: usize = ALTERNATIVES_MAX + 1;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Position<'a> {
    #[serde(borrow)]
    candidates: List<Object<Entry<'a>>>,
}

impl Item for Position<'_> {
    const MAX: usize = TOKENS_MAX + 1;
}

/// Adds what `raw` tells, which arrived after `arrived_ms`.
///
/// # Errors
/// When the answer now holds more than is kept.
pub(super) fn add(tokens: &mut Tokens, raw: &str, arrived_ms: Option<f32>) -> Result<(), TooMany> {
    let Ok(Object(Some(told))) = serde_json::from_str::<Object<Told<'_>>>(raw) else {
        return Ok(());
    };
    let mut positions = told.top_candidates.0.unwrap_or_default().into_iter();
    for entry in told.chosen_candidates.0.unwrap_or_default() {
        let position = positions.next().and_then(|position| position.0);
        let Some(entry) = entry.0 else {
            continue;
        };
        let alternatives = position.and_then(|position| position.candidates.0);
        let top = alternatives.unwrap_or_default().into_iter();
        let top = top.filter_map(|alternative| {
            let alternative = alternative.0?;
            Some(TopToken {
                token: alternative.token.0?.into(),
                bytes: None,
                logprob: alternative.log_probability.single()?,
            })
        });
        tokens.push(ranked(TokenLogprob {
            token: entry.token.0.map(Into::into),
            logprob: entry.log_probability.single(),
            top: top.collect(),
            arrived_ms,
            ..TokenLogprob::default()
        }))?;
    }
    Ok(())
}
