//! Names of files of exchanges.

use retort_types::{CampaignId, Timestamp};

use crate::segment::worker_slug;
use crate::store::campaign_folder;

const FOLDER: &str = "exchanges/";
const SUFFIX: &str = ".warc.gz";

/// A file of exchanges: `exchanges/date=YYYY-MM-DD/<worker>-<uuidv7>.warc.gz` below its campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeFile {
    relative: String,
    id: uuid::Uuid,
}

impl ExchangeFile {
    /// Returns the file for what `worker` flushes at `at`; `id` keeps it apart from every other.
    pub fn new(worker: &str, at: Timestamp, id: uuid::Uuid) -> Self {
        let relative = format!(
            "{FOLDER}date={}/{}-{}{SUFFIX}",
            at.date(),
            worker_slug(worker),
            id.as_hyphenated()
        );
        Self { relative, id }
    }

    /// Returns its path below the campaign's folder, as rows and manifests name it.
    pub fn relative(&self) -> &str {
        &self.relative
    }

    /// Returns its path in the store.
    pub fn path(&self, campaign: &CampaignId) -> String {
        format!("{}/{}", campaign_folder(campaign), self.relative)
    }

    /// Returns what keeps it apart from other files.
    pub(crate) const fn id(&self) -> uuid::Uuid {
        self.id
    }
}

/// Returns whether `path` may name a file of exchanges below a campaign's folder: a row comes from
/// a file that anybody may have written, and must not lead elsewhere.
pub fn is_exchange_file(path: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.starts_with(FOLDER)
        && path.ends_with(SUFFIX)
        && path.split('/').all(is_plain)
        && !path.contains(['\\', '\0'])
}
