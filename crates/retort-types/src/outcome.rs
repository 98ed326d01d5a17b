//! How an attempt or a sample ended: a closed set, and the one place that decides what follows.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// How an attempt ended; the terminal ones also say how a sample ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Outcome {
            $($(#[$doc])* $variant,)+
        }

        impl Outcome {
            /// Every outcome, in a fixed order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the word used in columns, messages and labels.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl FromStr for Outcome {
            type Err = UnknownOutcome;

            fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownOutcome(text.chars().take(40).collect())),
                }
            }
        }
    };
}

outcomes! {
    /// The model answered; the finish reason tells whether the length was cut.
    Answered = "answered",
    /// The provider's own refusal field or finish reason.
    Refused = "refused",
    /// A content filter of the provider withheld the answer or the prompt.
    Filtered = "filtered",
    /// The provider says that the request can never succeed as it is.
    InvalidRequest = "invalid_request",
    /// The prompt does not fit the model's context.
    ContextLength = "context_length",
    /// The provider does not know the model or the path.
    NotFound = "not_found",
    /// The key is missing, wrong or may not use this model.
    Unauthorized = "unauthorized",
    /// The account has no money or quota left until a person acts.
    QuotaExhausted = "quota_exhausted",
    /// All attempts are used; the last cause is kept beside it.
    GaveUp = "gave_up",
    /// Never asked, or not asked again: budget, deadline, cancelled, parked.
    NotAsked = "not_asked",
    /// Asked too fast; the provider did no work.
    RateLimited = "rate_limited",
    /// The provider has no capacity just now.
    Overloaded = "overloaded",
    /// A deadline passed: ours, or the provider's own (408, 504).
    Timeout = "timeout",
    /// No connection: name, route, TLS, refused.
    ConnectFailed = "connect_failed",
    /// The provider failed (5xx or an error inside the answer).
    ProviderError = "provider_error",
    /// The answer broke off before its protocol said it was complete.
    Cut = "cut",
    /// The answer does not follow its wire protocol, or exceeds a cap.
    Undecodable = "undecodable",
}

/// A word is not an outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an outcome")]
pub struct UnknownOutcome(String);

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an attempt's outcome means for its sample and its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The sample is finished with this outcome.
    Finish,
    /// Ask again when the provider allows; costs the sample nothing.
    RetryFree,
    /// Ask again; one of the sample's attempts is used up.
    RetryCounted,
    /// The sample is finished and the model must not be asked further: its lane parks.
    FinishAndParkLane,
    /// The sample is finished and nobody may be asked on this account: its domain parks.
    FinishAndParkDomain,
}

impl Outcome {
    /// Returns what follows from an attempt that ended so: the only place that decides on retries.
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::Answered
            | Self::Refused
            | Self::Filtered
            | Self::InvalidRequest
            | Self::ContextLength
            | Self::GaveUp
            | Self::NotAsked => Disposition::Finish,
            Self::NotFound => Disposition::FinishAndParkLane,
            Self::Unauthorized | Self::QuotaExhausted => Disposition::FinishAndParkDomain,
            Self::RateLimited => Disposition::RetryFree,
            Self::Overloaded
            | Self::Timeout
            | Self::ConnectFailed
            | Self::ProviderError
            | Self::Cut
            | Self::Undecodable => Disposition::RetryCounted,
        }
    }

    /// Returns whether a sample can end so.
    pub const fn is_terminal(self) -> bool {
        !matches!(
            self.disposition(),
            Disposition::RetryFree | Disposition::RetryCounted
        )
    }

    /// Returns whether a sample that ended so holds no measurement and may be asked again by
    /// `--retry-missing`. Refusals, filters and invalid requests are measurements.
    pub const fn is_missing(self) -> bool {
        match self {
            Self::Answered
            | Self::Refused
            | Self::Filtered
            | Self::InvalidRequest
            | Self::ContextLength => false,
            Self::NotFound
            | Self::Unauthorized
            | Self::QuotaExhausted
            | Self::GaveUp
            | Self::NotAsked
            | Self::RateLimited
            | Self::Overloaded
            | Self::Timeout
            | Self::ConnectFailed
            | Self::ProviderError
            | Self::Cut
            | Self::Undecodable => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_match_serde() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
            assert_eq!(
                serde_json::to_string(outcome).unwrap(),
                format!("\"{outcome}\"")
            );
        }
        assert!("verdict".parse::<Outcome>().is_err());
    }

    #[test]
    fn ten_outcomes_end_a_sample() {
        let terminal: Vec<_> = Outcome::ALL
            .iter()
            .filter(|o| o.is_terminal())
            .map(|o| o.as_str())
            .collect();
        assert_eq!(
            terminal,
            [
                "answered",
                "refused",
                "filtered",
                "invalid_request",
                "context_length",
                "not_found",
                "unauthorized",
                "quota_exhausted",
                "gave_up",
                "not_asked"
            ]
        );
    }
}
