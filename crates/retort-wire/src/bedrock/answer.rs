//! Puts an answer together, whole or frame by frame.

use retort_types::Timestamp;
use retort_types::reply::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::Assembled;
use crate::draft::{Draft, Drafted, PARTS_MAX, keep_usage};
use crate::errors::{self, Found};
use crate::frames::{ERROR, EXCEPTION};
use crate::lenient::{Item, List, Number, Object, Text, text_of};
use crate::openai::Call;

/// A whole answer, or the last events of a stream, which are parts of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    output: Object<Output<'a>>,
    #[serde(borrow, rename = "stopReason")]
    stop_reason: Text<'a>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Output<'a> {
    #[serde(borrow)]
    message: Object<Message<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    content: List<Object<Block<'a>>>,
}

/// A block of a whole answer, what begins one in a stream, or what is added to it there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow, rename = "reasoningContent")]
    reasoning: Object<Reasoning<'a>>,
    #[serde(borrow, rename = "toolUse")]
    tool_use: Option<&'a RawValue>,
    #[serde(borrow, rename = "citationsContent")]
    cited: Object<Message<'a>>,
}

/// One more than is read, so that the excess shows.
impl Item for Block<'_> {
    const MAX: usize = PARTS_MAX + 1;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reasoning<'a> {
    /// In whole answers.
    #[serde(borrow, rename = "reasoningText")]
    whole: Object<ReasoningText<'a>>,
    /// In streams.
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow, rename = "redactedContent")]
    redacted: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReasoningText<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToolUse<'a> {
    #[serde(borrow, rename = "toolUseId")]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    /// An object in whole answers, a piece of JSON text in streams.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    start: Object<Block<'a>>,
    #[serde(borrow)]
    delta: Object<Block<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    #[serde(rename = "inputTokens")]
    input: Number,
    #[serde(rename = "outputTokens")]
    output: Number,
    #[serde(rename = "cacheReadInputTokens")]
    cache_read: Number,
    #[serde(rename = "cacheWriteInputTokens")]
    cache_write: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Original {
    #[serde(rename = "originalStatusCode")]
    status: Number,
}

/// Puts one answer together.
pub(crate) struct Assembler {
    draft: Draft,
    has_metadata: bool,
}

impl Assembler {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            draft: Draft::new(now),
            has_metadata: false,
        }
    }

    fn usage(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw.map(RawValue::get) else {
            return;
        };
        if let Ok(Object(Some(told))) = serde_json::from_str::<Object<Told>>(raw) {
            let usage = Usage {
                input_tokens: told.input.count(),
                output_tokens: told.output.count(),
                reasoning_tokens: None,
                cache_read_tokens: told.cache_read.count(),
                cache_write_tokens: told.cache_write.count(),
            };
            keep_usage(&mut self.draft.reply, usage, raw);
        }
    }

    fn message(&mut self, message: Message<'_>) {
        let Some(blocks) = message.content.0 else {
            return;
        };
        self.draft.has_answer = true;
        if blocks.len() > PARTS_MAX {
            self.draft.said.make_unreadable();
        }
        for block in blocks.into_iter().filter_map(|block| block.0) {
            if let Some(tool) = tool_use(&block) {
                let arguments = tool.input.map(RawValue::get).unwrap_or_default();
                self.call(&tool, arguments);
            }
            self.block(&block);
            // A text with its sources is told in parts of the same form, and nests no deeper.
            let cited = block.cited.0.and_then(|cited| cited.content.0);
            for part in cited.into_iter().flatten().filter_map(|part| part.0) {
                self.block(&part);
            }
        }
    }

    /// Reads text and reasoning of a block or of what is added to one.
    fn block(&mut self, block: &Block<'_>) {
        let draft = &mut self.draft;
        draft.has_answer |= block.text.is_some();
        draft.said.add_raw_text(block.text);
        let Some(reasoning) = &block.reasoning.0 else {
            return;
        };
        let whole = reasoning.whole.0.as_ref().and_then(|whole| whole.text);
        let text = whole.or(reasoning.text);
        draft.said.add_raw_reasoning(text);
        let is_hidden = reasoning.redacted.told().is_some();
        if is_hidden {
            draft.said.add_hidden_reasoning();
        }
        draft.has_answer |= is_hidden || text.is_some();
    }

    fn call(&mut self, tool: &ToolUse<'_>, arguments: &str) {
        self.draft.has_answer = true;
        let id = tool.id.told().unwrap_or_default();
        self.draft.said.add_call(&Call {
            index: None,
            id,
            kind: if id.is_empty() { "" } else { "function" },
            name: tool.name.told().unwrap_or_default(),
            arguments,
        });
    }

    fn block_event(&mut self, data: &str) -> bool {
        let Ok(Object(Some(event))) = serde_json::from_str::<Object<Event<'_>>>(data) else {
            return false;
        };
        for block in [event.start.0, event.delta.0].into_iter().flatten() {
            if let Some(tool) = tool_use(&block) {
                let piece = tool.input.and_then(|raw| text_of(raw.get()));
                self.call(&tool, &piece.unwrap_or_default());
            }
            self.block(&block);
        }
        true
    }

    fn last_events(&mut self, name: &str, data: &str) -> bool {
        let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(data) else {
            return false;
        };
        if name == "metadata" {
            self.usage(body.usage);
            self.has_metadata = true;
            return true;
        }
        self.stop(&body);
        // Without a reason, too, this event is the end.
        self.draft.has_answer = true;
        self.draft.has_ended = true;
        true
    }

    fn stop(&mut self, body: &Body<'_>) {
        if let Some(reason) = body.stop_reason.told() {
            self.draft.stop(reason);
        }
    }
}

