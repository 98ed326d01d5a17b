//! What an error means: the table of kinds.
//!
//! Statuses alone mislead: one provider tells a wrong key with 400, another an empty account with
//! 429, a third anything at all within a 200. Words of kind, code and message go first, each only
//! under the statuses it occurs with, because messages may quote what was asked.

use retort_types::Outcome;
use retort_types::catalog::ErrorOverride;

use super::Found;

/// Returns how an attempt ended that was answered with this status and error.
pub(crate) fn outcome(status: u16, found: &Found, overrides: &[ErrorOverride]) -> Outcome {
    let words = words(found);
    let is_success = (200..300).contains(&status);
    let told = if is_success {
        found.status
    } else {
        Some(status)
    };
    let means_other = |over: &&ErrorOverride| {
        let status_fits = over.status.is_none_or(|s| s == status || Some(s) == told);
        let text_fits = over
            .contains
            .as_ref()
            .is_none_or(|text| words.contains(&text.to_lowercase()));
        status_fits && text_fits
    };
    if let Some(over) = overrides.iter().find(means_other) {
        return over.outcome;
    }
    let rules = RULES
        .iter()
        .filter(|rule| told.is_none_or(|status| rule.applies_to(status)));
    for rule in rules {
        if rule.words.iter().any(|word| words.contains(word)) {
            return rule.outcome;
        }
    }
    match told {
        Some(status) => by_status(status),
        None => by_kind(&words),
    }
}

fn words(found: &Found) -> String {
    let error = &found.error;
    let parts = [&error.kind, &error.code, &error.message];
    let told = parts.into_iter().flatten().chain(&found.reasons);
    told.map(|part| part.to_lowercase())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Words that decide under some statuses, or when no status is told.
struct Rule {
    outcome: Outcome,
    statuses: &'static [(u16, u16)],
    /// Lowercase texts, any of which decides.
    words: &'static [&'static str],
}

impl Rule {
    fn applies_to(&self, status: u16) -> bool {
        self.statuses
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&status))
    }
}

const ALL_4XX: (u16, u16) = (400, 499);

/// The first rule that fits decides.
const RULES: &[Rule] = &[
    // Empty accounts. OpenAI's "exceeded your current quota" is not among the words: Google says
    // the same of a limit per minute.
    Rule {
        outcome: Outcome::QuotaExhausted,
        statuses: &[ALL_4XX],
        words: &[
            "insufficient_quota",
            "insufficient quota",
            "insufficient_balance",
            "insufficient balance",
            "insufficient credit",
            "exceeded_current_quota",
            "enforced_spend_limit_reached",
            "billing_hard_limit_reached",
            "billing_not_active",
            "credit balance is too low",
            "used all available credits",
            "spending limit",
            "arrearage",
            "allocationquota.freetieronly",
            "payment required",
            "billing_error",
            "servicequotaexceeded",
        ],
    },
    // A request that no minute has room for is never let through, however long one waits.
    Rule {
        outcome: Outcome::InvalidRequest,
        statuses: &[(429, 429)],
        words: &["request too large", "must be reduced in order to run"],
    },
    // Want of capacity says nothing about our own rate.
    Rule {
        outcome: Outcome::Overloaded,
        statuses: &[(429, 429)],
        words: &[
            "overloaded",
            "service_tier_capacity_exceeded",
            "capacity exceeded",
            "modelnotready",
            "no capacity",
        ],
    },
    Rule {
        outcome: Outcome::Filtered,
        statuses: &[(400, 400), (403, 403), (422, 422), (451, 451)],
        words: &[
            "content_filter",
            "contentfilter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "data_inspection_failed",
            "datainspectionfailed",
            "content exists risk",
            "content management policy",
            "input was flagged",
            "flagged as potentially violating",
            "prompt_blocked",
        ],
    },
    Rule {
        outcome: Outcome::ContextLength,
        statuses: &[(400, 400), (413, 413), (422, 422), (500, 500)],
        words: &[
            "context_length_exceeded",
            "exceed_context_size",
            "too_many_tokens",
            "too_many_prompt_tokens",
            "prompt is too long",
            "prompt too long",
            "input is too long",
            "too many input tokens",
            "maximum context length",
            "max context length",
            "maximum context size",
            "available context size",
            "context window",
            "context limit",
            "model's context length",
            "must have less than",
            "`max_new_tokens` must be",
            "input tokens exceeded",
            "maximum prompt length",
            "token count exceeds",
            "exceeds the maximum number of tokens",
            "reduce the length of the messages",
            "reduce the length of the prompt",
        ],
    },
    Rule {
        outcome: Outcome::Unauthorized,
        statuses: &[(400, 400), (422, 422)],
        words: &[
            "invalid_api_key",
            "api_key_invalid",
            "incorrect api key",
            "invalid api key",
            "api key not valid",
            "api key not found",
            "no api key",
            "missing api key",
            "authentication_error",
            "security token",
            "unrecognizedclient",
            "invalidsignature",
            "incompletesignature",
            "missingauthenticationtoken",
        ],
    },
    // Some of Amazon's gateways tell it so.
    Rule {
        outcome: Outcome::RateLimited,
        statuses: &[(400, 400)],
        words: &["throttlingexception"],
    },
    Rule {
        outcome: Outcome::NotFound,
        statuses: &[(400, 400), (422, 422)],
        words: &[
            "model_not_found",
            "model not found",
            "model_not_exist",
            "model not exist",
            "invalid_model",
            "unknown_model",
            "unknown model",
            "model identifier is invalid",
            "is not a valid model id",
            "model_decommissioned",
        ],
    },
    // Kinds that say the reason under a status that does not.
    Rule {
        outcome: Outcome::Overloaded,
        statuses: &[(500, 500)],
        words: &["overloaded_error", "engine_overloaded"],
    },
];

