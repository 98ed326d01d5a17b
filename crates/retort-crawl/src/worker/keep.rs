//! What is kept of an exchange: its bytes, with every secret replaced before anything is hashed.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use retort_client::{Exchange, HttpRequest, REDACTED, Secret, redact};
use retort_dataset::exchange::{self, Answer, Archiver};
use retort_types::Digest;
use retort_types::digest::canonical_json;
use retort_types::record::{AttemptRecord, KeptExchange};

use super::ask::secrets;
use super::attempt::Digests;
use super::scrub;
use crate::decoding::{self, Reading};

/// Headers of an answer that identify a client to a host: no part of what a model said.
const COOKIES: [&str; 2] = ["set-cookie", "set-cookie2"];

/// Bytes of both bodies from which on compressing them would hold up other exchanges: some
/// milliseconds.
const LARGE_BYTES: usize = 256 << 10;

/// Query fields that are told as they are; in any other a secret could stand.
const TOLD_QUERY_FIELDS: [&str; 4] = ["alt", "api-version", "beta", "version"];

/// An attempt whose exchange is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) request: HttpRequest,
    pub(super) exchange: Exchange,
    pub(super) reading: Reading,
    pub(super) digests: Digests,
    /// Whether what came back held a secret anywhere.
    pub(super) is_echoed: bool,
}

impl Kept {
    /// Returns `record` with the records of the exchange. Where the host sent the secret back in a
    /// way that only decoding shows, the body is withheld, from the row's digests too.
    pub(super) async fn put_into(
        self,
        mut record: Box<AttemptRecord>,
        archiver: &Mutex<Archiver>,
    ) -> Box<AttemptRecord> {
        if self.exchange.body.len() + self.request.body.len() < LARGE_BYTES {
            // A task that failed half way leaves buffers that the next one clears.
            let mut archiver = archiver.lock().unwrap_or_else(PoisonError::into_inner);
            self.put(&mut record, &mut archiver);
            return record;
        }
        let work = tokio::task::spawn_blocking(move || {
            self.put(&mut record, &mut Archiver::new());
            record
        });
        match work.await {
            Ok(record) => record,
            // A fault of this program is handled where those of all attempts are.
            Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
        }
    }

    fn put(&self, record: &mut AttemptRecord, archiver: &mut Archiver) {
        let body = (&self.exchange.body[..], self.digests.answer);
        let records = self.records(record, archiver, body);
        let sent = || secrets(self.request.secret.as_deref(), &self.exchange);
        let withheld = self.is_echoed && tells(&records, &sent());
        let records = if withheld {
            let digest = Digest::of(b"");
            record.http.response_sha256 = Some(digest.to_string());
            record.http.response_bytes = Some(0);
            self.records(record, archiver, (b"", Some(digest)))
        } else {
            records
        };
        record.exchange = Some(KeptExchange::Records(records));
    }

    fn records(
        &self,
        record: &AttemptRecord,
        archiver: &mut Archiver,
        (body, body_digest): (&[u8], Option<Digest>),
    ) -> Bytes {
        let Self {
            request, exchange, ..
        } = self;
        let mut redacted = Vec::new();
        let headers = &exchange.request_headers;
        let told = exchange.told_headers();
        let marked = told.filter(|(_, value)| value.contains(REDACTED));
        redacted.extend(marked.map(|(name, _)| format!("request header {name}")));
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let uri = told_uri(&request.url, &secrets(request.secret.as_deref(), exchange));
        if uri.contains(REDACTED) {
            redacted.push("request target".to_owned());
        }
        let head = exchange.head.as_ref();
        let answer = head.map(|head| {
            let headers = head.headers.iter().map(|(name, value)| {
                let name = name.as_str();
                let value = if COOKIES.contains(&name) {
                    REDACTED.as_bytes()
                } else {
                    value.as_bytes()
                };
                if value == REDACTED.as_bytes() {
                    redacted.push(format!("response header {name}"));
                }
                (name, value)
            });
            Answer {
                received_at: head.received_at,
                status: head.status,
                version: head.version,
                headers: headers.collect(),
                body,
                body_digest,
            }
        });
        if body.len() < exchange.body.len() || exchange.secret_echoed && body.is_empty() {
            redacted.push("response body, withheld".to_owned());
        } else if exchange.secret_echoed {
            redacted.push("response body".to_owned());
        }
        let said = exchange::Exchange {
            attempt_id: &record.attempt_id,
            sample_id: record.sample.sample_id,
            sent_at: exchange.sent_at,
            target_uri: &uri,
            request_headers: &headers,
            request_body: &request.body,
            request_digest: self.digests.request,
            answer,
            ending: &exchange.end.to_string(),
            redacted: &redacted,
            decoder: &canonical_json(&self.reading).unwrap_or_default(),
        };
        archiver.records(&said)
    }
}

/// Returns whether decoding stored records shows a secret.
fn tells(records: &[u8], secrets: &[&Secret]) -> bool {
    let decoded = exchange::read(records).and_then(|stored| decoding::again(&stored));
    // What cannot be read back is not kept when a secret may be in it.
    decoded.map_or(true, |decoded| {
        scrub::reply_holds(&decoded.reply, decoded.error.as_ref(), secrets)
    })
}

/// Returns an address without secrets: the request's own and values of unknown query fields.
fn told_uri(url: &str, secrets: &[&Secret]) -> String {
    let url = redact(url, secrets);
    let Some((address, query)) = url.split_once('?') else {
        return url;
    };
    let told = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if !TOLD_QUERY_FIELDS.contains(&name) && !value.is_empty() => {
            format!("{name}={REDACTED}")
        }
        Some(_) | None => pair.to_owned(),
    });
    format!("{address}?{}", told.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use retort_client::Secret;

    use super::*;

    #[test]
    fn addresses_are_told_without_secrets() {
        let secret = Secret::new("sk-0123456789abcdef".to_owned());
        let check = |url: &str, told: &str| assert_eq!(told_uri(url, &[&secret]), told);
        check("https://a/v1", "https://a/v1");
        check(
            "https://a/v1?alt=sse&key=AIza1234",
            "https://a/v1?alt=sse&key=[redacted]",
        );
        check(
            "https://a/sk-0123456789abcdef/v1?api-version=2",
            "https://a/[redacted]/v1?api-version=2",
        );
    }
}
