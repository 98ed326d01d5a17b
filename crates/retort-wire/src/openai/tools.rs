//! Tool calls. Nobody offers tools here, so they are only kept, never read.

use serde::{Deserialize, Serialize};

use crate::lenient::{Item, List, Number, Object, Text};

/// Most tool calls of one answer that are put together; far more than any model makes at once.
const TOOL_CALLS_MAX: usize = 256;

/// Tool calls put together from the deltas of a stream.
#[derive(Default)]
pub(super) struct ToolCalls(Vec<Call>);

#[derive(Default, Serialize)]
struct Call {
    #[serde(skip)]
    index: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    function: Function,
}

#[derive(Default, Serialize)]
struct Function {
    name: String,
    arguments: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta<'a> {
    index: Number,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Object<FunctionDelta<'a>>,
}

impl Item for Delta<'_> {
    const MAX: usize = TOOL_CALLS_MAX;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FunctionDelta<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Text<'a>,
}

impl ToolCalls {
    /// Adds the deltas `raw`. Those past [`TOOL_CALLS_MAX`] are left out.
    pub(super) fn add(&mut self, raw: &str) {
        let Ok(List(Some(deltas))) = serde_json::from_str::<List<Object<Delta<'_>>>>(raw) else {
            return;
        };
        for delta in deltas.into_iter().filter_map(|delta| delta.0) {
            let index = delta.index.count();
            // A delta without an index goes on with the last call unless it names a new one.
            let place = match index {
                Some(_) => self.0.iter().position(|call| call.index == index),
                None if delta.id.told().is_none() => self.0.len().checked_sub(1),
                None => None,
            };
            let place = match place {
                Some(place) => place,
                None if self.0.len() < TOOL_CALLS_MAX => {
                    self.0.push(Call {
                        index,
                        ..Call::default()
                    });
                    self.0.len() - 1
                }
                None => continue,
            };
            if let Some(call) = self.0.get_mut(place) {
                call.add(&delta);
            }
        }
    }

    /// Returns the calls as JSON text, or nothing when there are none.
    pub(super) fn finish(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        serde_json::to_string(&self.0).ok()
    }
}

impl Call {
    fn add(&mut self, delta: &Delta<'_>) {
        if let Some(id) = delta.id.told() {
            id.clone_into(&mut self.id);
        }
        if let Some(kind) = delta.kind.told() {
            kind.clone_into(&mut self.kind);
        }
        if let Some(function) = &delta.function.0 {
            self.function
                .name
                .push_str(function.name.told().unwrap_or_default());
            self.function
                .arguments
                .push_str(function.arguments.told().unwrap_or_default());
        }
    }
}

/// Returns the tool calls of a whole message as JSON text, or nothing when there are none.
pub(super) fn whole(raw: &str) -> Option<String> {
    let calls = serde_json::from_str::<List<Object<Delta<'_>>>>(raw)
        .ok()?
        .0?;
    (!calls.is_empty()).then(|| raw.to_owned())
}
