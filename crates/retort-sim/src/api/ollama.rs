//! Ollama's own API: chat, and `generate`, which continues raw text with `raw`.

use retort_types::{Message, PromptInput};
use serde_json::{Value, json};

use super::Shape;
use super::asked::{Asked, Facts, message, parts};
use super::content::{at_most, role};
use super::fields::{Field, Kind, Object, Wrong};
use super::framing::{Event, Framing};
use super::logprobs::Entries;
use crate::model::{Ended, Generation, Token, join};

/// Temperature when the request does not say: Ollama's own default.
const TEMPERATURE: f64 = 0.8;

/// Most alternatives per token.
const TOP_LOGPROBS_MAX: u32 = 20;

/// Nanoseconds that the answer claims per token.
const TOKEN_NANOS: u64 = 10_000_000;

/// Documented fields that change nothing here.
const IGNORED: [&str; 6] = [
    "context",
    "format",
    "images",
    "keep_alive",
    "suffix",
    "tools",
];

/// Documented options that change nothing here.
const IGNORED_OPTIONS: [&str; 17] = [
    "draft_num_predict",
    "low_vram",
    "main_gpu",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_keep",
    "num_thread",
    "numa",
    "penalize_newline",
    "repeat_last_n",
    "tfs_z",
    "typical_p",
    "use_mmap",
];

pub(super) fn read(shape: Shape, bytes: &[u8]) -> Result<Asked, Wrong> {
    let mut body = Object::parse(bytes)?;
    let model = body.text("model")?.ok_or_else(|| Wrong::missing("model"))?;
    let input = if shape == Shape::OllamaGenerate {
        prompt(&mut body)?
    } else {
        let list = body.list("messages")?;
        if list.is_empty() {
            return Err(Wrong::missing("messages"));
        }
        let messages = list.into_iter().map(one_message);
        PromptInput::Messages(messages.collect::<Result<_, _>>()?)
    };
    let mut asked = Asked::new(shape, model, input);
    asked.ask.temperature = TEMPERATURE;
    if body.flag("stream")?.unwrap_or(true) {
        asked.framing = Some(Framing::Lines);
    }
    if let Some(options) = body.object("options")? {
        read_options(options, &mut asked)?;
    }
    if let Some(think) = body.take("think") {
        // A flag, or a word that says how hard.
        let thinks = match think.value.as_bool() {
            Some(flag) => flag,
            None if think.value.is_string() => think.text()? != "none",
            None => return Err(think.wrong(Kind::Flag)),
        };
        asked.think(thinks, true);
    }
    let wanted = body.flag("logprobs")?.unwrap_or(false);
    let top = body.count("top_logprobs")?;
    let top = wanted.then(|| top.unwrap_or(0));
    asked.ask.top_logprobs = at_most("top_logprobs", top, TOP_LOGPROBS_MAX)?;
    body.flag("truncate")?;
    body.flag("shift")?;
    body.ignore(&IGNORED);
    body.end()?;
    Ok(asked)
}

fn read_options(mut options: Object, asked: &mut Asked) -> Result<(), Wrong> {
    let temperature = options.number("temperature", 0.0, f64::MAX)?;
    asked.ask.temperature = temperature.unwrap_or(TEMPERATURE);
    options.number("top_p", 0.0, 1.0)?;
    options.number("min_p", 0.0, 1.0)?;
    options.whole("top_k")?;
    for penalty in ["repeat_penalty", "presence_penalty", "frequency_penalty"] {
        options.number(penalty, -2.0, f64::MAX)?;
    }
    asked.ask.seed = options.whole("seed")?;
    asked.stop = options.texts("stop")?;
    // Negative numbers mean no limit.
    let most = options.whole("num_predict")?;
    asked.ask.max_tokens = most.and_then(|most| u32::try_from(most).ok());
    options.ignore(&IGNORED_OPTIONS);
    options.end()
}

