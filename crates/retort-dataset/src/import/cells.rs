//! Rows of plain files: which columns mean what, and what a row of cells says.

use std::collections::BTreeMap;
use std::sync::Arc;

use retort_types::prompt::Message;
use retort_types::{Mode, Outcome, Params, PromptInput, Reply, SuiteName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{ImportError, Position};
use super::row::{Asked, Known, Row, finish_reason};

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, [$($column:literal),+];)+) => {
        /// What a column of a plain file can mean.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Field {
            $($(#[$doc])* $variant,)+
        }

        impl Field {
            /// Every field.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns its name in flags and messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns the names of columns that mean it; the first one that is there counts.
            pub const fn columns(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($column),+],)+
                }
            }
        }
    };
}

fields! {
    /// The model.
    Model = "model", ["model"];
    /// What was asked: a text, or a conversation as JSON.
    Prompt = "prompt", ["messages", "prompt", "instruction"];
    /// What was answered.
    Response = "response", ["response_text", "response", "output", "text"];
    /// Which draw of the same question, from 0.
    SampleIndex = "sample_index", ["sample_index", "repeat"];
    /// How the sample ended, as an outcome of Retort.
    Outcome = "outcome", ["outcome"];
    /// Why, where it did not end with an answer.
    Reason = "reason", ["reason"];
    /// Why the model stopped.
    FinishReason = "finish_reason", ["finish_reason_raw", "finish_reason"];
    /// Reasoning text.
    Reasoning = "reasoning", ["reasoning_text", "reasoning"];
    /// The provider's own refusal.
    Refusal = "refusal", ["refusal_text", "refusal"];
    /// Name of the prompt within its suite.
    PromptId = "prompt_id", ["prompt_id"];
    /// The suite.
    Suite = "suite", ["suite"];
    /// Whether the prompt was a chat or a text to continue.
    Mode = "mode", ["mode"];
    /// The model that says it answered.
    ServedModel = "served_model", ["served_model"];
    /// Tokens of the prompt.
    InputTokens = "input_tokens", ["input_tokens"];
    /// Tokens of the answer.
    OutputTokens = "output_tokens", ["output_tokens"];
    /// When the answer was there, RFC 3339.
    FinishedAt = "finished_at", ["finished_at"];
    /// Temperature asked for.
    Temperature = "temperature", ["temperature"];
    /// Nucleus mass asked for.
    TopP = "top_p", ["top_p"];
    /// Most tokens asked for.
    MaxTokens = "max_tokens", ["max_tokens"];
    /// Seed asked for.
    Seed = "seed", ["seed"];
}

/// Columns named by hand; an absent name means that the field is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldColumns(pub BTreeMap<Field, Option<String>>);

impl FieldColumns {
    /// Returns the columns that may mean `field`, best first.
    fn names(&self, field: Field) -> Vec<&str> {
        match self.0.get(&field) {
            Some(Some(name)) => vec![name.as_str()],
            Some(None) => Vec::new(),
            None => field.columns().to_vec(),
        }
    }

    /// Returns which of the columns `there` is read for each field.
    pub(super) fn choose(
        &self,
        position: Position<'_>,
        there: &[&str],
        model: Option<&str>,
    ) -> Result<Vec<(Field, usize)>, ImportError> {
        let mut chosen = Vec::new();
        for &field in Field::ALL {
            let names = self.names(field);
            let found = names
                .iter()
                .find_map(|name| there.iter().position(|column| column == name));
            let needed = matches!(field, Field::Prompt | Field::Response)
                || (field == Field::Model && model.is_none());
            let named = matches!(self.0.get(&field), Some(Some(_)));
            match found {
                Some(column) => chosen.push((field, column)),
                None if needed || named => return Err(missing(position, field, &names, there)),
                None => {}
            }
        }
        Ok(chosen)
    }
}

fn missing(position: Position<'_>, field: Field, names: &[&str], there: &[&str]) -> ImportError {
    let quoted = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let flag = if field == Field::Model {
        " or give every row one with --model NAME"
    } else {
        ""
    };
    position.bad_hint(
        format!("it has no column {}", quoted(names)),
        format!(
            "there are {}; name it with --column {}=NAME{flag}",
            quoted(there),
            field.as_str()
        ),
    )
}

