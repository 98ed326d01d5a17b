//! One flush: the records of a spool file as exchanges and segments in the store.

use std::collections::BTreeMap;

use bytes::Bytes;
use retort_types::record::{ExchangePlace, KeptExchange};
use retort_types::{AttemptRecord, CampaignId, Digest, Timestamp};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::compact::{Group, Stored};
use super::{Committed, CommittedRecord, SegmentRef};
use crate::exchange::{ExchangeFile, file_head};
use crate::schema::Table;
use crate::segment::{Encoded, SegmentName, encode};
use crate::{DatasetError, Store, rows};

/// A record in its box: it takes kilobytes, which would be copied at each step to the store.
pub(super) type Boxed = Box<AttemptRecord>;

/// Returns records in boxes.
pub(super) fn boxed(records: Vec<AttemptRecord>) -> Vec<Boxed> {
    records.into_iter().map(Box::new).collect()
}

/// Tables of a flush in the order they are stored: whoever sees a row of `responses` finds its
/// attempt and its tokens.
pub(super) const ORDER: [Table; 3] = [Table::Tokens, Table::Attempts, Table::Responses];

/// The encoded segments of one spool file and what to tell when they are stored.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Files of exchanges; stored first, so that whoever sees a row finds what it points to.
    exchanges: Vec<(String, Bytes)>,
    files: Vec<(String, Encoded)>,
    stored: Vec<(Group, Stored)>,
    records: Vec<CommittedRecord>,
}

impl Batch {
    /// Encodes `records`, one set of segments per campaign and plan.
    pub(super) fn encode(
        records: Vec<Boxed>,
        worker: &str,
        now: Timestamp,
    ) -> Result<Self, DatasetError> {
        let told = records
            .iter()
            .map(|record| CommittedRecord::from(&**record));
        let told = told.collect();
        let mut groups: BTreeMap<(CampaignId, Digest), Vec<Boxed>> = BTreeMap::new();
        for record in records {
            let key = (record.sample.campaign.clone(), record.sample.plan_hash);
            groups.entry(key).or_default().push(record);
        }
        let (mut files, mut stored) = (Vec::new(), Vec::new());
        let mut exchanges = Vec::new();
        for ((campaign, plan_hash), mut records) in groups {
            let id = crate::store::fresh_uuid(now)?;
            let name = SegmentName::new(&campaign, worker, now, id);
            let file = ExchangeFile::new(worker, now, id);
            if let Some(bytes) = place_exchanges(&mut records, &file, now) {
                exchanges.push((file.path(&campaign), bytes));
            }
            let mut made = Stored {
                name: name.clone(),
                tables: Vec::new(),
                bytes: 0,
                rows: 0,
            };
            for table in ORDER {
                let batch = match table {
                    Table::Tokens => rows::tokens(&records)?,
                    Table::Attempts => rows::attempts(&records)?,
                    Table::Responses | Table::Prompts | Table::Models => rows::responses(&records)?,
                };
                if batch.num_rows() > 0 {
                    let encoded = encode(table, &batch, &campaign, plan_hash)?;
                    made.tables.push(table);
                    made.bytes += u64::try_from(encoded.bytes.len()).unwrap_or(u64::MAX);
                    made.rows += encoded.rows;
                    files.push((name.path(table), encoded));
                }
            }
            let group = Group {
                folder: name.folder().to_owned(),
                campaign,
                plan_hash,
            };
            stored.push((group, made));
        }
        Ok(Self {
            exchanges,
            files,
            stored,
            records: told,
        })
    }

    /// Returns the number of its files.
    pub(super) fn file_count(&self) -> u64 {
        u64::try_from(self.files.len()).unwrap_or(u64::MAX)
    }

    /// Returns what is in the store once it is stored, for compaction.
    pub(super) fn stored(&self) -> Vec<(Group, Stored)> {
        self.stored.clone()
    }

    fn bytes(&self) -> usize {
        let exchanges = self.exchanges.iter().map(|(_, bytes)| bytes.len());
        let segments = self.files.iter().map(|(_, encoded)| encoded.bytes.len());
        exchanges.chain(segments).sum()
    }

    /// Stores every file. Trying again writes the same bytes to the same names.
    pub(super) async fn store(&self, store: &Store) -> Result<Committed, DatasetError> {
        let span = tracing::debug_span!(
            "flush",
            otel.status_code = Empty,
            retort.records = self.records.len(),
            retort.files = self.exchanges.len() + self.files.len(),
            retort.bytes = self.bytes(),
        );
        let stored = self.put(store).instrument(span.clone()).await;
        if stored.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        stored
    }

    async fn put(&self, store: &Store) -> Result<Committed, DatasetError> {
        for (path, bytes) in &self.exchanges {
            store.put(path, bytes.clone()).await?;
        }
        let mut segments = Vec::with_capacity(self.files.len());
        for (path, encoded) in &self.files {
            store.put(path, encoded.bytes.clone()).await?;
            segments.push(SegmentRef {
                path: path.clone(),
                sha256: Digest::of(&encoded.bytes),
                rows: encoded.rows,
                bytes: u64::try_from(encoded.bytes.len()).unwrap_or(u64::MAX),
            });
        }
        Ok(Committed::new(segments, self.records.clone()))
    }
}

/// Moves the exchanges of `records` into the bytes of `file`, and returns them unless there are none.
fn place_exchanges(records: &mut [Boxed], file: &ExchangeFile, now: Timestamp) -> Option<Bytes> {
    let held = |record: &Boxed| {
        let exchange = record.exchange.as_ref()?;
        exchange.records().map(Bytes::len)
    };
    let length: usize = records.iter().filter_map(held).sum();
    if length == 0 {
        return None;
    }
    let head = file_head(file, now);
    let mut bytes = Vec::with_capacity(head.len() + length);
    bytes.extend_from_slice(&head);
    for record in records {
        let Some(KeptExchange::Records(exchange)) = record.exchange.take() else {
            continue;
        };
        record.exchange = Some(KeptExchange::Stored(ExchangePlace {
            file: file.relative().to_owned(),
            offset: as_u64(bytes.len()),
            length: as_u64(exchange.len()),
            sha256: Digest::of(&exchange),
        }));
        bytes.extend_from_slice(&exchange);
    }
    Some(bytes.into())
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
