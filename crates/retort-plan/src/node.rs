//! A YAML or JSON text as a tree that knows where each value stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::error::Step;

/// A value with its place in the text.
pub(crate) type Placed = Spanned<Node>;

/// A value, told apart as far as prompts and positions need it.
#[derive(Debug)]
pub(crate) enum Node {
    Map(Vec<(Spanned<String>, Placed)>),
    List(Vec<Placed>),
    Text(String),
    /// A number, a truth value or nothing, as its name in messages.
    Other(&'static str),
}

impl Node {
    /// Returns the kind of value, as messages call it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Map(_) => "a mapping",
            Self::List(_) => "a list",
            Self::Text(_) => "a text",
            Self::Other(kind) => kind,
        }
    }
}

/// Returns line and column of `place`, both from 1.
pub(crate) fn line_and_column<T>(place: &Spanned<T>) -> (u64, u64) {
    (place.referenced.line(), place.referenced.column())
}

/// Returns line and column of the value at `path` or, where the text does not have it, of the
/// nearest value around it. Nothing when `text` cannot be read or is empty.
pub(crate) fn position_of(text: &str, path: &[Step]) -> Option<(u64, u64)> {
    let mut options = crate::read::options();
    // The value in question may be `.nan`; as a number of a tree it does no harm.
    options.non_finite_float_policy = serde_saphyr::NonFiniteFloatPolicy::PassThrough;
    let root: Placed = serde_saphyr::from_str_with_options(text, options).ok()?;
    let mut place = &root;
    let mut found = line_and_column(place);
    for step in path {
        place = match (step, &place.value) {
            (Step::Key(key), Node::Map(entries)) => {
                let Some((_, value)) = entries.iter().find(|(name, _)| name.value == *key) else {
                    break;
                };
                value
            }
            (Step::Index(index), Node::List(items)) => {
                let Some(value) = items.get(*index) else {
                    break;
                };
                value
            }
            _ => break,
        };
        found = line_and_column(place);
    }
    Some(found)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other("a truth value"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other("nothing"))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Other("nothing"))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Other("binary data"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
