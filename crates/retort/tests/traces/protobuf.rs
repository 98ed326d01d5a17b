//! As much of protobuf, and of OTLP's messages, as these tests read: by the numbers of the fields in
//! `opentelemetry/proto/trace/v1/trace.proto`, and not by the code that wrote them.

use std::collections::BTreeMap;

/// One field of a message.
#[derive(Debug, Clone)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message by number, in order.
#[derive(Debug)]
struct Message<'a>(Vec<(u64, Field<'a>)>);

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().expect("a number ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
        shift += 7;
        assert!(shift < 64, "a number has at most ten bytes");
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> &'a [u8] {
    let length = usize::try_from(length).expect("it is in memory");
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

impl<'a> Message<'a> {
    fn read(mut bytes: &'a [u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes);
                    Field::Bytes(take(&mut bytes, length))
                }
                5 => Field::Number(
                    u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into(),
                ),
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, field));
        }
        Self(fields)
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(n, field)| match field {
            Field::Bytes(bytes) if *n == number => Some(*bytes),
            Field::Bytes(_) | Field::Number(_) => None,
        })
    }

    fn messages(&self, number: u64) -> impl Iterator<Item = Message<'a>> {
        self.all(number).map(Message::read)
    }

    fn text(&self, number: u64) -> Option<String> {
        let bytes = self.all(number).next()?;
        Some(String::from_utf8(bytes.to_vec()).expect("text is UTF-8"))
    }

    fn number(&self, number: u64) -> Option<u64> {
        self.0.iter().find_map(|(n, field)| match field {
            Field::Number(value) if *n == number => Some(*value),
            Field::Number(_) | Field::Bytes(_) => None,
        })
    }

    /// Reads `repeated KeyValue`.
    fn attributes(&self, number: u64) -> BTreeMap<String, String> {
        let entries = self.messages(number).map(|entry| {
            let value = entry.messages(2).next().expect("an attribute has a value");
            let text = value.text(1).or_else(|| {
                let number = value.number(2).or_else(|| value.number(3));
                number.map(|number| number.to_string())
            });
            (
                entry.text(1).expect("an attribute has a key"),
                text.unwrap_or_default(),
            )
        });
        entries.collect()
    }
}

/// A span.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// 1 for what is inside a program, 3 for a request to another one.
    pub(crate) kind: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// 2 for an error.
    pub(crate) status: u64,
    /// Nanoseconds since 1970.
    pub(crate) started: u64,
    pub(crate) ended: u64,
    /// Events within it.
    pub(crate) events: usize,
    /// Who sent it.
    pub(crate) resource: BTreeMap<String, String>,
}

/// Reads an `ExportTraceServiceRequest`.
pub(crate) fn spans(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in Message::read(body).messages(1) {
        let resource = of_resource.messages(1).next();
        let resource = resource.map(|resource| resource.attributes(1));
        for of_scope in of_resource.messages(2) {
            spans.extend(of_scope.messages(2).map(|span| {
                Span {
                    name: span.text(5).expect("a span has a name"),
                    kind: span.number(6).unwrap_or(0),
                    started: span.number(7).expect("a span begins"),
                    ended: span.number(8).expect("a span ends"),
                    attributes: span.attributes(9),
                    events: span.messages(11).count(),
                    status: span
                        .messages(15)
                        .next()
                        .and_then(|status| status.number(3))
                        .unwrap_or(0),
                    resource: resource.clone().unwrap_or_default(),
                }
            }));
        }
    }
    spans
}
