//! One flush: the records of a spool file as segments in the store.

use std::collections::BTreeMap;

use retort_types::{AttemptRecord, CampaignId, Digest, Timestamp};

use super::compact::{Group, Stored};
use super::{Committed, CommittedRecord, SegmentRef};
use crate::schema::Table;
use crate::segment::{Encoded, SegmentName, encode};
use crate::{DatasetError, Store, rows};

/// Tables of a flush in the order they are stored: whoever sees a row of `responses` finds its
/// attempt and its tokens.
pub(super) const ORDER: [Table; 3] = [Table::Tokens, Table::Attempts, Table::Responses];

/// The encoded segments of one spool file and what to tell when they are stored.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    files: Vec<(String, Encoded)>,
    stored: Vec<(Group, Stored)>,
    records: Vec<CommittedRecord>,
}

impl Batch {
    /// Encodes `records`, one set of segments per campaign and plan.
    pub(super) fn encode(
        records: Vec<AttemptRecord>,
        worker: &str,
        now: Timestamp,
    ) -> Result<Self, DatasetError> {
        let told = records.iter().map(CommittedRecord::from).collect();
        let mut groups: BTreeMap<(CampaignId, Digest), Vec<AttemptRecord>> = BTreeMap::new();
        for record in records {
            let key = (record.sample.campaign.clone(), record.sample.plan_hash);
            groups.entry(key).or_default().push(record);
        }
        let (mut files, mut stored) = (Vec::new(), Vec::new());
        for ((campaign, plan_hash), records) in groups {
            let name = SegmentName::new(&campaign, worker, now, crate::store::fresh_uuid(now)?);
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

    /// Stores every file. Trying again writes the same bytes to the same names.
    pub(super) async fn store(&self, store: &Store) -> Result<Committed, DatasetError> {
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