/// A cell: text, or JSON that is not a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Json(Value),
}

impl Cell {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Json(value) => value.to_string(),
        }
    }
}

/// The cells of a row by what they mean; absent ones are null.
#[derive(Debug, Default)]
pub(super) struct Cells {
    cells: BTreeMap<Field, Cell>,
    /// Whether the prompt's column is one of conversations.
    conversation: bool,
}

/// Returns the cells of a JSON object.
pub(super) fn of_object(
    position: Position<'_>,
    object: &Map<String, Value>,
    columns: &FieldColumns,
) -> Result<Cells, ImportError> {
    let mut cells = Cells::default();
    for &field in Field::ALL {
        let names = columns.names(field);
        let Some(name) = names.iter().find(|name| object.contains_key(**name)) else {
            let there: Vec<&str> = object.keys().map(String::as_str).collect();
            if matches!(columns.0.get(&field), Some(Some(_))) || field == Field::Prompt {
                return Err(missing(position, field, &names, &there));
            }
            continue;
        };
        let cell = match object.get(*name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => Cell::Text(text.clone()),
            Some(other) => Cell::Json(other.clone()),
        };
        cells.set(field, name, cell);
    }
    Ok(cells)
}

impl Cells {
    pub(super) fn set(&mut self, field: Field, column: &str, cell: Cell) {
        if field == Field::Prompt {
            self.conversation = column == "messages";
        }
        self.cells.insert(field, cell);
    }

    fn text(&mut self, field: Field) -> Option<String> {
        self.cells.remove(&field).map(Cell::into_text)
    }

