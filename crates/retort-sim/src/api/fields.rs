//! Reading of JSON objects field by field, so that a mistake can be told as each API tells it.

use std::fmt;

use serde_json::{Map, Value};

/// What a client got wrong in a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not JSON; the place is told, the text is not.
    Unreadable { line: usize, column: usize },
    /// A field that the API does not have.
    Unknown { path: String },
    /// A value of another type.
    Type {
        path: String,
        wanted: Kind,
        found: Kind,
    },
    /// A required field is absent.
    Missing { path: String },
    /// A value that breaks a rule, as `must be between 0 and 2`.
    Rule { path: String, rule: String },
}

impl Wrong {
    pub(super) fn rule(path: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Rule {
            path: path.into(),
            rule: rule.into(),
        }
    }

    pub(super) fn missing(path: impl Into<String>) -> Self {
        Self::Missing { path: path.into() }
    }

    /// Returns the field it is about; nothing when the body could not be read.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Unknown { path }
            | Self::Type { path, .. }
            | Self::Missing { path }
            | Self::Rule { path, .. } => Some(path),
        }
    }
}

/// A type of JSON value, as errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Flag,
    Whole,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Flag,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Whole,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Flag => "boolean",
            Self::Whole => "integer",
            Self::Number => "number",
            Self::Text => "string",
            Self::List => "array",
            Self::Object => "object",
        })
    }
}

/// A value with the path that leads to it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) path: String,
    pub(super) value: Value,
}

impl Field {
    pub(super) fn wrong(&self, wanted: Kind) -> Wrong {
        Wrong::Type {
            path: self.path.clone(),
            wanted,
            found: Kind::of(&self.value),
        }
    }

    pub(super) fn object(self) -> Result<Object, Wrong> {
        let Value::Object(fields) = self.value else {
            return Err(self.wrong(Kind::Object));
        };
        let path = self.path;
        Ok(Object { path, fields })
    }

    pub(super) fn text(self) -> Result<String, Wrong> {
        let Value::String(text) = self.value else {
            return Err(self.wrong(Kind::Text));
        };
        Ok(text)
    }

    pub(super) fn list(self) -> Result<Vec<Self>, Wrong> {
        let Value::Array(values) = self.value else {
            return Err(self.wrong(Kind::List));
        };
        let fields = values.into_iter().enumerate().map(|(at, value)| Self {
            path: format!("{}[{at}]", self.path),
            value,
        });
        Ok(fields.collect())
    }

    /// Returns one text, or each of a list of texts.
    pub(super) fn texts(self) -> Result<Vec<String>, Wrong> {
        if self.value.is_array() {
            return self.list()?.into_iter().map(Self::text).collect();
        }
        Ok(vec![self.text()?])
    }
}

