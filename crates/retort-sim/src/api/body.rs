//! Reading of request bodies, with the complaints that real providers make.

use retort_types::{Message, PromptInput};
use serde::Deserialize;

use super::error::ApiError;
use crate::model::{Ask, estimate_tokens};

/// Most alternatives per token of chat and of completions.
const TOP_LOGPROBS_MAX: u32 = 20;
const LEGACY_LOGPROBS_MAX: u32 = 5;

/// Tokens that a chat template adds per message, as the family's own counting does.
const TOKENS_PER_MESSAGE: u64 = 4;

/// Tokens of a completion when the request does not say: the family's own default.
const LEGACY_MAX_TOKENS: u32 = 16;

/// Which of the two endpoints was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Chat,
    Completion,
}

/// A request that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) shape: Shape,
    pub(crate) model: String,
    pub(crate) ask: Ask,
    pub(crate) stop: Vec<String>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// Whether a completion repeats its prompt.
    pub(crate) echo: bool,
    pub(crate) prompt_tokens: u64,
}

#[derive(Debug, Deserialize)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<RawMessage>>,
    prompt: Option<OneOrMany>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f64>,
    #[serde(alias = "random_seed")]
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    n: Option<u32>,
    logprobs: Option<Logprobs>,
    top_logprobs: Option<u32>,
    echo: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct RawMessage {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Logprobs {
    Wanted(bool),
    Count(u32),
}

/// Reads the body of a request to the endpoint of `shape`.
pub(crate) fn read(shape: Shape, bytes: &[u8]) -> Result<Asked, ApiError> {
    let body: Body = serde_json::from_slice(bytes).map_err(|error| {
        // The text may quote the request, so only its place is told.
        let (line, column) = (error.line(), error.column());
        ApiError::invalid(format!(
            "could not read the JSON body at line {line} column {column}"
        ))
    })?;
    check(&body)?;
    let input = input(shape, body.messages, body.prompt)?;
    let top_logprobs = top_logprobs(shape, body.logprobs, body.top_logprobs)?;
    let limit = body.max_completion_tokens.or(body.max_tokens);
    let prompt_tokens = count_tokens(&input);
    Ok(Asked {
        shape,
        model: body.model.unwrap_or_default(),
        ask: Ask {
            input,
            temperature: body.temperature.unwrap_or(1.0),
            seed: body.seed,
            draw: 0,
            sample_id: None,
            max_tokens: match shape {
                Shape::Chat => limit,
                Shape::Completion => Some(limit.unwrap_or(LEGACY_MAX_TOKENS)),
            },
            top_logprobs,
        },
        stop: many(body.stop),
        stream: body.stream.unwrap_or(false),
        include_usage: body
            .stream_options
            .and_then(|options| options.include_usage)
            .unwrap_or(false),
        echo: shape == Shape::Completion && body.echo.unwrap_or(false),
        prompt_tokens,
    })
}

fn check(body: &Body) -> Result<(), ApiError> {
    if body.model.as_deref().unwrap_or("").is_empty() {
        return Err(ApiError::invalid("you must provide a model parameter"));
    }
    if body.n.is_some_and(|n| n != 1) {
        return Err(ApiError::invalid("`n` must be 1").code("unsupported_value"));
    }
    if body.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
        return Err(ApiError::invalid("`temperature` must be between 0 and 2"));
    }
    if body.max_tokens == Some(0) || body.max_completion_tokens == Some(0) {
        return Err(ApiError::invalid("`max_tokens` must be at least 1"));
    }
    if matches!(&body.stop, Some(OneOrMany::Many(stop)) if stop.len() > 4) {
        return Err(ApiError::invalid("`stop` holds at most 4 texts"));
    }
    Ok(())
}

fn input(
    shape: Shape,
    messages: Option<Vec<RawMessage>>,
    prompt: Option<OneOrMany>,
) -> Result<PromptInput, ApiError> {
    match shape {
        Shape::Completion => match prompt {
            Some(OneOrMany::One(text)) => Ok(PromptInput::Text(text)),
            Some(OneOrMany::Many(mut texts)) if texts.len() == 1 => {
                Ok(PromptInput::Text(texts.remove(0)))
            }
            _ => Err(ApiError::invalid("`prompt` must be one text")),
        },
        Shape::Chat => {
            let messages = messages.unwrap_or_default();
            if messages.is_empty() {
                return Err(ApiError::invalid("`messages` must not be empty"));
            }
            let known = ["system", "developer", "user", "assistant", "tool"];
            if messages.iter().any(|m| !known.contains(&m.role.as_str())) {
                return Err(ApiError::invalid("a message has an unknown role"));
            }
            Ok(PromptInput::Messages(
                messages.into_iter().map(message).collect(),
            ))
        }
    }
}

