//! Records of an import as segments.

use retort_types::{AttemptRecord, CampaignId, Digest, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::{ImportError, ImportInput};
use crate::schema::Table;
use crate::segment::{SegmentName, encode};
use crate::{DatasetError, Store, rows};

/// Rows of a segment. Small in tests, so that there are several.
const ROWS_MAX: usize = if cfg!(test) { 8 } else { 8_192 };

/// Bytes of text of a segment, about.
const BYTES_MAX: usize = 32 << 20;

/// Collects records and stores them, some thousands at a time.
pub(super) struct Segments<'a> {
    store: &'a Store,
    handle: &'a Handle,
    campaign: &'a CampaignId,
    plan_hash: Digest,
    records: Vec<AttemptRecord>,
    bytes: usize,
    number: u64,
    stored: Vec<String>,
}

impl<'a> Segments<'a> {
    pub(super) const fn new(
        store: &'a Store,
        handle: &'a Handle,
        input: &'a ImportInput,
        plan_hash: Digest,
    ) -> Self {
        Self {
            store,
            handle,
            campaign: &input.campaign,
            plan_hash,
            records: Vec::new(),
            bytes: 0,
            number: 0,
            stored: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, record: AttemptRecord) -> Result<(), ImportError> {
        self.bytes += size(&record);
        self.records.push(record);
        if self.records.len() >= ROWS_MAX || self.bytes >= BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores what is collected. Names follow from the content: once more is the same files.
    pub(super) fn flush(&mut self) -> Result<(), ImportError> {
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        if records.is_empty() {
            return Ok(());
        }
        let name = self.name();
        // `responses` last: without it the others count for nothing.
        for table in [Table::Tokens, Table::Attempts, Table::Responses] {
            let batch = match table {
                Table::Tokens => rows::tokens(&records),
                Table::Attempts => rows::attempts(&records),
                Table::Responses | Table::Prompts | Table::Models => rows::responses(&records),
            };
            let batch = batch
                .and_then(|batch| rows::as_imported(&batch))
                .map_err(DatasetError::from)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let file = encode(table, &batch, self.campaign, self.plan_hash)?;
            let path = name.path(table);
            self.handle.block_on(self.store.put(&path, file.bytes))?;
            self.stored.push(path);
        }
        Ok(())
    }

    fn name(&mut self) -> SegmentName {
        let mut hasher = Sha256::new();
        hasher.update(self.plan_hash.as_bytes());
        hasher.update(self.number.to_be_bytes());
        self.number += 1;
        let digest = Digest::from_bytes(hasher.finalize().into());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
        SegmentName::new(self.campaign, "import", Timestamp::default(), id)
    }

    /// Takes back what was stored.
    pub(super) fn discard(self) {
        for path in &self.stored {
            if let Err(error) = self.handle.block_on(self.store.delete(path)) {
                tracing::warn!(error = %error, "a segment of a failed import stays");
            }
        }
    }
}

/// Returns what a record takes in memory, about.
fn size(record: &AttemptRecord) -> usize {
    let texts = [&record.reply.text, &record.reply.reasoning_text];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let messages = record.sample.input.as_messages();
    let asked: usize = messages.iter().map(|message| message.content.len()).sum();
    texts + asked + record.reply.tokens.len() * 256 + 1_024
}
