//! Requests of chat and of raw completions.

use retort_types::{Message, PromptInput};

use super::Shape;
use super::asked::{Asked, message};
use super::content::{at_most, role, text};
use super::fields::{Field, Object, Wrong};
use super::framing::Framing;

/// Most alternatives per token of chat and of completions.
const TOP_LOGPROBS_MAX: u32 = 20;
const LEGACY_LOGPROBS_MAX: u32 = 5;

/// Most stop texts.
const STOP_MAX: usize = 4;

/// Tokens of a completion when the request does not say: the family's own default.
const LEGACY_MAX_TOKENS: u32 = 16;

/// Roles of messages.
const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

/// Documented fields of `OpenAI` that change nothing here.
const IGNORED: [&str; 21] = [
    "audio",
    "best_of",
    "function_call",
    "functions",
    "logit_bias",
    "metadata",
    "modalities",
    "parallel_tool_calls",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "response_format",
    "safety_identifier",
    "service_tier",
    "suffix",
    "tool_choice",
    "tools",
    "user",
    "verbosity",
    "web_search_options",
    "store",
];

/// Documented fields of compatible providers that change nothing here.
const IGNORED_FAMILY: [&str; 24] = [
    "cache_prompt",
    "chat_template_kwargs",
    "enable_thinking",
    "ignore_eos",
    "include_reasoning",
    "length_penalty",
    "min_tokens",
    "models",
    "n_probs",
    "plugins",
    "prompt_logprobs",
    "prompt_mode",
    "provider",
    "reasoning_format",
    "return_token_ids",
    "route",
    "safe_prompt",
    "skip_special_tokens",
    "stop_token_ids",
    "thinking",
    "top_a",
    "transforms",
    "truncate_prompt_tokens",
    "typical_p",
];

/// Reads the body of a request to the endpoint of `shape`, which is chat or completions.
pub(super) fn read(shape: Shape, bytes: &[u8]) -> Result<Asked, Wrong> {
    let mut body = Object::parse(bytes)?;
    let model = body.text("model")?.filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Wrong::missing("model"))?;
    if body.whole("n")?.is_some_and(|n| n != 1) {
        return Err(Wrong::rule("n", "must be 1"));
    }
    let input = if shape == Shape::Completion {
        prompt(&mut body)?
    } else {
        messages(&mut body)?
    };
    let mut asked = Asked::new(shape, model, input);
    asked.ask.temperature = body.number("temperature", 0.0, 2.0)?.unwrap_or(1.0);
    let most = body.limit("max_tokens")?;
    let newer = body.limit("max_completion_tokens")?;
    asked.ask.max_tokens = newer.or(most);
    let seed = body.whole("seed")?;
    asked.ask.seed = body.whole("random_seed")?.or(seed);
    asked.stop = body.texts("stop")?;
    if asked.stop.len() > STOP_MAX {
        return Err(Wrong::rule("stop", "must hold at most 4 texts"));
    }
    asked.ask.top_logprobs = logprobs(shape, &mut body)?;
    if body.flag("stream")? == Some(true) {
        asked.framing = Some(Framing::Sse);
    }
    if let Some(mut options) = body.object("stream_options")? {
        asked.include_usage = options.flag("include_usage")?.unwrap_or(false);
        options.flag("include_obfuscation")?;
        options.end()?;
    }
    if shape == Shape::Completion {
        asked.echo = body.flag("echo")?.unwrap_or(false);
        asked.ask.max_tokens = asked.ask.max_tokens.or(Some(LEGACY_MAX_TOKENS));
    }
    sampling(&mut body)?;
    asked.think(thinks(&mut body)?, true);
    body.ignore(&IGNORED);
    body.ignore(&IGNORED_FAMILY);
    body.end()?;
    Ok(asked)
}

/// Checks what a simulation does not act on.
fn sampling(body: &mut Object) -> Result<(), Wrong> {
    body.number("top_p", 0.0, 1.0)?;
    body.number("min_p", 0.0, 1.0)?;
    body.whole("top_k")?;
    body.number("frequency_penalty", -2.0, 2.0)?;
    body.number("presence_penalty", -2.0, 2.0)?;
    body.number("repetition_penalty", 0.0, f64::MAX)?;
    Ok(())
}

fn thinks(body: &mut Object) -> Result<bool, Wrong> {
    let effort = body.text("reasoning_effort")?;
    let mut nested = None;
    if let Some(mut reasoning) = body.object("reasoning")? {
        nested = reasoning.text("effort")?;
        reasoning.count("max_tokens")?;
        reasoning.flag("exclude")?;
        reasoning.flag("enabled")?;
        reasoning.end()?;
    }
    Ok(effort.or(nested).as_deref() != Some("none"))
}

fn prompt(body: &mut Object) -> Result<PromptInput, Wrong> {
    let mut texts = body.texts("prompt")?;
    if texts.len() != 1 {
        return Err(Wrong::rule("prompt", "must be one text"));
    }
    Ok(PromptInput::Text(texts.remove(0)))
}

