//! Responses as lines of OpenAI batch output and input.
//!
//! A line's `error` is set where its response alone would be taken for another outcome than the
//! row's: its code is then that outcome, or the cause of a sample that was given up.

use std::io::Write;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, Float64Type, Int64Type, TimestampMicrosecondType, UInt16Type, UInt32Type,
};
use retort_types::Outcome;
use serde_json::{Map, Value, json};

use super::ExportError;
use super::csv::entries;
use crate::DatasetError;
use crate::import::ended;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Output,
    Input,
}

/// Fields that a batch does not take: its answers are never streamed.
const STREAMING: [&str; 2] = ["stream", "stream_options"];

/// Writes a line per row of `batch`.
pub(super) fn write(
    shape: Shape,
    batch: &RecordBatch,
    path: &str,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    for at in 0..batch.num_rows() {
        let row = Row { batch, path, at };
        let line = match shape {
            Shape::Output => Some(row.output()?),
            Shape::Input => row.input()?,
        };
        if let Some(line) = line {
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

struct Row<'a> {
    batch: &'a RecordBatch,
    path: &'a str,
    /// Its place in the batch.
    at: usize,
}

impl<'a> Row<'a> {
    fn column<A>(
        &self,
        name: &str,
        of: impl FnOnce(&'a dyn Array) -> Option<&'a A>,
    ) -> Result<&'a A, ExportError> {
        let column = self
            .batch
            .column_by_name(name)
            .and_then(|column| of(column));
        column.ok_or_else(|| {
            let what = format!("column `{name}` is missing or has another type");
            DatasetError::damaged(self.path, what).into()
        })
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, ExportError> {
        let column = self.column(name, |column| column.as_string_opt::<i32>())?;
        Ok(column.is_valid(self.at).then(|| column.value(self.at)))
    }

    fn number<T: ArrowPrimitiveType>(&self, name: &str) -> Result<Option<T::Native>, ExportError> {
        let column = self.column(name, |column| column.as_primitive_opt::<T>())?;
        Ok(column.is_valid(self.at).then(|| column.value(self.at)))
    }

    fn outcome(&self, name: &str) -> Result<Outcome, ExportError> {
        let word = self.text(name)?.unwrap_or_default();
        let damaged = |error| DatasetError::damaged(self.path, format!("{error}"));
        Ok(word.parse().map_err(damaged)?)
    }

    fn messages(&self) -> Result<Vec<Value>, ExportError> {
        let lists = self.column("messages", |column| column.as_list_opt::<i32>())?;
        let list = entries(&lists.value(self.at), ["role", "content"]);
        list.ok_or_else(|| DatasetError::damaged(self.path, "`messages`").into())
    }

    fn output(&self) -> Result<Value, ExportError> {
        let status = self.number::<UInt16Type>("http_status")?;
        let (outcome, cause) = (self.outcome("outcome")?, self.outcome("last_outcome")?);
        let body = self.body(status)?;
        let taken_for = body.as_ref().map(|body| ended(status, Some(body), None));
        let as_it_is = taken_for.is_some_and(|ended| {
            ended.sample == outcome && (outcome != Outcome::GaveUp || ended.attempt == cause)
        });
        let code = if outcome == Outcome::GaveUp && !cause.is_terminal() {
            cause
        } else {
            outcome
        };
        let reason = self.text("reason")?;
        let error = match (as_it_is, reason) {
            (true, _) => Value::Null,
            (false, Some(reason)) => json!({ "code": code.as_str(), "message": reason }),
            (false, None) => json!({
                "code": code.as_str(),
                "message": self.text("error_message")?,
            }),
        };
        Ok(json!({
            "id": self.text("attempt_id")?,
            "custom_id": self.text("sample_id")?,
            "response": body.map(|body| {
                Ok::<_, ExportError>(json!({
                    "status_code": status,
                    "request_id": self.text("provider_request_id")?,
                    "body": body,
                }))
            }).transpose()?,
            "error": error,
        }))
    }

    /// Returns the body of the answer; nothing when there was no answer.
    fn body(&self, status: Option<u16>) -> Result<Option<Value>, ExportError> {
        let failed = status.is_some_and(|status| !(200..300).contains(&status));
        if failed {
            return Ok(Some(json!({ "error": {
                "message": self.text("error_message")?,
                "type": self.text("error_kind")?,
                "code": self.text("error_code")?,
            }})));
        }
        let text = self.text("response_text")?;
        let refusal = self.text("refusal_text")?;
        let finish = self.finish_reason()?;
        if status.is_none() && text.is_none() && refusal.is_none() && finish.is_none() {
            return Ok(None);
        }
        let mut message = json!({ "role": "assistant", "content": text, "refusal": refusal });
        if let Some(message) = message.as_object_mut() {
            if let Some(reasoning) = self.text("reasoning_text")? {
                message.insert("reasoning_content".to_owned(), reasoning.into());
            }
            if let Some(calls) = self.json("tool_calls")? {
                message.insert("tool_calls".to_owned(), calls);
            }
        }
        let created = self.number::<TimestampMicrosecondType>("finished_at")?;
        Ok(Some(json!({
            "id": self.text("response_id")?,
            "object": "chat.completion",
            "created": created.map(|micros| micros.div_euclid(1_000_000)),
            // Who answered, not who was asked: that is in the line of the batch's input.
            "model": self.text("served_model")?,
            "system_fingerprint": self.text("system_fingerprint")?,
            "choices": [{
                "index": 0,
                "message": message,
                "finish_reason": finish,
                "logprobs": null,
            }],
            "usage": self.usage()?,
        })))
    }

    /// Returns OpenAI's word for why the model stopped.
    fn finish_reason(&self) -> Result<Option<&'a str>, ExportError> {
        Ok(match self.text("finish_reason")? {
            Some("max_tokens" | "model_length") => Some("length"),
            Some("unknown") => self.text("finish_reason_raw")?,
            other => other,
        })
    }

    fn usage(&self) -> Result<Option<Value>, ExportError> {
        let input = self.number::<UInt32Type>("input_tokens")?;
        let output = self.number::<UInt32Type>("output_tokens")?;
        if input.is_none() && output.is_none() {
            return Ok(None);
        }
        let mut usage = json!({ "prompt_tokens": input, "completion_tokens": output });
        if let Some(usage) = usage.as_object_mut() {
            if let (Some(input), Some(output)) = (input, output) {
                let total = u64::from(input) + u64::from(output);
                usage.insert("total_tokens".to_owned(), total.into());
            }
            if let Some(count) = self.number::<UInt32Type>("reasoning_tokens")? {
                let details = json!({ "reasoning_tokens": count });
                usage.insert("completion_tokens_details".to_owned(), details);
            }
            if let Some(count) = self.number::<UInt32Type>("cache_read_tokens")? {
                let details = json!({ "cached_tokens": count });
                usage.insert("prompt_tokens_details".to_owned(), details);
            }
        }
        Ok(Some(usage))
    }

    fn json(&self, name: &str) -> Result<Option<Value>, ExportError> {
        let text = self.text(name)?;
        Ok(text.and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Returns the line of a batch's input; nothing when the prompt is not known.
    fn input(&self) -> Result<Option<Value>, ExportError> {
        let messages = self.messages()?;
        let raw = match messages.as_slice() {
            [] => return Ok(None),
            [only] if only.get("role").and_then(Value::as_str) == Some("text") => {
                Some(only.get("content").cloned().unwrap_or_default())
            }
            _ => None,
        };
        let mut body = self.params()?;
        body.insert("model".to_owned(), self.text("request_model")?.into());
        let url = if let Some(text) = raw {
            body.insert("prompt".to_owned(), text);
            "/v1/completions"
        } else {
            body.insert("messages".to_owned(), messages.into());
            "/v1/chat/completions"
        };
        Ok(Some(json!({
            "custom_id": self.text("sample_id")?,
            "method": "POST",
            "url": url,
            "body": body,
            "retort": {
                "model": self.text("model")?,
                "suite": self.text("suite")?,
                "prompt_id": self.text("prompt_id")?,
            },
        })))
    }

    /// Returns what was sent besides the prompt where that was OpenAI's protocol, or else the
    /// parameters that both have.
    fn params(&self) -> Result<Map<String, Value>, ExportError> {
        let wire = self.text("wire_protocol")?;
        let is_openai = wire.is_none_or(|wire| wire.starts_with("openai-"));
        if let Some(Value::Object(mut sent)) = self.json("request_params")?.filter(|_| is_openai) {
            sent.retain(|name, _| !STREAMING.contains(&name.as_str()));
            return Ok(sent);
        }
        let mut params = Map::new();
        let told = [
            (
                "temperature",
                self.number::<Float64Type>("temperature")?.map(Value::from),
            ),
            (
                "top_p",
                self.number::<Float64Type>("top_p")?.map(Value::from),
            ),
            (
                "max_tokens",
                self.number::<UInt32Type>("max_tokens")?.map(Value::from),
            ),
            ("seed", self.number::<Int64Type>("seed")?.map(Value::from)),
        ];
        for (name, value) in told {
            if let Some(value) = value {
                params.insert(name.to_owned(), value);
            }
        }
        Ok(params)
    }
}
