//! Reads what the broker delivers: nothing in it is trusted.

use bytes::Bytes;
use lapin::message::Delivery as Received;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::{DEAD_KIND, DeadLetter, Message, NAME_MAX_BYTES, Queue};

/// A message and how often it came back.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Message,
    pub(super) returns: u32,
}

/// Reads a delivery of a queue. What a foreign client left out is empty.
///
/// What the broker itself moved among the dead letters gets the envelope that others come in, with
/// the reason the broker gives.
pub(super) fn read(received: &Received, queue: &Queue) -> Incoming {
    let properties = &received.properties;
    let headers = properties.headers().as_ref();
    let message = Message {
        id: name(properties.message_id().as_ref()),
        kind: name(properties.kind().as_ref()),
        body: Bytes::copy_from_slice(&received.data).into(),
    };
    let returns = headers.and_then(|headers| integer(headers, "x-delivery-count"));
    let returns = returns.and_then(|count| u32::try_from(count).ok());
    let dead = *queue == Queue::Dead && message.kind != DEAD_KIND;
    let message = match headers.filter(|_| dead).and_then(death) {
        Some((queue, reason)) => DeadLetter::new(queue, &reason, message).to_message(),
        None => message,
    };
    Incoming {
        message,
        returns: returns.unwrap_or(0),
    }
}

fn name(text: Option<&ShortString>) -> String {
    let text = text.map_or("", ShortString::as_str);
    let end = text.floor_char_boundary(NAME_MAX_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Returns which queue a message died in first, and of what.
fn death(headers: &FieldTable) -> Option<(Queue, String)> {
    let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else {
        return None;
    };
    // The latest stands first: one that waited in a retry tier died there once, too.
    let AMQPValue::FieldTable(latest) = deaths.as_slice().first()? else {
        return None;
    };
    let queue = text(latest, "queue")?.parse().ok()?;
    let reason = match text(latest, "reason")?.as_str() {
        "delivery_limit" => {
            let times = crate::DELIVERY_LIMIT + 1;
            format!("delivered {times} times without an acknowledgement")
        }
        other => format!("the broker gave it up: {other}"),
    };
    Some((queue, reason))
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        AMQPValue::Boolean(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    }
}

fn integer(table: &FieldTable, name: &str) -> Option<i64> {
    match table.inner().get(name)? {
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::LongLongInt(number) => Some(*number),
        AMQPValue::Boolean(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::ShortString(_)
        | AMQPValue::LongString(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;

    use super::*;

    fn received(properties: BasicProperties) -> Received {
        let data = b"body".to_vec();
        let mut received = Received::mock(1, "dead".into(), "".into(), false, data);
        received.properties = properties;
        received
    }

    fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in pairs {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn dead(queue: &str, reason: &str) -> Message {
        let death = table(&[
            ("queue", AMQPValue::LongString(queue.into())),
            ("reason", AMQPValue::LongString(reason.into())),
        ]);
        let deaths = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into());
        let properties = BasicProperties::default()
            .with_message_id("7".into())
            .with_type("k".into())
            .with_headers(table(&[("x-death", deaths)]));
        read(&received(properties), &Queue::Dead).message
    }

    #[test]
    fn what_the_broker_buried_gets_an_envelope() {
        let letter = DeadLetter::from_message(&dead("probes.a", "delivery_limit")).unwrap();
        assert_eq!(letter.queue.to_string(), "probes.a");
        assert_eq!(
            letter.reason,
            "delivered 21 times without an acknowledgement"
        );
        assert_eq!(
            (letter.message.id.as_str(), letter.message.kind.as_str()),
            ("7", "k")
        );
        let letter = DeadLetter::from_message(&dead("receipts", "maxlen")).unwrap();
        assert_eq!(letter.reason, "the broker gave it up: maxlen");
        // Of a queue nobody here knows: shown as it is.
        assert_eq!(dead("theirs", "maxlen").kind, "k");
    }

    #[test]
    fn what_is_missing_is_empty_and_what_is_odd_is_ignored() {
        let incoming = read(&received(BasicProperties::default()), &Queue::Receipts);
        assert_eq!((incoming.message.id.as_str(), incoming.returns), ("", 0));
        for (count, returns) in [
            (AMQPValue::LongLongInt(3), 3),
            (AMQPValue::LongInt(-1), 0),
            (AMQPValue::Void, 0),
        ] {
            let headers = table(&[("x-delivery-count", count), ("x-death", AMQPValue::Void)]);
            let properties = BasicProperties::default().with_headers(headers);
            let incoming = read(&received(properties), &Queue::Dead);
            assert_eq!(incoming.returns, returns);
            assert_eq!(incoming.message.body, "body".into());
        }
    }
}
