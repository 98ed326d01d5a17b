//! Puts an answer together, whole or frame by frame.

use std::time::Duration;

use retort_types::Timestamp;
use retort_types::reply::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::{Assemble, Assembled};
use crate::errors::{self, Found};
use crate::frames::{ERROR, EXCEPTION};
use crate::gathered::{Gathered, keep_usage};
use crate::lenient::{Item, List, Number, Object, Text};

/// Most blocks of one answer that are read. Recorded ones have three.
const BLOCKS_MAX: usize = 4_096;

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
    const MAX: usize = BLOCKS_MAX + 1;
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
    #[serde(borrow)]
    input: Text<'a>,
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
    gathered: Gathered,
    has_metadata: bool,
}

impl Assembler {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            gathered: Gathered::new(now),
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
            keep_usage(&mut self.gathered.reply, usage, raw);
        }
    }

    fn message(&mut self, message: Message<'_>) {
        let Some(blocks) = message.content.0 else {
            return;
        };
        self.gathered.has_answer = true;
        if blocks.len() > BLOCKS_MAX {
            self.gathered.lose();
        }
        for block in blocks.into_iter().filter_map(|block| block.0) {
            if let Some(tool) = block.tool_use {
                self.gathered.tool(tool);
            }
            self.block(&block, None);
            // A text with its sources is told in parts of the same form, and nests no deeper.
            let cited = block.cited.0.and_then(|cited| cited.content.0);
            for part in cited.into_iter().flatten().filter_map(|part| part.0) {
                self.block(&part, None);
            }
        }
    }

    /// Reads text and reasoning of a block or of what is added to one.
    fn block(&mut self, block: &Block<'_>, at: Option<Duration>) {
        if let Some(text) = block.text {
            self.gathered.text(text, at);
        }
        let Some(reasoning) = &block.reasoning.0 else {
            return;
        };
        let whole = reasoning.whole.0.as_ref().and_then(|whole| whole.text);
        if let Some(text) = whole.or(reasoning.text) {
            self.gathered.reasoning(text, at);
        }
        if reasoning.redacted.told().is_some() {
            self.gathered.encrypted_reasoning();
        }
    }

    fn event_is_readable(&mut self, name: &str, data: &str, at: Duration) -> bool {
        if let Some(exception) = name.strip_prefix(EXCEPTION) {
            self.gathered
                .fail(exception_found(exception, data, self.gathered.now));
            return true;
        }
        if let Some(code) = name.strip_prefix(ERROR) {
            let mut found = errors::read(data, self.gathered.now);
            found.error.code = Some(code.to_owned());
            self.gathered.fail(found);
            return true;
        }
        match name {
            "contentBlockStart" | "contentBlockDelta" => self.block_event(data, at),
            "messageStop" | "metadata" => self.last_events(name, data),
            // What else there is holds no text.
            _ => true,
        }
    }

    fn block_event(&mut self, data: &str, at: Duration) -> bool {
        let Ok(Object(Some(event))) = serde_json::from_str::<Object<Event<'_>>>(data) else {
            return false;
        };
        if let Some(start) = &event.start.0 {
            if let Some(tool) = tool_use(start) {
                self.gathered.begin_tool(
                    tool.id.told().unwrap_or_default(),
                    tool.name.told().unwrap_or_default(),
                );
            }
            self.block(start, Some(at));
        }
        if let Some(delta) = &event.delta.0 {
            if let Some(tool) = tool_use(delta) {
                self.gathered
                    .extend_tool(tool.input.told().unwrap_or_default());
            }
            self.block(delta, Some(at));
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
        self.gathered.has_answer = true;
        self.gathered.has_ended = true;
        true
    }

    fn stop(&mut self, body: &Body<'_>) {
        if let Some(reason) = body.stop_reason.told() {
            self.gathered.finish_reason(reason);
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

impl Assemble for Assembler {
    fn is_done(&self) -> bool {
        self.gathered.has_ended && self.has_metadata
    }

    fn whole(&mut self, text: &str) {
        if let Ok(Object(Some(body))) = serde_json::from_str::<Object<Body<'_>>>(text) {
            self.stop(&body);
            self.usage(body.usage);
            if let Some(message) = body.output.0.and_then(|output| output.message.0) {
                self.message(message);
            }
        }
        if self.gathered.has_answer {
            self.gathered.has_ended = true;
        } else if let Some(found) = errors::read_json(text, self.gathered.now) {
            self.gathered.fail(found);
        }
    }

    fn event(&mut self, name: &str, data: &str, since_sent: Duration) {
        if !self.event_is_readable(name, data, since_sent) {
            self.gathered.lose();
        }
    }

    fn last_event(&mut self, name: &str, data: &str, since_sent: Duration) {
        let _is_whole = self.event_is_readable(name, data, since_sent);
    }

    fn finish(self: Box<Self>) -> Assembled {
        self.gathered.finish()
    }
}
