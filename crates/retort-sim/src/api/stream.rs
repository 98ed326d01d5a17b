//! Streamed answers: server-sent events with a few tokens each.

use serde::Serialize;

use super::answer::{Facts, UsageJson};
use super::body::{Asked, Shape};
use super::logprobs::{ChatLogprobs, LegacyLogprobs};
use crate::mix::{key, mix};
use crate::model::{Generation, Token, join};

/// Most tokens of one event; providers send one to a few.
const EVENT_TOKENS_MAX: usize = 3;

/// The event that ends a stream.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// One event with the number of tokens it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tokens: u32,
}

#[derive(Serialize)]
struct Chunk<'a, C: Serialize> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: &'a [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageJson>,
}

#[derive(Serialize)]
struct ChatChoice<'a> {
    index: u32,
    delta: Delta,
    logprobs: Option<ChatLogprobs<'a>>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

#[derive(Serialize)]
struct TextChoice<'a> {
    text: String,
    index: u32,
    logprobs: Option<LegacyLogprobs<'a>>,
    finish_reason: Option<&'static str>,
}

/// Writes the events of one stream.
struct Events<'a> {
    asked: &'a Asked,
    facts: &'a Facts,
    written: Vec<Event>,
    /// Characters of text so far.
    offset: usize,
}

/// Returns the events that answer `asked`, `[DONE]` included.
pub(crate) fn events(
    asked: &Asked,
    made: &Generation,
    echo: &[Token],
    facts: &Facts,
) -> Vec<Event> {
    let mut stream = Events {
        asked,
        facts,
        written: Vec::new(),
        offset: 0,
    };
    if asked.shape == Shape::Chat {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(String::new()),
            ..Delta::default()
        };
        stream.chat(delta, &[], None, 0);
    }
    stream.reasoning(&made.reasoning);
    if !echo.is_empty() {
        stream.text(echo, true, None);
    }
    for part in parts(&made.tokens, key(&facts.id)) {
        stream.tokens(part, made.refused);
    }
    match asked.shape {
        Shape::Chat => stream.chat(Delta::default(), &[], Some(made.ended.as_str()), 0),
        Shape::Completion => stream.text(&[], false, Some(made.ended.as_str())),
    }
    if asked.include_usage {
        let none: [ChatChoice<'_>; 0] = [];
        stream.push(&none, Some(UsageJson::new(asked, made)), 0);
    }
    stream.written.push(Event {
        bytes: DONE.to_vec(),
        tokens: 0,
    });
    stream.written
}

/// Returns `tokens` in parts of one to three, by `seed`.
fn parts(tokens: &[Token], seed: u64) -> Vec<&[Token]> {
    let mut parts = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while !rest.is_empty() {
        let drawn = crate::mix::below(mix(seed, rest.len() as u64), EVENT_TOKENS_MAX) + 1;
        let (part, tail) = rest.split_at(drawn.min(rest.len()));
        parts.push(part);
        rest = tail;
    }
    parts
}

impl Events<'_> {
    fn reasoning(&mut self, tokens: &[Token]) {
        if self.asked.shape == Shape::Completion {
            return;
        }
        for part in parts(tokens, 1) {
            let delta = Delta {
                reasoning_content: Some(join(part)),
                ..Delta::default()
            };
            self.chat(delta, &[], None, count(part));
        }
    }

    fn tokens(&mut self, part: &[Token], refused: bool) {
        if self.asked.shape == Shape::Completion {
            self.text(part, false, None);
            return;
        }
        let mut delta = Delta::default();
        if refused {
            delta.refusal = Some(join(part));
        } else {
            delta.content = Some(join(part));
        }
        self.chat(delta, part, None, count(part));
    }

    fn chat(&mut self, delta: Delta, part: &[Token], finish: Option<&'static str>, tokens: u32) {
        let wanted = self.asked.ask.top_logprobs.is_some() && !part.is_empty();
        let choice = ChatChoice {
            index: 0,
            delta,
            logprobs: wanted.then(|| ChatLogprobs::new(part)),
            finish_reason: finish,
        };
        self.push(&[choice], None, tokens);
    }

    fn text(&mut self, part: &[Token], echoed: bool, finish: Option<&'static str>) {
        let wanted = self.asked.ask.top_logprobs.is_some() && !part.is_empty();
        let text = join(part);
        let chars = text.chars().count();
        let choice = TextChoice {
            text,
            index: 0,
            logprobs: wanted.then(|| LegacyLogprobs::new(part, self.offset, echoed)),
            finish_reason: finish,
        };
        self.push(&[choice], None, if echoed { 0 } else { count(part) });
        self.offset += chars;
    }

    fn push<C: Serialize>(&mut self, choices: &[C], usage: Option<UsageJson>, tokens: u32) {
        let object = match self.asked.shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Completion => "text_completion",
        };
        let chunk = Chunk {
            id: &self.facts.id,
            object,
            created: self.facts.created,
            model: &self.asked.model,
            system_fingerprint: &self.facts.fingerprint,
            choices,
            usage,
        };
        let mut bytes = b"data: ".to_vec();
        serde_json::to_writer(&mut bytes, &chunk)
            .expect("structs of texts and finite numbers always serialize");
        bytes.extend_from_slice(b"\n\n");
        self.written.push(Event { bytes, tokens });
    }
}

fn count(part: &[Token]) -> u32 {
    u32::try_from(part.len()).unwrap_or(u32::MAX)
}
