//! Tool calls. Nobody offers tools here, so they are only kept, never read.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient::{Item, List, Number, Object, Text};

/// Most tool calls of one answer that are put together; far more than any model makes at once.
pub(crate) const TOOL_CALLS_MAX: usize = 256;

/// Tool calls, as told or put together from the deltas of a stream.
#[derive(Default)]
pub(crate) struct ToolCalls(Vec<Kept>);

#[derive(Serialize)]
#[serde(untagged)]
enum Kept {
    Told(Box<RawValue>),
    Gathered(Gathered),
}

/// A tool call, or what a chunk adds to one. What is not told is empty.
#[derive(Default)]
pub(crate) struct Call<'a> {
    /// Which call this belongs to.
    pub(crate) index: Option<u32>,
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    /// Arguments as JSON text.
    pub(crate) arguments: &'a str,
}

#[derive(Default, Serialize)]
struct Gathered {
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
    pub(crate) fn add(&mut self, raw: &str) {
        let Ok(List(Some(deltas))) = serde_json::from_str::<List<Object<Delta<'_>>>>(raw) else {
            return;
        };
        for delta in deltas.into_iter().filter_map(|delta| delta.0) {
            let function = delta.function.0.unwrap_or_default();
            self.merge(&Call {
                index: delta.index.count(),
                id: delta.id.told().unwrap_or_default(),
                kind: delta.kind.told().unwrap_or_default(),
                name: function.name.told().unwrap_or_default(),
                arguments: function.arguments.told().unwrap_or_default(),
            });
        }
    }

    /// Adds one call or what a chunk adds to one. Calls past [`TOOL_CALLS_MAX`] are left out.
    pub(crate) fn merge(&mut self, call: &Call<'_>) {
        let is_same = |known: &Kept| match known {
            Kept::Told(_) => false,
            Kept::Gathered(known) => known.index == call.index,
        };
        // One without an index goes on with the last call unless it names a new one.
        let place = match call.index {
            Some(_) => self.0.iter().position(is_same),
            None if call.id.is_empty() => self.0.len().checked_sub(1),
            None => None,
        };
        let place = match place {
            Some(place) => place,
            None if self.0.len() < TOOL_CALLS_MAX => {
                self.0.push(Kept::Gathered(Gathered {
                    index: call.index,
                    ..Gathered::default()
                }));
                self.0.len() - 1
            }
            None => return,
        };
        if let Some(Kept::Gathered(known)) = self.0.get_mut(place) {
            known.add(call);
        }
    }

    /// Adds a whole call as it was told. Calls past [`TOOL_CALLS_MAX`] are left out.
    pub(crate) fn add_told(&mut self, raw: &RawValue) {
        if self.0.len() < TOOL_CALLS_MAX {
            self.0.push(Kept::Told(raw.to_owned()));
        }
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the calls as JSON text, or nothing when there are none.
    pub(crate) fn finish(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        serde_json::to_string(&self.0).ok()
    }
}

impl Gathered {
    fn add(&mut self, call: &Call<'_>) {
        if !call.id.is_empty() {
            call.id.clone_into(&mut self.id);
        }
        if !call.kind.is_empty() {
            call.kind.clone_into(&mut self.kind);
        }
        self.function.name.push_str(call.name);
        self.function.arguments.push_str(call.arguments);
    }
}