/// Returns what a status means where no words say otherwise.
const fn by_status(status: u16) -> Outcome {
    match status {
        401 | 403 | 407 => Outcome::Unauthorized,
        402 => Outcome::QuotaExhausted,
        404 | 410 => Outcome::NotFound,
        // Cloudflare's 522 and 524 are time-outs between it and the provider.
        408 | 504 | 522 | 524 => Outcome::Timeout,
        429 => Outcome::RateLimited,
        498 | 503 | 529 => Outcome::Overloaded,
        // Conflicts, failed dependencies, early requests and closed connections pass.
        409 | 424 | 425 | 499 => Outcome::ProviderError,
        400..=499 => Outcome::InvalidRequest,
        _ => Outcome::ProviderError,
    }
}

/// Returns what the kind of an error means that has no status.
fn by_kind(words: &str) -> Outcome {
    const KINDS: &[(&str, Outcome)] = &[
        ("rate_limit", Outcome::RateLimited),
        ("rate limit", Outcome::RateLimited),
        ("too many requests", Outcome::RateLimited),
        ("resource_exhausted", Outcome::RateLimited),
        ("throttling", Outcome::RateLimited),
        ("overloaded", Outcome::Overloaded),
        ("unavailable", Outcome::Overloaded),
        ("timeout", Outcome::Timeout),
        ("timed out", Outcome::Timeout),
        ("deadline_exceeded", Outcome::Timeout),
        ("permission_error", Outcome::Unauthorized),
        ("permission_denied", Outcome::Unauthorized),
        ("not_found_error", Outcome::NotFound),
        ("server_error", Outcome::ProviderError),
        ("internal_error", Outcome::ProviderError),
        ("invalid_request", Outcome::InvalidRequest),
        ("invalid_prompt", Outcome::InvalidRequest),
        ("request_too_large", Outcome::InvalidRequest),
        ("badrequest", Outcome::InvalidRequest),
        ("invalid_argument", Outcome::InvalidRequest),
    ];
    KINDS
        .iter()
        .find(|(word, _)| words.contains(word))
        .map_or(Outcome::ProviderError, |(_, outcome)| *outcome)
}