/// An object whose fields are taken one after the other. `null` counts as absent.
#[derive(Debug)]
pub(super) struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Object {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        let value = serde_json::from_slice(bytes).map_err(|error| Wrong::Unreadable {
            line: error.line(),
            column: error.column(),
        })?;
        let path = String::new();
        Field { path, value }.object()
    }

    /// Returns the object with every name in it, however deep, put through `rename`.
    pub(super) fn renamed(self, rename: &dyn Fn(&str) -> String) -> Self {
        let fields = renamed(self.fields, rename);
        Self { fields, ..self }
    }

    /// Returns the whole path of a field.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            return name.to_owned();
        }
        format!("{}.{name}", self.path)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Field> {
        let value = self.fields.remove(name).filter(|value| !value.is_null())?;
        let path = self.path(name);
        Some(Field { path, value })
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Wrong> {
        self.take(name).map(Field::text).transpose()
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, Wrong> {
        self.take(name).map(Field::object).transpose()
    }

    /// Returns the members of a list; none when it is absent.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Field>, Wrong> {
        self.take(name).map_or(Ok(Vec::new()), Field::list)
    }

    /// Returns one text or several; none when the field is absent.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Wrong> {
        self.take(name).map_or(Ok(Vec::new()), Field::texts)
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Wrong> {
        self.take(name)
            .map(|field| field.value.as_bool().ok_or_else(|| field.wrong(Kind::Flag)))
            .transpose()
    }

    pub(super) fn whole(&mut self, name: &str) -> Result<Option<i64>, Wrong> {
        self.take(name)
            .map(|field| field.value.as_i64().ok_or_else(|| field.wrong(Kind::Whole)))
            .transpose()
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>, Wrong> {
        let Some(whole) = self.whole(name)? else {
            return Ok(None);
        };
        let count = u32::try_from(whole);
        let rule = "must be a whole number from 0 to 4294967295";
        count
            .map(Some)
            .map_err(|_| Wrong::rule(self.path(name), rule))
    }

    /// Returns a count of at least 1.
    pub(super) fn limit(&mut self, name: &str) -> Result<Option<u32>, Wrong> {
        let count = self.count(name)?;
        if count == Some(0) {
            return Err(Wrong::rule(self.path(name), "must be at least 1"));
        }
        Ok(count)
    }

    /// Returns a number from `low` to `high`.
    pub(super) fn number(&mut self, name: &str, low: f64, high: f64) -> Result<Option<f64>, Wrong> {
        let Some(field) = self.take(name) else {
            return Ok(None);
        };
        let Some(number) = field.value.as_f64() else {
            return Err(field.wrong(Kind::Number));
        };
        if !(low..=high).contains(&number) {
            let rule = format!("must be between {low} and {high}");
            return Err(Wrong::rule(field.path, rule));
        }
        Ok(Some(number))
    }

    /// Leaves fields of any type unread, which the API has and a simulation does not need.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Ends the reading: what is left is unknown.
    pub(super) fn end(self) -> Result<(), Wrong> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => Err(Wrong::Unknown {
                path: self.path(name),
            }),
        }
    }
}

fn renamed(fields: Map<String, Value>, rename: &dyn Fn(&str) -> String) -> Map<String, Value> {
    let fields = fields.into_iter();
    let named = fields.map(|(name, value)| (rename(&name), renamed_value(value, rename)));
    named.collect()
}

fn renamed_value(value: Value, rename: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => Value::Object(renamed(fields, rename)),
        Value::Array(values) => {
            let values = values.into_iter();
            values.map(|value| renamed_value(value, rename)).collect()
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Object {
        Object::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn mistakes_have_paths() {
        let mut outer = object(r#"{"a": {"b": [{"c": "x"}], "d": 1.5, "e": -1}, "f": null}"#);
        assert_eq!(outer.text("f"), Ok(None));
        let mut inner = outer.object("a").unwrap().unwrap();
        let mut first = inner.list("b").unwrap().remove(0).object().unwrap();
        let wrong = first.flag("c").unwrap_err();
        assert_eq!(wrong.path(), Some("a.b[0].c"));
        let (wanted, found) = (Kind::Whole, Kind::Number);
        let path = "a.d".to_owned();
        let wrong = Wrong::Type {
            path,
            wanted,
            found,
        };
        assert_eq!(inner.whole("d"), Err(wrong));
        assert!(matches!(inner.count("e"), Err(Wrong::Rule { .. })));
        assert_eq!(outer.end(), Ok(()));
    }

    #[test]
    fn names_are_changed_however_deep() {
        let deep = object(r#"{"a": [{"b": 1}]}"#).renamed(&str::to_uppercase);
        assert_eq!(
            Value::Object(deep.fields),
            serde_json::json!({"A": [{"B": 1}]})
        );
    }

    #[test]
    fn what_is_left_is_unknown() {
        let mut left = object(r#"{"known": 1, "ignored": {}, "strange": 2}"#);
        left.ignore(&["ignored"]);
        assert_eq!(left.number("known", 0.0, 1.0), Ok(Some(1.0)));
        let path = "strange".to_owned();
        assert_eq!(left.end(), Err(Wrong::Unknown { path }));
        let unread = Object::parse(b"{").unwrap_err();
        assert_eq!(unread.path(), None);
        assert!(Object::parse(b"[]").is_err());
    }
}
