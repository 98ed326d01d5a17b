//! Token counts under the names that providers of the family use.

use retort_types::reply::{Reply, Usage};
use serde::Deserialize;

use crate::gathered::keep_usage;
use crate::lenient::{Number, Object};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    prompt_tokens: Number,
    completion_tokens: Number,
    /// Names of newer protocols that some compatible endpoints leave in place.
    input_tokens: Number,
    output_tokens: Number,
    /// Perplexity's place.
    reasoning_tokens: Number,
    /// Moonshot's place. Others write a zero there whether or not they count, so that zero is
    /// no count.
    cached_tokens: Number,
    /// DeepSeek's place.
    prompt_cache_hit_tokens: Number,
    /// Anthropic's names, passed through by routers.
    cache_read_input_tokens: Number,
    cache_creation_input_tokens: Number,
    prompt_tokens_details: Object<PromptDetails>,
    completion_tokens_details: Object<CompletionDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Number,
    cache_write_tokens: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Number,
}

/// Writes the usage object `raw` into `reply`. A later one replaces an earlier one, since streams
/// that tell it often tell it cumulatively; one without any count is passed over.
pub(super) fn read(raw: &str, reply: &mut Reply) {
    let Ok(Object(Some(told))) = serde_json::from_str::<Object<Told>>(raw) else {
        return;
    };
    let first = |numbers: &[Number]| numbers.iter().find_map(|number| number.count());
    let prompt = told.prompt_tokens_details.0.unwrap_or_default();
    let completion = told.completion_tokens_details.0.unwrap_or_default();
    let usage = Usage {
        input_tokens: first(&[told.prompt_tokens, told.input_tokens]),
        output_tokens: first(&[told.completion_tokens, told.output_tokens]),
        reasoning_tokens: first(&[completion.reasoning_tokens, told.reasoning_tokens]),
        cache_read_tokens: first(&[
            prompt.cached_tokens,
            told.prompt_cache_hit_tokens,
            Number(told.cached_tokens.0.filter(|count| *count > 0.0)),
            told.cache_read_input_tokens,
        ]),
        cache_write_tokens: first(&[prompt.cache_write_tokens, told.cache_creation_input_tokens]),
    };
    keep_usage(reply, usage, raw);
}
