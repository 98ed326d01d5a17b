//! Names of segments.

use std::fmt;

use retort_types::{CampaignId, Timestamp, ids};

use crate::schema::Table;
use crate::store::segments_folder;

const SUFFIX: &str = ".parquet";

/// The common stem of the files of one flush:
/// `campaigns/<id>/segments/date=YYYY-MM-DD/<worker>-<uuidv7>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName(String);

impl SegmentName {
    /// Returns the stem for what `worker` flushes at `at`; `id` keeps it apart from every other.
    pub fn new(campaign: &CampaignId, worker: &str, at: Timestamp, id: uuid::Uuid) -> Self {
        let folder = format!("{}/date={}", segments_folder(campaign), at.date());
        Self::beside(&folder, worker, id)
    }

    /// Returns the stem of `worker` in `folder`, which is that of a day.
    pub(crate) fn beside(folder: &str, worker: &str, id: uuid::Uuid) -> Self {
        let worker = worker_slug(worker);
        Self(format!("{folder}/{worker}-{}", id.as_hyphenated()))
    }

    /// Returns the folder of its day.
    pub(crate) fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Returns the stem and the table of the file at `path`, or nothing when it is no segment.
    pub fn parse(path: &str) -> Option<(Self, Table)> {
        let (stem, table) = path.strip_suffix(SUFFIX)?.rsplit_once('.')?;
        let table = [Table::Responses, Table::Attempts, Table::Tokens]
            .into_iter()
            .find(|known| known.as_str() == table)?;
        Some((Self(stem.to_owned()), table))
    }

    /// Returns the path of the file that holds `table`.
    pub fn path(&self, table: Table) -> String {
        format!("{}.{table}{SUFFIX}", self.0)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns `worker` in the alphabet of paths.
pub fn worker_slug(worker: &str) -> String {
    ids::slug(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        let campaign = CampaignId::new("c1").unwrap();
        let at: Timestamp = "2026-11-24T23:59:59Z".parse().unwrap();
        let id = uuid::Uuid::from_u128(7);
        let name = SegmentName::new(&campaign, "Node 1/β", at, id);
        for table in [Table::Responses, Table::Attempts, Table::Tokens] {
            let path = name.path(table);
            assert!(
                path.starts_with("campaigns/c1/segments/date=2026-11-24/"),
                "{path}"
            );
            assert_eq!(SegmentName::parse(&path), Some((name.clone(), table)));
        }
        assert_eq!(SegmentName::parse("a/b.models.parquet"), None);
        assert_eq!(SegmentName::parse("a/b.responses.parquet#1"), None);
        assert_eq!(SegmentName::parse("a/b"), None);
    }
}