fn tool_use<'a>(block: &Block<'a>) -> Option<ToolUse<'a>> {
    let raw = block.tool_use?.get();
    serde_json::from_str::<Object<ToolUse<'_>>>(raw).ok()?.0
}

/// Returns the error that an exception within a stream tells.
fn exception_found(exception: &str, data: &str, now: Timestamp) -> Found {
    let mut found = errors::read(data, now);
    found.error.kind = Some(exception.to_owned());
    let original = serde_json::from_str::<Object<Original>>(data).ok();
    let original = original.and_then(|original| original.0?.status.count());
    found.status = original
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..600).contains(status))
        .or_else(|| status_of(exception));
    found
}

/// Returns the status that an exception has outside streams.
fn status_of(exception: &str) -> Option<u16> {
    const STATUSES: [(&str, u16); 11] = [
        ("accessDeniedException", 403),
        ("internalServerException", 500),
        ("modelErrorException", 424),
        ("modelNotReadyException", 429),
        ("modelStreamErrorException", 424),
        ("modelTimeoutException", 408),
        ("resourceNotFoundException", 404),
        ("serviceQuotaExceededException", 400),
        ("serviceUnavailableException", 503),
        ("throttlingException", 429),
        ("validationException", 400),
    ];
    let known = STATUSES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(exception));
    known.map(|(_, status)| *status)
}

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        if let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(text) {
            self.stop(&body);
            self.usage(body.usage);
            if let Some(message) = body.output.0.and_then(|output| output.message.0) {
                self.message(message);
            }
        }
        self.draft.end_whole(text);
    }

    fn read_event(&mut self, name: &str, data: &str) -> bool {
        let had_ended = self.draft.has_ended;
        if let Some(exception) = name.strip_prefix(EXCEPTION) {
            let found = exception_found(exception, data, self.draft.now);
            self.draft.fail(found, had_ended);
            return true;
        }
        if let Some(code) = name.strip_prefix(ERROR) {
            let mut found = errors::read(data, self.draft.now);
            found.error.code = Some(code.to_owned());
            self.draft.fail(found, had_ended);
            return true;
        }
        let is_readable = match name {
            "contentBlockStart" | "contentBlockDelta" => self.block_event(data),
            "messageStop" | "metadata" => self.last_events(name, data),
            // What else there is holds no text.
            _ => true,
        };
        // After the end of the answer no text is missing.
        is_readable || had_ended
    }

    fn has_last_word(&self) -> bool {
        self.draft.has_ended && self.has_metadata
    }

    fn assembled(self) -> Assembled {
        self.draft.finish_as_told()
    }
}
