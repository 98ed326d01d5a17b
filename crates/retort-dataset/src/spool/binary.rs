//! Records as bytes that cost little to write: texts are copied as they are, numbers take what they
//! need, identities and times are no text.
//!
//! A value is a tag and what follows from it. Like JSON it says which field is which, so that fields
//! may come and go between versions; unlike JSON nothing is escaped, spelled out or looked through.
//!
//! | tag | value |
//! |---|---|
//! | 0, 1, 2 | null, false, true |
//! | 3, 4 | a whole number from 0; one below, as its bits inverted; both in groups of 7 bits, lowest first |
//! | 5, 6 | a number in double, in single precision, little-endian |
//! | 7, 8 | text, bytes: their length as a whole number in groups of 7 bits, then they |
//! | 9, 10 | a list, a map (key, value, key, value): what is in it, then tag 11 |
//!
//! An absent value is null and a present one is itself. A variant is its name, or a map from its name
//! to what it holds.

mod read;
mod write;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const WHOLE: u8 = 3;
const NEGATIVE: u8 = 4;
const DOUBLE: u8 = 5;
const SINGLE: u8 = 6;
const TEXT: u8 = 7;
const BYTES: u8 = 8;
const LIST: u8 = 9;
const MAP: u8 = 10;
const END: u8 = 11;

/// A value has no such form, or bytes are none. Tells no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryError(String);

impl fmt::Display for BinaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BinaryError {}

impl serde::ser::Error for BinaryError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for BinaryError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Appends `value` to `out`.
pub(super) fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), BinaryError> {
    value.serialize(&mut write::Writer(out))
}

/// Returns the value that `bytes` are, all of them.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BinaryError> {
    let mut reader = read::Reader::new(bytes);
    let value = T::deserialize(&mut reader)?;
    reader
        .is_at_end()
        .then_some(value)
        .ok_or_else(read::damaged)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use retort_types::reply::TopToken;
    use retort_types::{AttemptRecord, PromptInput};
    use serde::Deserialize;

    use super::*;
    use crate::testing::full;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Unit,
        Wrapped(i64),
        Pair(u8, String),
        Named { text: Option<String>, flag: bool },
    }

    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T) {
        let mut bytes = Vec::new();
        write(value, &mut bytes).unwrap();
        assert_eq!(read::<T>(&bytes).as_ref(), Ok(value));
    }

    #[test]
    fn values_of_every_kind_come_back() {
        round_trip(&(i64::MIN, i64::MAX, u64::MAX, -1_i8, 127_u8, 128_u16));
        round_trip(&(f64::MIN_POSITIVE, f32::MIN, -0.0_f64, 0.1_f32));
        round_trip(&vec![Some("π".to_owned()), None, Some(String::new())]);
        round_trip(&BTreeMap::from([("a".to_owned(), vec![true, false])]));
        round_trip(&vec![
            Kind::Unit,
            Kind::Wrapped(-9),
            Kind::Pair(3, "x".to_owned()),
            Kind::Named {
                text: None,
                flag: true,
            },
        ]);
        round_trip(&PromptInput::Text("t".to_owned()));
        round_trip(&serde_json::json!({ "a": [1, -1, 0.5, null, "b", { "c": true }] }));
        let mut record = full();
        record.exchange = None;
        round_trip(&record);
    }

    #[test]
    fn fields_may_come_and_go() {
        #[derive(Serialize)]
        struct Newer {
            old: u32,
            new: BTreeMap<String, Vec<Option<f32>>>,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Older {
            old: u32,
            #[serde(default)]
            gone: Option<String>,
        }
        let newer = Newer {
            old: 7,
            new: BTreeMap::from([("x".to_owned(), vec![None, Some(1.0)])]),
        };
        let mut bytes = Vec::new();
        write(&newer, &mut bytes).unwrap();
        let older = Older { old: 7, gone: None };
        assert_eq!(read::<Older>(&bytes), Ok(older));
    }

    #[test]
    fn alternatives_are_read_with_names_and_without() {
        #[derive(Serialize)]
        struct Named<'a> {
            token: &'a str,
            bytes: Option<Vec<u8>>,
            logprob: f32,
        }
        for bytes in [None, Some(vec![0, 255])] {
            let expected = TopToken {
                token: "é".into(),
                bytes: bytes.as_deref().map(Into::into),
                logprob: -0.5,
            };
            round_trip(&expected);
            let named = Named {
                token: "é",
                bytes,
                logprob: -0.5,
            };
            let mut written = Vec::new();
            write(&named, &mut written).unwrap();
            assert_eq!(read::<TopToken>(&written), Ok(expected.clone()));
            let json = serde_json::to_string(&expected).unwrap();
            assert!(json.starts_with(r#"{"token":"é","#), "{json}");
            assert_eq!(serde_json::from_str::<TopToken>(&json).unwrap(), expected);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = vec![LIST; 1 << 20];
        assert!(read::<serde_json::Value>(&deep).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(0_u8..14, 0..60)) {
            drop(read::<serde_json::Value>(&bytes));
            drop(read::<AttemptRecord>(&bytes));
        }

        #[test]
        fn a_cut_is_an_error(at in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            write(&full(), &mut bytes).unwrap();
            let cut = at.index(bytes.len());
            bytes.truncate(cut);
            prop_assert!(read::<AttemptRecord>(&bytes).is_err());
        }
    }
}