fn message(raw: RawMessage) -> Message {
    let content = match raw.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
    };
    Message {
        role: raw.role,
        content,
    }
}

fn top_logprobs(
    shape: Shape,
    logprobs: Option<Logprobs>,
    top: Option<u32>,
) -> Result<Option<u32>, ApiError> {
    let wanted = match (shape, logprobs) {
        (Shape::Chat, Some(Logprobs::Wanted(true))) => Some(top.unwrap_or(0)),
        (Shape::Chat, Some(Logprobs::Wanted(false)) | None) => {
            if top.is_some() {
                return Err(ApiError::invalid("`top_logprobs` needs `logprobs`"));
            }
            None
        }
        (Shape::Completion, Some(Logprobs::Count(count))) => Some(count),
        (Shape::Completion, None) => None,
        (Shape::Chat, Some(Logprobs::Count(_))) => {
            return Err(ApiError::invalid("`logprobs` must be true or false"));
        }
        (Shape::Completion, Some(Logprobs::Wanted(_))) => {
            return Err(ApiError::invalid("`logprobs` must be a number"));
        }
    };
    let most = match shape {
        Shape::Chat => TOP_LOGPROBS_MAX,
        Shape::Completion => LEGACY_LOGPROBS_MAX,
    };
    if wanted.is_some_and(|count| count > most) {
        return Err(ApiError::invalid(format!(
            "at most {most} alternatives per token are told"
        )));
    }
    Ok(wanted)
}

fn many(texts: Option<OneOrMany>) -> Vec<String> {
    match texts {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    }
}

fn count_tokens(input: &PromptInput) -> u64 {
    match input {
        PromptInput::Text(text) => estimate_tokens(text),
        PromptInput::Messages(messages) => messages
            .iter()
            .map(|message| estimate_tokens(&message.content) + TOKENS_PER_MESSAGE)
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(shape: Shape, json: &str) -> String {
        read(shape, json.as_bytes()).map_or_else(|e| e.message, |_| "fine".to_owned())
    }

    #[test]
    fn requests_are_understood() {
        let json = r#"{"model": "m", "messages": [{"role": "system", "content": null},
            {"role": "user", "content": [{"type": "text", "text": "hi "}, {"text": "you"}]}],
            "max_completion_tokens": 7, "seed": -3, "stop": "x", "logprobs": true,
            "top_logprobs": 2, "stream": true, "stream_options": {"include_usage": true},
            "unknown": {"a": 1}}"#;
        let asked = read(Shape::Chat, json.as_bytes()).unwrap();
        assert_eq!(asked.ask.last_text(), "hi you");
        assert_eq!(asked.ask.max_tokens, Some(7));
        assert_eq!(
            (asked.ask.seed, asked.ask.top_logprobs),
            (Some(-3), Some(2))
        );
        assert!(asked.stream && asked.include_usage && !asked.echo);
        assert_eq!(asked.prompt_tokens, 4 + 4 + 2);

        let json = r#"{"model": "m", "prompt": ["once"], "logprobs": 0, "echo": true}"#;
        let asked = read(Shape::Completion, json.as_bytes()).unwrap();
        assert_eq!(asked.ask.input, PromptInput::Text("once".to_owned()));
        assert_eq!(asked.ask.max_tokens, Some(16));
        assert!(asked.echo);
    }

    #[test]
    fn mistakes_are_told() {
        for (json, message) in [
            ("{", "could not read the JSON body at line 1 column 1"),
            ("{}", "you must provide a model parameter"),
            (r#"{"model": "m"}"#, "`messages` must not be empty"),
            (r#"{"model": "m", "n": 2}"#, "`n` must be 1"),
            (
                r#"{"model": "m", "messages": [{"role": "x", "content": ""}]}"#,
                "a message has an unknown role",
            ),
            (
                r#"{"model": "m", "messages": [{"role": "user", "content": ""}], "top_logprobs": 1}"#,
                "`top_logprobs` needs `logprobs`",
            ),
            (
                r#"{"model": "m", "messages": [], "temperature": 2.5}"#,
                "`temperature` must be between 0 and 2",
            ),
        ] {
            assert_eq!(message_of(Shape::Chat, json), message, "{json}");
        }
        let json = r#"{"model": "m", "prompt": "x", "logprobs": 6}"#;
        assert_eq!(
            message_of(Shape::Completion, json),
            "at most 5 alternatives per token are told"
        );
        let json = r#"{"model": "m", "prompt": ["x", "y"]}"#;
        assert_eq!(
            message_of(Shape::Completion, json),
            "`prompt` must be one text"
        );
    }
}
