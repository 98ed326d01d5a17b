//! Faults: what goes wrong, and which requests it hits.

use retort_types::HumanDuration;
use serde::{Deserialize, Serialize};

use crate::error::SimError;
use crate::mix::{mix, unit};

/// Longest time a fault may keep a request, in milliseconds.
const LASTS_MAX_MS: u128 = 600_000;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// What goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FaultKind {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl FaultKind {
            /// Every kind, in a fixed order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the word used in files and statistics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

kinds! {
    /// Answers with `status` (500 unless set) and an error of that kind, or `code`.
    Status = "status",
    /// Reads the request and stays silent for `lasts` (2 minutes unless set), then closes.
    Hang = "hang",
    /// Sends half of the answer, stays silent for `lasts` (2 minutes unless set), then closes.
    HangMidBody = "hang_mid_body",
    /// Sends the whole answer in small pieces over `lasts` (10 seconds unless set). Served.
    SlowDrip = "slow_drip",
    /// Sends half of the answer and closes.
    Cut = "cut",
    /// Resets the connection without an answer.
    Reset = "reset",
    /// Sends bytes that are not HTTP and closes.
    Garbage = "garbage",
    /// Answers 200 with a web page.
    WrongType = "wrong_type",
    /// Answers 200 with JSON of another shape.
    JsonWrongShape = "json_wrong_shape",
    /// Answers 200 with an error in the body.
    ErrorIn200 = "error_in_200",
    /// Sends half of a stream, then an error event; plain requests get `error_in_200`.
    ErrorInStream = "error_in_stream",
    /// Answers 1 MiB of gzip that unpacks to 1 GiB of white space.
    GzipBomb = "gzip_bomb",
    /// Says gzip and sends something else.
    BadGzip = "bad_gzip",
    /// Sends a body that ends only after 64 MiB or 30 seconds.
    EndlessBody = "endless_body",
    /// Sends headers that end only after 64 MiB or 30 seconds.
    EndlessHeaders = "endless_headers",
    /// Sends one line of a stream that ends only after 64 MiB or 30 seconds.
    EndlessSseLine = "endless_sse_line",
    /// Announces a body 1000 bytes longer than the document it sends, then closes. By RFC 9112
    /// the answer is incomplete, so it does not count as served.
    LyingContentLength = "lying_content_length",
    /// Answers 200 without a body.
    Empty200 = "empty_200",
    /// Answers with bytes in the text that are not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// Answers 200 with numbers that fit no integer.
    HugeNumbers = "huge_numbers",
    /// Answers 200 with JSON nested a hundred thousand deep.
    DeepJson = "deep_json",
    /// Goes on after `[DONE]` and says it again; plain requests get `late_junk`. Served.
    DuplicateDone = "duplicate_done",
    /// Sends the whole answer, then bytes nobody asked for, and closes. Served.
    LateJunk = "late_junk",
    /// Sends a whole stream but never ends its last chunk, and closes; plain requests get
    /// `late_junk`. Served.
    LateCut = "late_cut",
    /// Answers 307 with `location`, or the fleet's own `/redirected`, which counts who follows.
    UnaskedRedirect = "unasked_redirect",
}

/// A fault and the requests it hits: those for which every selector that is set holds.
///
/// Requests are those that limits have admitted; each fault counts, from 0, the ones that its `models` and
/// `prompts_containing` select.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Share of the requests, 0 to 1, picked by seed and request number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Requests whose prompt contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts_containing: Option<String>,
    /// Requests for these models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Every n-th request, beginning with the n-th; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// The first n requests, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Status of `status`, 200 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Code of the error of `status`, `error_in_200` and `error_in_stream`, as
    /// `insufficient_quota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Message of that error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `retry-after` of `status`, in seconds; none unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
    /// How long `hang`, `hang_mid_body` and `slow_drip` take, at most 10 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<HumanDuration>,
    /// Where `unasked_redirect` points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl FaultSpec {
    /// Returns a fault of this kind that hits every request.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            share: None,
            prompts_containing: None,
            models: Vec::new(),
            every: None,
            first: None,
            status: None,
            code: None,
            message: None,
            retry_after_seconds: None,
            lasts: None,
            location: None,
        }
    }

    /// Returns a fault that answers every request with `status`.
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::new(FaultKind::Status)
        }
    }

    pub(crate) fn check(&self, place: &str) -> Result<(), SimError> {
        if self
            .share
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return Err(SimError::spec(place, "share is 0 to 1"));
        }
        if self.every == Some(0) || self.first == Some(0) {
            return Err(SimError::spec(place, "every and first are at least 1"));
        }
        if self.status.is_some_and(|s| !(200..600).contains(&s)) {
            return Err(SimError::spec(place, "status is 200 to 599"));
        }
        if self.status.is_some() && self.kind != FaultKind::Status {
            return Err(SimError::spec(place, "only the kind `status` has a status"));
        }
        if self.lasts.is_some_and(|d| d.0.as_millis() > LASTS_MAX_MS) {
            return Err(SimError::spec(place, "lasts is at most 10m"));
        }
        let location = self.location.as_deref().unwrap_or("");
        if !location.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SimError::spec(place, "location is a URL"));
        }
        Ok(())
    }
}

