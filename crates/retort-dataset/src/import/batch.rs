//! OpenAI batch output, joined with the batch's input where it is given.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use retort_types::digest::canonical_json;
use retort_types::{Digest, Mode, Outcome, Params, PromptInput, SuiteName, Timestamp};
use serde_json::{Map, Value};

use super::cells::{conversation, input_of};
use super::error::{ImportError, Position};
use super::openai::{self, error_of, text_at};
use super::row::{Asked, Known, Row};
use super::{ImportInput, lines};

/// Longest id that stands for a prompt that is not known.
const CUSTOM_ID_CHARS_MAX: usize = 256;

/// Requests by their `custom_id`.
#[derive(Debug, Default)]
pub(super) struct Requests {
    by_id: BTreeMap<String, Request>,
    /// Prompts, each of which is kept once.
    prompts: HashMap<Digest, Arc<PromptInput>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Request {
    model: Option<String>,
    prompt: Arc<PromptInput>,
    suite: Option<SuiteName>,
    prompt_id: Option<String>,
    params: Params,
    /// What was sent besides the prompt.
    sent: String,
}

impl Requests {
    /// Reads batch inputs.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, ImportError> {
        let mut requests = Self::default();
        for path in paths {
            let name = path.display().to_string();
            lines::each(path, &name, &mut |position, line| {
                let value: Value = serde_json::from_slice(line)
                    .map_err(|error| position.bad(format!("it is not JSON: {error}")))?;
                requests.add(position, &value)
            })?;
        }
        Ok(requests)
    }

    fn add(&mut self, position: Position<'_>, line: &Value) -> Result<(), ImportError> {
        let hint =
            r#"a line of batch input is {"custom_id": …, "method": "POST", "url": …, "body": {…}}"#;
        let Some(id) = text_at(line, "/custom_id") else {
            return Err(position.bad_hint("it has no `custom_id`", hint));
        };
        let Some(body) = line.get("body").and_then(Value::as_object) else {
            return Err(position.bad_hint("it has no `body`", hint));
        };
        let prompt = self.prompt(prompt_of(position, body)?);
        let suite = text_at(line, "/retort/suite").map(|name| SuiteName::new(&name));
        let suite = suite
            .transpose()
            .map_err(|error| position.bad(error.to_string()))?;
        let request = Request {
            model: text_at(line, "/retort/model").or_else(|| text_in(body, "model")),
            prompt,
            suite,
            prompt_id: text_at(line, "/retort/prompt_id"),
            params: params_of(body),
            sent: rest_of(position, body)?,
        };
        match self.by_id.insert(id, request) {
            None => Ok(()),
            Some(_) => Err(position.bad("its `custom_id` was used before")),
        }
    }

    fn prompt(&mut self, input: PromptInput) -> Arc<PromptInput> {
        let known = self.prompts.entry(input.digest());
        Arc::clone(known.or_insert_with(|| Arc::new(input)))
    }
}

fn prompt_of(
    position: Position<'_>,
    body: &Map<String, Value>,
) -> Result<PromptInput, ImportError> {
    if let Some(messages) = body.get("messages") {
        return conversation(position, messages.clone());
    }
    match (body.get("prompt"), body.get("input")) {
        (Some(Value::String(text)), _) => Ok(input_of(Mode::Completion, text.clone())),
        (_, Some(Value::String(text))) => {
            let input = input_of(Mode::Chat, text.clone());
            Ok(with_instructions(input, body))
        }
        (_, Some(list)) => Ok(with_instructions(
            conversation(position, list.clone())?,
            body,
        )),
        (_, None) => Err(position.bad("its `body` has no `messages`, `prompt` or `input`")),
    }
}

/// Puts the `instructions` of the responses API in front, as the system text that they are.
fn with_instructions(input: PromptInput, body: &Map<String, Value>) -> PromptInput {
    match (input, text_in(body, "instructions")) {
        (PromptInput::Messages(mut messages), Some(content)) => {
            let role = "system".to_owned();
            messages.insert(0, retort_types::Message { role, content });
            PromptInput::Messages(messages)
        }
        (input, _) => input,
    }
}

fn text_in(body: &Map<String, Value>, name: &str) -> Option<String> {
    body.get(name)?.as_str().map(str::to_owned)
}

