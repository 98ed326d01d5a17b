//! The manifest of a snapshot: what it holds, and the hashes that say so.

use std::collections::BTreeMap;

use retort_types::{CampaignId, Digest, Outcome};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Name of the manifest; a folder without one is no snapshot.
pub(crate) const MANIFEST_FILE: &str = "MANIFEST.json";

/// Name of the list that `sha256sum -c` reads.
pub(crate) const SUMS_FILE: &str = "SHA256SUMS";

/// Name of the detached signature of the manifest; a snapshot need not have one.
pub(crate) const SIGNATURE_FILE: &str = "MANIFEST.json.minisig";

/// Name of the plan.
pub const PLAN_FILE: &str = "plan.json";

/// Returns the digest of what a plan says of its models, unless it has none.
pub(crate) fn catalog_hash(plan: &[u8]) -> Option<Digest> {
    let plan: serde_json::Value = serde_json::from_slice(plan).ok()?;
    Digest::of_json(plan.get("models")?).ok()
}

/// What a snapshot holds. In the file it is RFC 8785 canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `retort.manifest.v1`.
    pub schema: String,
    /// Version of the tables.
    pub schema_version: String,
    /// The campaign.
    pub campaign: CampaignId,
    /// SHA-256 of the campaign's canonical JSON.
    pub campaign_digest: Digest,
    /// The plan: SHA-256 of `plan.json`.
    pub plan_hash: Digest,
    /// What the catalog said of the models when the plan was made: SHA-256 of the canonical JSON of
    /// `models` in `plan.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_hash: Option<Digest>,
    /// The software that made the rows, each version once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub software: Vec<String>,
    /// Samples of the plan, each of which has one row.
    pub samples: u64,
    /// Every file but this one and `SHA256SUMS`, by path.
    pub files: Vec<ManifestFile>,
    /// Merkle root over `files`.
    pub merkle_root: Digest,
    /// Files of exchanges that rows point to, by path below the campaign's folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<ManifestFile>,
    /// Merkle root over `exchanges`, made as the other one; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanges_root: Option<Digest>,
    /// The segments it was made from, by path in the store.
    pub inputs: Vec<ManifestFile>,
    /// Samples by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The same per model.
    pub models: BTreeMap<String, BTreeMap<Outcome, u64>>,
}

impl Manifest {
    /// The value of `schema`.
    pub const SCHEMA: &'static str = "retort.manifest.v1";
}

/// A file of a snapshot or a segment it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its rows; absent when it is no table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Returns the Merkle root over `files`, which must be sorted by path.
///
/// A leaf is SHA-256(0x00 ‖ path ‖ 0x00 ‖ SHA-256 of the file), a node SHA-256(0x01 ‖ left ‖
/// right); a node without a neighbour moves up as it is. No file at all is SHA-256 of nothing.
pub fn merkle_root(files: &[ManifestFile]) -> Digest {
    let mut level: Vec<[u8; 32]> = files.iter().map(leaf).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node(left, right),
                other => other.first().copied().unwrap_or_default(),
            })
            .collect();
    }
    level
        .first()
        .map_or_else(|| Digest::of(b""), |root| Digest::from_bytes(*root))
}

fn leaf(file: &ManifestFile) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(file.path.as_bytes());
    hasher.update([0]);
    hasher.update(file.sha256.as_bytes());
    hasher.finalize().into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// Returns the content of `SHA256SUMS` for `files`, sorted by path, and the manifest's bytes.
pub(crate) fn sha256_sums(files: &[ManifestFile], manifest: &[u8]) -> String {
    let mut lines: Vec<(&str, Digest)> = files
        .iter()
        .map(|file| (file.path.as_str(), file.sha256))
        .collect();
    lines.push((MANIFEST_FILE, Digest::of(manifest)));
    lines.sort_unstable();
    lines.iter().fold(String::new(), |text, (path, digest)| {
        text + &format!(
            "{digest}  {path}
"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ManifestFile {
        ManifestFile {
            path: path.to_owned(),
            bytes: 0,
            rows: None,
            sha256: Digest::of(path.as_bytes()),
        }
    }

    fn sha(parts: &[&[u8]]) -> Vec<u8> {
        Digest::of(&parts.concat()).as_bytes().to_vec()
    }

    #[test]
    fn the_merkle_root_is_the_one_computed_by_hand() {
        let files = [file("a"), file("b"), file("c")];
        let leaf = |name: &[u8]| sha(&[&[0], name, &[0], Digest::of(name).as_bytes()]);
        let pair = sha(&[&[1], &leaf(b"a"), &leaf(b"b")]);
        let root = sha(&[&[1], &pair, &leaf(b"c")]);
        assert_eq!(merkle_root(&files).as_bytes().to_vec(), root);
        assert_eq!(merkle_root(&files[..1]).as_bytes().to_vec(), leaf(b"a"));
        assert_eq!(merkle_root(&[]), Digest::of(b""));
    }
}
