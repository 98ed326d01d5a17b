//! Streamed answers of chat and completions: chunks with a few tokens each.

use serde::Serialize;

use super::Shape;
use super::answer::UsageJson;
use super::asked::{Asked, Facts, parts};
use super::framing::Event;
use super::logprobs::{ChatLogprobs, LegacyLogprobs};
use crate::model::{Generation, Token, join};

#[derive(Serialize)]
struct Chunk<'a, C: Serialize> {
    id: String,
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
pub(super) fn events(
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
    let completion = asked.shape == Shape::Completion;
    if !completion {
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
    for part in parts(&made.tokens, facts.id) {
        stream.tokens(part, made.refused);
    }
    if completion {
        stream.text(&[], false, Some(made.ended.as_str()));
    } else {
        stream.chat(Delta::default(), &[], Some(made.ended.as_str()), 0);
    }
    if asked.include_usage {
        let none: [ChatChoice<'_>; 0] = [];
        stream.push(&none, Some(UsageJson::new(asked, made)), 0);
    }
    stream.written.push(Event::done());
    stream.written
}

impl Events<'_> {
    fn reasoning(&mut self, tokens: &[Token]) {
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
        let (prefix, object) = if self.asked.shape == Shape::Completion {
            ("cmpl-", "text_completion")
        } else {
            ("chatcmpl-", "chat.completion.chunk")
        };
        let chunk = Chunk {
            id: self.facts.named(prefix),
            object,
            created: self.facts.created,
            model: &self.asked.model,
            system_fingerprint: &self.facts.fingerprint,
            choices,
            usage,
        };
        let data = serde_json::to_vec(&chunk)
            .expect("structs of texts and finite numbers always serialize");
        let name = "";
        self.written.push(Event { name, data, tokens });
    }
}

fn count(part: &[Token]) -> u32 {
    u32::try_from(part.len()).unwrap_or(u32::MAX)
}