fn params_of(body: &Map<String, Value>) -> Params {
    let count = |names: &[&str]| {
        let found = names.iter().find_map(|name| body.get(*name)?.as_u64());
        found.and_then(|count| u32::try_from(count).ok())
    };
    let number = |name: &str| body.get(name).and_then(Value::as_f64);
    Params {
        temperature: number("temperature"),
        top_p: number("top_p"),
        top_k: count(&["top_k"]),
        max_tokens: count(&["max_completion_tokens", "max_tokens", "max_output_tokens"]),
        seed: body.get("seed").and_then(Value::as_i64),
        logprobs: count(&["top_logprobs"]),
        ..Params::default()
    }
}

/// Returns everything that was sent besides the prompt, as canonical JSON.
fn rest_of(position: Position<'_>, body: &Map<String, Value>) -> Result<String, ImportError> {
    let prompt = ["messages", "prompt", "input", "instructions"];
    let rest = body
        .iter()
        .filter(|(name, _)| !prompt.contains(&name.as_str()));
    let rest: BTreeMap<&String, &Value> = rest.collect();
    canonical_json(&rest).map_err(|error| position.bad(error.to_string()))
}

/// Returns the reply that a line of batch output tells.
pub(super) fn row<'a>(
    position: Position<'a>,
    line: &Map<String, Value>,
    input: &ImportInput,
    requests: &Requests,
) -> Result<Row<'a>, ImportError> {
    let Some(custom_id) = text_in(line, "custom_id") else {
        return Err(position.bad("its `custom_id` is not a text"));
    };
    let request = requests.by_id.get(&custom_id);
    if request.is_none() && !requests.by_id.is_empty() {
        return Err(position.bad_hint(
            "its `custom_id` is not among the requests",
            "give the input of every batch with --requests",
        ));
    }
    let response = line.get("response").filter(|response| !response.is_null());
    let body = response.and_then(|response| response.get("body"));
    let body = body.filter(|body| !body.is_null());
    let status = response.and_then(|response| response.get("status_code")?.as_u64());
    let status = status.and_then(|status| u16::try_from(status).ok());
    let error = line.get("error").filter(|error| !error.is_null());
    let code = error.and_then(|error| text_at(error, "/code"));
    if body.is_none() && error.is_none() {
        return Err(position.bad("it has neither a `response` with a `body` nor an `error`"));
    }
    let ended = openai::ended(status, body, code.as_deref());
    let reply = body.map(openai::reply).unwrap_or_default();
    let named = request.and_then(|request| request.model.clone());
    let Some(model) = named
        .or_else(|| reply.served_model.clone())
        .or_else(|| input.model.clone())
    else {
        return Err(position.bad_hint(
            "it names no model",
            "give the batch's input with --requests, or a name with --model NAME",
        ));
    };
    // An error of ours tells a reason in Retort's words; others are the provider's.
    let ours = code.is_some_and(|code| code.parse::<Outcome>().is_ok());
    let reason = error.filter(|_| ours);
    let reason = reason.and_then(|error| text_at(error, "/message"));
    let told = error_of(body.and_then(|body| body.get("error")))
        .or_else(|| error_of(error.filter(|_| !ours)));
    let finished_at = body.and_then(finished_at);
    Ok(Row {
        position,
        model,
        prompt: asked(position, request, custom_id)?,
        sample_index: None,
        outcome: ended.attempt,
        final_outcome: ended.sample,
        reason,
        reply,
        http_status: status,
        request_id: response.and_then(|response| text_at(response, "/request_id")),
        error: told,
        finished_at,
        params: request
            .map(|request| request.params.clone())
            .unwrap_or_default(),
        request_params: request.map(|request| request.sent.clone()),
    })
}

fn asked(
    position: Position<'_>,
    request: Option<&Request>,
    custom_id: String,
) -> Result<Asked, ImportError> {
    if let Some(request) = request {
        return Ok(Asked {
            prompt: Known::Input(Arc::clone(&request.prompt)),
            suite: request.suite.clone(),
            id: request.prompt_id.clone(),
        });
    }
    if custom_id.chars().count() > CUSTOM_ID_CHARS_MAX {
        let what = format!("its `custom_id` is longer than {CUSTOM_ID_CHARS_MAX} characters");
        return Err(position.bad_hint(what, "give the batch's input with --requests"));
    }
    Ok(Asked {
        prompt: Known::CustomId(custom_id),
        suite: None,
        id: None,
    })
}

/// Returns when the answer was made, which bodies tell in seconds.
fn finished_at(body: &Value) -> Option<Timestamp> {
    let told = ["created", "created_at"];
    let seconds = told.iter().find_map(|name| body.get(*name)?.as_i64())?;
    Some(Timestamp::from_micros(seconds.saturating_mul(1_000_000)))
}
