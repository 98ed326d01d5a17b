//! Puts an answer together. A whole one is a stream of one line.

use std::time::Duration;

use retort_types::Timestamp;
use retort_types::reply::{TokenSegment, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::{Assemble, Assembled};
use crate::errors;
use crate::gathered::{Gathered, keep_usage};
use crate::lenient::{Number, Object, Text, is_error_told, word};

/// A line: of a chat with `message`, of a raw generation with `response`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    /// Who serves it, where the server passes requests on.
    #[serde(borrow)]
    remote_host: Text<'a>,
    #[serde(borrow)]
    message: Object<Message<'a>>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    done: Option<&'a RawValue>,
    #[serde(borrow)]
    done_reason: Text<'a>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_eval_duration: Option<&'a RawValue>,
    #[serde(borrow)]
    eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    eval_duration: Option<&'a RawValue>,
    #[serde(borrow)]
    load_duration: Option<&'a RawValue>,
    #[serde(borrow)]
    total_duration: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

/// Puts one answer together.
pub(crate) struct Assembler {
    gathered: Gathered,
    /// Whether any line came before.
    has_lines: bool,
}

impl Assembler {
    pub(crate) fn new(now: Timestamp) -> Self {
        let mut gathered = Gathered::new(now);
        gathered.has_think_tags = true;
        Self {
            gathered,
            has_lines: false,
        }
    }

    fn line_is_readable(&mut self, data: &str, at: Duration) -> bool {
        let data = data.trim();
        if self.gathered.has_ended {
            if let Some(found) = errors::read_json(data, self.gathered.now) {
                self.gathered.fail(found);
            }
            return true;
        }
        let Ok(Object(Some(line))) = serde_json::from_str::<Object<Line<'_>>>(data) else {
            return false;
        };
        let is_done = line.done.is_some_and(|done| done.get() == "true");
        // One line that is all there is was not streamed, and arrived at no time of its own.
        let at = (self.has_lines || !is_done).then_some(at);
        self.has_lines = true;
        self.describe(&line);
        self.speech(&line, at);
        if line.error.is_some_and(|raw| is_error_told(raw.get())) {
            self.gathered.fail(errors::read(data, self.gathered.now));
        } else if is_done {
            self.end(&line);
        }
        true
    }

    fn describe(&mut self, line: &Line<'_>) {
        let reply = &mut self.gathered.reply;
        for (place, told) in [
            (&mut reply.served_model, &line.model),
            (&mut reply.upstream_provider, &line.remote_host),
        ] {
            if place.is_none() {
                *place = told.told().map(word);
            }
        }
    }

    fn speech(&mut self, line: &Line<'_>, at: Option<Duration>) {
        let message = line.message.0.as_ref();
        let thinking = message
            .and_then(|message| message.thinking)
            .or(line.thinking);
        if let Some(thinking) = thinking {
            self.gathered.reasoning(thinking, at);
        }
        let text = message
            .and_then(|message| message.content)
            .or(line.response);
        if let Some(text) = text {
            self.gathered.text(text, at);
        }
        let calls = message.and_then(|message| message.tool_calls);
        let calls = calls.map(RawValue::get).unwrap_or_default();
        for call in serde_json::from_str::<Vec<&RawValue>>(calls).unwrap_or_default() {
            self.gathered.tool(call);
        }
        if let Some(raw) = line.logprobs {
            let is_thinking = thinking.is_some_and(|raw| raw.get() != "\"\"")
                && text.is_none_or(|raw| raw.get() == "\"\"");
            let segment = if is_thinking {
                TokenSegment::Reasoning
            } else {
                TokenSegment::Response
            };
            self.gathered.token_list(raw.get(), segment, at);
        }
    }

    fn end(&mut self, line: &Line<'_>) {
        if let Some(reason) = line.done_reason.told() {
            self.gathered.finish_reason(reason);
        }
        let count = |raw: Option<&RawValue>| {
            let number = serde_json::from_str::<Number>(raw?.get()).ok()?;
            number.count()
        };
        let usage = Usage {
            input_tokens: count(line.prompt_eval_count),
            output_tokens: count(line.eval_count),
            ..Usage::default()
        };
        keep_usage(&mut self.gathered.reply, usage, &usage_raw(line));
        self.gathered.has_answer = true;
        self.gathered.has_ended = true;
    }
}

/// Returns counts and times, which stand among other fields, as an object of their own.
fn usage_raw(line: &Line<'_>) -> String {
    let told = [
        ("prompt_eval_count", line.prompt_eval_count),
        ("prompt_eval_duration", line.prompt_eval_duration),
        ("eval_count", line.eval_count),
        ("eval_duration", line.eval_duration),
        ("load_duration", line.load_duration),
        ("total_duration", line.total_duration),
    ];
    let fields: Vec<String> = told
        .iter()
        .filter_map(|(name, raw)| Some(format!("\"{name}\":{}", raw.as_ref()?.get())))
        .collect();
    format!("{{{}}}", fields.join(","))
}

impl Assemble for Assembler {
    fn is_done(&self) -> bool {
        self.gathered.has_ended
    }

    fn whole(&mut self, text: &str) {
        // Nothing that is read whole here is an answer.
        if let Some(found) = errors::read_json(text, self.gathered.now) {
            self.gathered.fail(found);
        }
    }

    fn event(&mut self, _name: &str, data: &str, since_sent: Duration) {
        if !self.line_is_readable(data, since_sent) {
            self.gathered.lose();
        }
    }

    fn last_event(&mut self, _name: &str, data: &str, since_sent: Duration) {
        let _is_whole = self.line_is_readable(data, since_sent);
    }

    fn finish(self: Box<Self>) -> Assembled {
        self.gathered.finish()
    }
}