    /// Returns a number; an empty cell of a CSV file is none.
    fn number<T: std::str::FromStr>(
        &mut self,
        position: Position<'_>,
        field: Field,
    ) -> Result<Option<T>, ImportError> {
        let Some(text) = self.text(field).filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        text.trim().parse().map(Some).map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            position.bad_hint(
                format!("`{shown}` is no value for `{}`", field.as_str()),
                format!("leave the column out with --column {}=-", field.as_str()),
            )
        })
    }

    /// Returns the reply that the row tells.
    pub(super) fn row<'a>(
        mut self,
        position: Position<'a>,
        named: Option<&str>,
    ) -> Result<Row<'a>, ImportError> {
        let prompt = self.prompt(position)?;
        let model = self.text(Field::Model).filter(|name| !name.is_empty());
        let Some(model) = model.or_else(|| named.map(str::to_owned)) else {
            return Err(position.bad_hint(
                "it names no model",
                "give rows without one a name with --model NAME",
            ));
        };
        let text = self.text(Field::Response);
        let refusal = self.text(Field::Refusal).filter(|text| !text.is_empty());
        let (outcome, final_outcome, reason) =
            self.outcome(position, text.is_some(), refusal.is_some())?;
        let finish = self
            .text(Field::FinishReason)
            .filter(|word| !word.is_empty());
        let reply = Reply {
            text,
            refusal_text: refusal,
            reasoning_text: self.text(Field::Reasoning).filter(|text| !text.is_empty()),
            finish_reason: finish.as_deref().map(finish_reason),
            finish_reason_raw: finish,
            served_model: self
                .text(Field::ServedModel)
                .filter(|name| !name.is_empty()),
            usage: retort_types::reply::Usage {
                input_tokens: self.number(position, Field::InputTokens)?,
                output_tokens: self.number(position, Field::OutputTokens)?,
                ..retort_types::reply::Usage::default()
            },
            ..Reply::default()
        };
        Ok(Row {
            position,
            model,
            prompt,
            sample_index: self.number(position, Field::SampleIndex)?,
            outcome,
            final_outcome,
            reason,
            reply,
            http_status: None,
            request_id: None,
            error: None,
            finished_at: self.number(position, Field::FinishedAt)?,
            params: Params {
                temperature: self.number(position, Field::Temperature)?,
                top_p: self.number(position, Field::TopP)?,
                max_tokens: self.number(position, Field::MaxTokens)?,
                seed: self.number(position, Field::Seed)?,
                ..Params::default()
            },
            request_params: None,
        })
    }

    fn prompt(&mut self, position: Position<'_>) -> Result<Asked, ImportError> {
        let mode = self.text(Field::Mode).filter(|word| !word.is_empty());
        let mode = match mode.as_deref() {
            None | Some("chat") => Mode::Chat,
            Some("completion") => Mode::Completion,
            Some(_) => {
                return Err(position.bad_hint(
                    "its mode is neither `chat` nor `completion`",
                    "leave the column out with --column mode=-",
                ));
            }
        };
        let input = match self.cells.remove(&Field::Prompt) {
            None => return Err(position.bad("it has no prompt")),
            Some(Cell::Json(value)) => conversation(position, value)?,
            Some(Cell::Text(text)) if self.conversation => {
                let value = serde_json::from_str(&text)
                    .map_err(|error| position.bad(format!("`messages` is not JSON: {error}")))?;
                conversation(position, value)?
            }
            Some(Cell::Text(text)) => input_of(mode, text),
        };
        let suite = self.text(Field::Suite).filter(|name| !name.is_empty());
        let suite = suite
            .map(|name| SuiteName::new(&name))
            .transpose()
            .map_err(|error| {
                position.bad_hint(
                    error.to_string(),
                    "leave the column out with --column suite=-",
                )
            })?;
        Ok(Asked {
            prompt: Known::Input(Arc::new(input)),
            suite,
            id: self.text(Field::PromptId).filter(|id| !id.is_empty()),
        })
    }

    fn outcome(
        &mut self,
        position: Position<'_>,
        has_text: bool,
        has_refusal: bool,
    ) -> Result<(Outcome, Outcome, Option<String>), ImportError> {
        let reason = self.text(Field::Reason).filter(|text| !text.is_empty());
        let Some(word) = self.text(Field::Outcome).filter(|word| !word.is_empty()) else {
            return Ok(match (has_text, has_refusal) {
                (true, _) => (Outcome::Answered, Outcome::Answered, reason),
                (false, true) => (Outcome::Refused, Outcome::Refused, reason),
                (false, false) => {
                    let reason = reason.unwrap_or_else(|| "the file has no reply".to_owned());
                    (Outcome::Undecodable, Outcome::GaveUp, Some(reason))
                }
            });
        };
        let ended: Option<Outcome> = word.parse().ok();
        match ended.filter(|outcome| outcome.is_terminal()) {
            Some(Outcome::GaveUp) => Ok((Outcome::Undecodable, Outcome::GaveUp, reason)),
            Some(outcome) => Ok((outcome, outcome, reason)),
            None => {
                let shown: String = word.chars().take(40).collect();
                Err(position.bad_hint(
                    format!("`{shown}` is not how a sample ends"),
                    "leave the column out with --column outcome=-",
                ))
            }
        }
    }
}

/// Returns what is asked by a text.
pub(super) fn input_of(mode: Mode, text: String) -> PromptInput {
    match mode {
        Mode::Completion => PromptInput::Text(text),
        Mode::Chat => PromptInput::Messages(vec![Message {
            role: "user".to_owned(),
            content: text,
        }]),
    }
}

/// Returns the conversation that `value` tells: a list of messages with `role` and `content`.
/// Content that is no text is kept as its JSON; a lone message of role `text` is one to continue.
pub(super) fn conversation(
    position: Position<'_>,
    value: Value,
) -> Result<PromptInput, ImportError> {
    let bad = || {
        position.bad_hint(
            "its messages are not a list of objects with `role` and `content`",
            r#"as in [{"role": "user", "content": "Hello"}]"#,
        )
    };
    let Value::Array(entries) = value else {
        return Err(bad());
    };
    let mut messages = Vec::with_capacity(entries.len());
    for entry in entries {
        let Value::Object(mut entry) = entry else {
            return Err(bad());
        };
        let Some(Value::String(role)) = entry.remove("role") else {
            return Err(bad());
        };
        let content = match entry.remove("content") {
            None => return Err(bad()),
            Some(Value::String(text)) => text,
            Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        messages.push(Message { role, content });
    }
    match messages.as_mut_slice() {
        [] => Err(position.bad("its list of messages is empty")),
        [only] if only.role == "text" => Ok(PromptInput::Text(std::mem::take(&mut only.content))),
        _ => Ok(PromptInput::Messages(messages)),
    }
}
