//! Puts an answer together. A whole one is a stream of one line.

use retort_types::Timestamp;
use retort_types::reply::{TokenSegment, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::Assembled;
use crate::draft::{Draft, Drafted, keep_first, keep_usage};
use crate::errors::{self, is_told};
use crate::lenient::{Number, Object, Text};

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
    draft: Draft,
    /// Whether any line came before.
    has_lines: bool,
}

impl Assembler {
    pub(crate) fn new(now: Timestamp) -> Self {
        let mut draft = Draft::new(now);
        draft.has_think_tags = true;
        Self {
            draft,
            has_lines: false,
        }
    }

    fn describe(&mut self, line: &Line<'_>) {
        self.draft.describe(&Text::default(), &line.model);
        keep_first(&mut self.draft.reply.upstream_provider, &line.remote_host);
    }

    fn speech(&mut self, line: &Line<'_>) {
        let message = line.message.0.as_ref();
        let thinking = message
            .and_then(|message| message.thinking)
            .or(line.thinking);
        let text = message
            .and_then(|message| message.content)
            .or(line.response);
        let said = &mut self.draft.said;
        said.add_raw_reasoning(thinking);
        said.add_raw_text(text);
        said.add_told_calls(message.and_then(|message| message.tool_calls));
        self.draft.has_answer |= thinking.is_some() || text.is_some() || said.has_calls();
        if let Some(raw) = line.logprobs {
            let is_thinking = thinking.is_some_and(|raw| raw.get() != "\"\"")
                && text.is_none_or(|raw| raw.get() == "\"\"");
            let segment = if is_thinking {
                TokenSegment::Reasoning
            } else {
                TokenSegment::Response
            };
            self.draft.add_token_list(raw.get(), segment);
        }
    }

    fn end(&mut self, line: &Line<'_>) {
        if let Some(reason) = line.done_reason.told() {
            self.draft.stop(reason);
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
        keep_usage(&mut self.draft.reply, usage, &usage_raw(line));
        self.draft.has_answer = true;
        self.draft.has_ended = true;
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

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        // Nothing that is read whole here is an answer.
        self.draft.end_whole(text);
    }

    fn read_event(&mut self, _name: &str, data: &str) -> bool {
        let data = data.trim();
        if self.draft.has_ended {
            if let Some(found) = errors::read_json(data, self.draft.now) {
                self.draft.fail(found, true);
            }
            return true;
        }
        let Ok(Object(Some(line))) = serde_json::from_str::<Object<Line<'_>>>(data) else {
            return false;
        };
        let is_done = line.done.is_some_and(|done| done.get() == "true");
        if is_done && !self.has_lines {
            // One line that is all there is was not streamed, and arrived at no time of its own.
            self.draft.since_sent = None;
        }
        self.has_lines = true;
        self.describe(&line);
        self.speech(&line);
        if line.error.is_some_and(|raw| is_told(raw.get())) {
            self.draft.fail_with(data, false);
        } else if is_done {
            self.end(&line);
        }
        true
    }

    fn has_last_word(&self) -> bool {
        self.draft.has_ended
    }

    fn assembled(self) -> Assembled {
        self.draft.finish_as_told()
    }
}
