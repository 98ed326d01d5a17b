//! Plain answers of chat and completions: one JSON document.

use serde::Serialize;

use super::Shape;
use super::asked::{Asked, Facts};
use super::logprobs::{ChatLogprobs, LegacyLogprobs};
use crate::model::{Generation, Token, join};

/// Token counts.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct UsageJson {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<Details>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Details {
    reasoning_tokens: u64,
}

impl UsageJson {
    pub(super) fn new(asked: &Asked, made: &Generation) -> Self {
        let completion_tokens = made.token_count();
        let reasoning_tokens = made.reasoning.len() as u64;
        Self {
            prompt_tokens: asked.prompt_tokens,
            completion_tokens,
            total_tokens: asked.prompt_tokens + completion_tokens,
            completion_tokens_details: (reasoning_tokens > 0)
                .then_some(Details { reasoning_tokens }),
        }
    }
}

#[derive(Serialize)]
struct Document<'a, C: Serialize> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [C; 1],
    usage: UsageJson,
    system_fingerprint: &'a str,
}

#[derive(Serialize)]
struct ChatChoice<'a> {
    index: u32,
    message: ChatMessage,
    logprobs: Option<ChatLogprobs<'a>>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct ChatMessage {
    role: &'static str,
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    refusal: Option<String>,
}

#[derive(Serialize)]
struct TextChoice<'a> {
    text: String,
    index: u32,
    logprobs: Option<LegacyLogprobs<'a>>,
    finish_reason: &'static str,
}

/// Returns the document that answers `asked`. `echo` is the prompt as tokens, when it is repeated.
pub(super) fn document(asked: &Asked, made: &Generation, echo: &[Token], facts: &Facts) -> Vec<u8> {
    let usage = UsageJson::new(asked, made);
    let wanted = asked.wants_logprobs();
    if asked.shape == Shape::Completion {
        let tokens = [echo, &made.tokens].concat();
        let choice = TextChoice {
            text: join(&tokens),
            index: 0,
            logprobs: wanted.then(|| LegacyLogprobs::new(&tokens, 0, !echo.is_empty())),
            finish_reason: made.ended.as_str(),
        };
        return render(asked, facts, ("cmpl-", "text_completion"), choice, usage);
    }
    let text = join(&made.tokens);
    let (content, refusal) = if made.refused {
        (None, Some(text))
    } else {
        (Some(text), None)
    };
    let message = ChatMessage {
        role: "assistant",
        content,
        reasoning_content: (!made.reasoning.is_empty()).then(|| join(&made.reasoning)),
        refusal,
    };
    let choice = ChatChoice {
        index: 0,
        message,
        logprobs: wanted.then(|| ChatLogprobs::new(&made.tokens)),
        finish_reason: made.ended.as_str(),
    };
    render(
        asked,
        facts,
        ("chatcmpl-", "chat.completion"),
        choice,
        usage,
    )
}

/// `kind` is what ids begin with, and the name of the document.
fn render<C: Serialize>(
    asked: &Asked,
    facts: &Facts,
    kind: (&str, &'static str),
    choice: C,
    usage: UsageJson,
) -> Vec<u8> {
    let document = Document {
        id: facts.named(kind.0),
        object: kind.1,
        created: facts.created,
        model: &asked.model,
        choices: [choice],
        usage,
        system_fingerprint: &facts.fingerprint,
    };
    serde_json::to_vec(&document).expect("structs of texts and finite numbers always serialize")
}