fn messages(body: &mut Object) -> Result<PromptInput, Wrong> {
    let list = body.list("messages")?;
    if list.is_empty() {
        return Err(Wrong::rule("messages", "must not be empty"));
    }
    let messages = list.into_iter().map(one_message);
    Ok(PromptInput::Messages(messages.collect::<Result<_, _>>()?))
}

fn one_message(field: Field) -> Result<Message, Wrong> {
    let mut raw = field.object()?;
    let role = role(&mut raw, &ROLES, "is not a known role")?;
    let content = raw.take("content").map(|field| text(field, &["text"]));
    let content = content.transpose()?.unwrap_or_default();
    raw.ignore(&["name", "tool_calls", "tool_call_id", "refusal", "audio"]);
    raw.ignore(&["reasoning_content", "reasoning", "function_call", "prefix"]);
    raw.end()?;
    Ok(message(&role, content))
}

fn logprobs(shape: Shape, body: &mut Object) -> Result<Option<u32>, Wrong> {
    if shape == Shape::Completion {
        let wanted = body.count("logprobs")?;
        return at_most("logprobs", wanted, LEGACY_LOGPROBS_MAX);
    }
    let wanted = body.flag("logprobs")?.unwrap_or(false);
    let top = body.count("top_logprobs")?;
    if top.is_some() && !wanted {
        return Err(Wrong::rule("top_logprobs", "needs `logprobs`"));
    }
    at_most(
        "top_logprobs",
        wanted.then(|| top.unwrap_or(0)),
        TOP_LOGPROBS_MAX,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(shape: Shape, json: &str) -> String {
        read(shape, json.as_bytes()).map_or_else(
            |wrong| super::super::complaint::tell(&wrong, shape).message,
            |_| "fine".to_owned(),
        )
    }

    #[test]
    fn requests_are_understood() {
        let json = r#"{"model": "m", "messages": [{"role": "developer", "content": null},
            {"role": "user", "content": [{"type": "text", "text": "hi "}, {"type": "text", "text": "you"}]}],
            "max_completion_tokens": 7, "seed": -3, "stop": "x", "logprobs": true, "user": "u",
            "top_logprobs": 2, "stream": true, "stream_options": {"include_usage": true}}"#;
        let asked = read(Shape::Chat, json.as_bytes()).unwrap();
        assert_eq!(asked.ask.last_text(), "hi you");
        assert_eq!(asked.ask.max_tokens, Some(7));
        assert_eq!(
            (asked.ask.seed, asked.ask.top_logprobs),
            (Some(-3), Some(2))
        );
        assert!(asked.framing.is_some() && asked.include_usage && !asked.echo);
        assert_eq!(asked.prompt_tokens, 4 + 4 + 2);

        let json = r#"{"model": "m", "prompt": ["once"], "logprobs": 0, "echo": true}"#;
        let asked = read(Shape::Completion, json.as_bytes()).unwrap();
        assert_eq!(asked.ask.input, PromptInput::Text("once".to_owned()));
        assert_eq!(asked.ask.max_tokens, Some(16));
        assert!(asked.echo);
    }

    #[test]
    fn mistakes_are_told() {
        let user = r#""messages": [{"role": "user", "content": ""}]"#;
        for (json, message) in [
            ("{", "could not read the JSON body at line 1 column 1"),
            ("{}", "you must provide a model parameter"),
            (
                r#"{"model": "m"}"#,
                "Invalid value for 'messages': must not be empty.",
            ),
            (
                r#"{"model": "m", "n": 2}"#,
                "Invalid value for 'n': must be 1.",
            ),
            (
                r#"{"model": "m", "messages": [{"role": "x", "content": ""}]}"#,
                "Invalid value for 'messages[0].role': is not a known role.",
            ),
            (
                &format!(r#"{{"model": "m", {user}, "top_logprobs": 1}}"#),
                "Invalid value for 'top_logprobs': needs `logprobs`.",
            ),
            (
                &format!(r#"{{"model": "m", {user}, "temperature": 2.5}}"#),
                "Invalid value for 'temperature': must be between 0 and 2.",
            ),
            (
                &format!(r#"{{"model": "m", {user}, "temperature": "1"}}"#),
                "Invalid type for 'temperature': expected number, but got string instead.",
            ),
            (
                &format!(r#"{{"model": "m", {user}, "max_token": 1}}"#),
                "Unrecognized request argument supplied: max_token",
            ),
        ] {
            assert_eq!(message_of(Shape::Chat, json), message, "{json}");
        }
        for (json, message) in [
            (
                r#"{"model": "m", "prompt": "x", "logprobs": 6}"#,
                "Invalid value for 'logprobs': must be at most 5.",
            ),
            (
                r#"{"model": "m", "prompt": ["x", "y"]}"#,
                "Invalid value for 'prompt': must be one text.",
            ),
        ] {
            assert_eq!(message_of(Shape::Completion, json), message, "{json}");
        }
    }
}
