//! How large a plan may be, and what applies where nobody states a limit.

use std::num::NonZeroU32;

use retort_types::Limits;

/// Most models of a campaign. A block holds one sample for each, and is ordered when it is read.
pub const MODELS_MAX: usize = 1_000;

/// Most rounds of a campaign: one a day for a century, or one an hour for four years.
pub const ROUNDS_MAX: u32 = 36_500;

/// Most blocks of a plan: the order of the blocks takes four bytes each, 64 MiB in all.
pub const BLOCKS_MAX: u32 = 1 << 24;

/// Most samples of a plan: a bit for each in the ledger is 12 MiB.
pub const SAMPLES_MAX: u64 = 100_000_000;

/// Longest prompt, in bytes of UTF-8: a sample travels whole in a message of the broker.
pub const PROMPT_MAX_BYTES: usize = 256 * 1024;

/// Requests per minute of a model for which neither its account nor itself states a limit. Low
/// enough for the free tiers of most providers.
pub const DEFAULT_REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("60 is not 0");

/// Requests at the same time of a model for which neither its account nor itself states a limit.
pub const DEFAULT_CONCURRENCY: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");

/// Returns the limits that apply where neither an account nor a model states any.
pub fn default_limits() -> Limits {
    Limits {
        requests_per_minute: Some(DEFAULT_REQUESTS_PER_MINUTE),
        concurrency: Some(DEFAULT_CONCURRENCY),
        ..Limits::default()
    }
}

/// Returns [`default_limits`] narrowed by what a provider documents; nothing becomes wider.
pub fn narrowed_defaults(documented: &Limits) -> Limits {
    let least =
        |own: NonZeroU32, other: Option<NonZeroU32>| Some(other.map_or(own, |n| n.min(own)));
    Limits {
        requests_per_minute: least(DEFAULT_REQUESTS_PER_MINUTE, documented.requests_per_minute),
        concurrency: least(DEFAULT_CONCURRENCY, documented.concurrency),
        ..documented.clone()
    }
}
