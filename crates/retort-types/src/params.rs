//! Sampling parameters. Unset stays unset: what nobody asked for is never sent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a model is asked to sample. Absent fields are left to the provider and omitted on the wire.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Softmax temperature, 0 and up; most providers stop at 1 or 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus mass, above 0 up to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// How many of the likeliest tokens may be drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Smallest probability relative to the likeliest token, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Most tokens of an answer, in the provider's own counting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Texts that end an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<String>>,
    /// Seed of the provider's sampler, sent as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Penalty on repeated tokens by their count, -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Penalty on tokens that occurred at all, -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Multiplicative repetition penalty; 1 is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// Ask for log probabilities of the chosen tokens and of this many alternatives (0: chosen only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u32>,
    /// How hard a reasoning model thinks, in the provider's own words (`none`, `low`, `high`, ...), or
    /// the most tokens it may think where the provider counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Ask for a streamed answer. Off unless set: long streams are what gateways cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Ask completions to repeat the prompt in front of the answer, with its log probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
    /// Further fields of the request body, sent as written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Params {
    /// Returns these parameters with every field that `over` sets replaced by it.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut extra = self.extra.clone();
        extra.extend(over.extra.clone());
        Self {
            temperature: over.temperature.or(self.temperature),
            top_p: over.top_p.or(self.top_p),
            top_k: over.top_k.or(self.top_k),
            min_p: over.min_p.or(self.min_p),
            max_tokens: over.max_tokens.or(self.max_tokens),
            stop: over.stop.clone().or_else(|| self.stop.clone()),
            seed: over.seed.or(self.seed),
            frequency_penalty: over.frequency_penalty.or(self.frequency_penalty),
            presence_penalty: over.presence_penalty.or(self.presence_penalty),
            repetition_penalty: over.repetition_penalty.or(self.repetition_penalty),
            logprobs: over.logprobs.or(self.logprobs),
            reasoning_effort: over
                .reasoning_effort
                .clone()
                .or_else(|| self.reasoning_effort.clone()),
            stream: over.stream.or(self.stream),
            echo: over.echo.or(self.echo),
            extra,
        }
    }

    /// Returns what is out of range as (field, rule), or nothing.
    pub fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        let bad = |value: Option<f64>, low: f64, high: f64| {
            value.is_some_and(|v| !(low..=high).contains(&v))
        };
        if bad(self.temperature, 0.0, 5.0) {
            return Some(("temperature", "0 to 5"));
        }
        if bad(self.top_p, 0.0, 1.0) || self.top_p == Some(0.0) {
            return Some(("top_p", "above 0 up to 1"));
        }
        if bad(self.min_p, 0.0, 1.0) {
            return Some(("min_p", "0 to 1"));
        }
        if bad(self.frequency_penalty, -2.0, 2.0) {
            return Some(("frequency_penalty", "-2 to 2"));
        }
        if bad(self.presence_penalty, -2.0, 2.0) {
            return Some(("presence_penalty", "-2 to 2"));
        }
        if bad(self.repetition_penalty, 0.0, 10.0) {
            return Some(("repetition_penalty", "0 to 10"));
        }
        if self.max_tokens == Some(0) {
            return Some(("max_tokens", "at least 1"));
        }
        None
    }

    /// Returns whether a streamed answer is asked for.
    pub fn streamed(&self) -> bool {
        self.stream == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_stays_unset() {
        assert_eq!(serde_json::to_string(&Params::default()).unwrap(), "{}");
    }

    #[test]
    fn the_later_setting_wins_field_by_field() {
        let base = Params {
            temperature: Some(0.7),
            seed: Some(1),
            ..Params::default()
        };
        let over = Params {
            temperature: Some(0.0),
            max_tokens: Some(5),
            ..Params::default()
        };
        let both = base.overlaid(&over);
        assert_eq!(
            (both.temperature, both.seed, both.max_tokens),
            (Some(0.0), Some(1), Some(5))
        );
    }

    #[test]
    fn ranges_reject_nan() {
        let params = Params {
            temperature: Some(f64::NAN),
            ..Params::default()
        };
        assert_eq!(params.out_of_range(), Some(("temperature", "0 to 5")));
        assert_eq!(
            Params {
                top_p: Some(1.0),
                ..Params::default()
            }
            .out_of_range(),
            None
        );
    }
}