/// The faults of a provider with the counts that decide whom they hit.
#[derive(Debug)]
pub(crate) struct FaultBook {
    seed: u64,
    faults: Vec<(FaultSpec, u64)>,
}

impl FaultBook {
    pub(crate) fn new(seed: u64, faults: Vec<FaultSpec>) -> Self {
        let faults = faults.into_iter().map(|fault| (fault, 0)).collect();
        Self { seed, faults }
    }

    /// Returns the first fault that hits the next request, and counts it for all of them.
    pub(crate) fn next(&mut self, model: &str, prompt: &str) -> Option<FaultSpec> {
        let mut hit = None;
        for (number, (fault, count)) in self.faults.iter_mut().enumerate() {
            let text = fault.prompts_containing.as_deref().unwrap_or("");
            let named = fault.models.is_empty() || fault.models.iter().any(|m| m == model);
            if !named || !prompt.contains(text) {
                continue;
            }
            let index = *count;
            *count += 1;
            let drawn = || unit(mix(mix(self.seed, number as u64), index));
            let hits = fault.first.is_none_or(|first| index < first)
                && fault.every.is_none_or(|every| index % every == every - 1)
                && fault.share.is_none_or(|share| drawn() < share);
            if hits && hit.is_none() {
                hit = Some(fault.clone());
            }
        }
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(fault: FaultSpec, count: usize) -> Vec<usize> {
        let mut book = FaultBook::new(5, vec![fault]);
        (0..count)
            .filter(|_| book.next("m", "a prompt").is_some())
            .collect()
    }

    #[test]
    fn words_match_serde() {
        for kind in FaultKind::ALL {
            let text = serde_json::to_string(kind).unwrap();
            assert_eq!(text, format!("\"{}\"", kind.as_str()));
        }
    }

    #[test]
    fn selectors_count_requests() {
        let fault = || FaultSpec::new(FaultKind::Cut);
        assert_eq!(hits(fault(), 3), [0, 1, 2]);
        let first = FaultSpec {
            first: Some(2),
            ..fault()
        };
        assert_eq!(hits(first, 9), [0, 1]);
        let every = FaultSpec {
            every: Some(4),
            ..fault()
        };
        assert_eq!(hits(every, 9), [3, 7]);
        let none = FaultSpec {
            models: vec!["other".to_owned()],
            ..fault()
        };
        assert_eq!(hits(none, 9), [0; 0]);
        let share = FaultSpec {
            share: Some(0.3),
            ..fault()
        };
        let hit = hits(share.clone(), 2_000);
        assert_eq!(hit, hits(share, 2_000));
        assert!((520..680).contains(&hit.len()), "{}", hit.len());
    }

    #[test]
    fn prompts_are_counted_apart_and_the_first_fault_wins() {
        let told = FaultSpec {
            prompts_containing: Some("told".to_owned()),
            first: Some(1),
            ..FaultSpec::new(FaultKind::Reset)
        };
        let mut book = FaultBook::new(0, vec![told, FaultSpec::status(503)]);
        let mut next = |prompt: &str| book.next("m", prompt).map(|fault| fault.kind);
        assert_eq!(next("other"), Some(FaultKind::Status));
        assert_eq!(next("as told"), Some(FaultKind::Reset));
        assert_eq!(next("as told"), Some(FaultKind::Status));
    }

    #[test]
    fn rules_are_checked() {
        let bad = FaultSpec {
            share: Some(f64::NAN),
            ..FaultSpec::new(FaultKind::Cut)
        };
        assert!(bad.check("p").is_err());
        assert!(FaultSpec::status(99).check("p").is_err());
        assert!(FaultSpec::status(529).check("p").is_ok());
        let text = r#"{"kind": "cut", "shares": 0.5}"#;
        assert!(serde_json::from_str::<FaultSpec>(text).is_err());
    }
}