/// Returns raw text as it is, and any other prompt as the conversation that the template makes.
fn prompt(body: &mut Object) -> Result<PromptInput, Wrong> {
    let prompt = body.text("prompt")?.unwrap_or_default();
    let raw = body.flag("raw")?.unwrap_or(false);
    let system = body.text("system")?.filter(|system| !system.is_empty());
    let template = body
        .text("template")?
        .filter(|template| !template.is_empty());
    if raw {
        if system.is_some() || template.is_some() {
            let rule = "mode does not support template, system, or context";
            return Err(Wrong::rule("raw", rule));
        }
        return Ok(PromptInput::Text(prompt));
    }
    let system = system.map(|system| message("system", system));
    let messages = system.into_iter().chain([message("user", prompt)]);
    Ok(PromptInput::Messages(messages.collect()))
}

fn one_message(field: Field) -> Result<Message, Wrong> {
    let mut raw = field.object()?;
    let known = ["system", "developer", "user", "assistant", "tool"];
    let role = role(&mut raw, &known, "is not a known role")?;
    let content = raw.text("content")?.unwrap_or_default();
    raw.ignore(&[
        "thinking",
        "images",
        "tool_calls",
        "tool_name",
        "tool_call_id",
    ]);
    raw.end()?;
    Ok(message(&role, content))
}

/// Returns a document with this text and these thoughts.
fn line(asked: &Asked, facts: &Facts, text: &str, thoughts: &str) -> Value {
    let mut line = json!({"model": asked.model, "created_at": facts.created_at, "done": false});
    if asked.shape == Shape::OllamaGenerate {
        line["response"] = json!(text);
        if !thoughts.is_empty() {
            line["thinking"] = json!(thoughts);
        }
        return line;
    }
    let mut message = json!({"role": "assistant", "content": text});
    if !thoughts.is_empty() {
        message["thinking"] = json!(thoughts);
    }
    line["message"] = message;
    line
}

fn logprobs(asked: &Asked, tokens: &[Token], line: &mut Value) {
    if asked.wants_logprobs() && !tokens.is_empty() {
        line["logprobs"] = Entries(tokens).value();
    }
}

/// Makes a document the last one.
fn end(asked: &Asked, made: &Generation, line: &mut Value) {
    let reason = match made.ended {
        Ended::Stop | Ended::Filter => "stop",
        Ended::Length => "length",
    };
    let (input, output) = (asked.prompt_tokens, made.token_count());
    let (read, wrote) = (TOKEN_NANOS / 10 * input, TOKEN_NANOS * output);
    line["done"] = json!(true);
    line["done_reason"] = json!(reason);
    line["total_duration"] = json!(read + wrote + TOKEN_NANOS);
    line["load_duration"] = json!(TOKEN_NANOS);
    line["prompt_eval_count"] = json!(input);
    line["prompt_eval_duration"] = json!(read);
    line["eval_count"] = json!(output);
    line["eval_duration"] = json!(wrote);
}

pub(super) fn document(asked: &Asked, made: &Generation, facts: &Facts) -> Value {
    let thoughts = join(asked.thoughts(made));
    let mut whole = line(asked, facts, &join(&made.tokens), &thoughts);
    logprobs(asked, &made.tokens, &mut whole);
    end(asked, made, &mut whole);
    whole
}

pub(super) fn events(asked: &Asked, made: &Generation, facts: &Facts) -> Vec<Event> {
    let mut out = Vec::new();
    for part in parts(asked.thoughts(made), 1) {
        let line = line(asked, facts, "", &join(part));
        out.push(Event::new("", &line).holding(part.len()));
    }
    for part in parts(&made.tokens, facts.id) {
        let mut line = line(asked, facts, &join(part), "");
        logprobs(asked, part, &mut line);
        out.push(Event::new("", &line).holding(part.len()));
    }
    let mut last = line(asked, facts, "", "");
    end(asked, made, &mut last);
    out.push(Event::new("", &last));
    out
}
