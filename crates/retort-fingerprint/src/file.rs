//! Saved fingerprints: the habits of one model, to be compared later without its texts.
//!
//! A file holds, prompt by prompt, hashes of a sample of the features. Which features are in the
//! sample follows from their hashes, so that every model keeps the same ones and cosines stay
//! unbiased; texts cannot be read back. All numbers are little-endian or LEB128; the last eight
//! bytes are the XXH3 of everything before.

mod bytes;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use self::bytes::{Reader, put};
use crate::document::{Document, Feature, MODEL_BITS};
use crate::family::Family;
use crate::fingerprints::documents;
use crate::layout::COUNTS;
use crate::{Corpus, Fingerprints, Settings};

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"RTFPRINT";

/// Version of the features and of the shape of the file. Files of different versions are not
/// compared.
pub const VERSION: u32 = 1;

/// Leading bits of a hash that are kept: collisions among the features of one prompt stay rare.
const KEPT_BITS: u32 = 28;

/// Steps of a weight, and of a logarithm of a count.
const WEIGHT_STEPS: f32 = 64.0;
const COUNT_STEPS: f32 = 1_000.0;

/// Longest heading: names of prompts.
const HEADING_BYTES_MAX: usize = 64 << 20;

/// A saved fingerprint cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FileError {
    /// It is something else.
    #[error("it is not a fingerprint")]
    NotOne,
    /// It was made with other features.
    #[error("it has version {found}, and {VERSION} is needed")]
    OtherVersion {
        /// Its version.
        found: u32,
    },
    /// It was cut or changed.
    #[error("it is damaged")]
    Damaged,
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Heading {
    model: String,
    source: String,
    prompts: Vec<String>,
}

/// The saved habits of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedFingerprint {
    /// The model.
    pub model: String,
    /// Where the replies came from, as [`SavedFingerprint::all`] was told.
    pub source: String,
    /// Names of the prompts, sorted.
    prompts: Vec<String>,
    /// By prompt.
    documents: Vec<Document>,
}

impl SavedFingerprint {
    /// Returns the fingerprints of all models of a corpus; `progress` is told prompts done and all.
    pub fn all(
        corpus: &Corpus,
        source: &str,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Vec<Self> {
        let mut order: Vec<(String, usize)> = corpus
            .prompts
            .iter()
            .enumerate()
            .map(|(at, p)| (p.label(), at))
            .collect();
        order.sort();
        order.dedup_by(|a, b| a.0 == b.0);
        let mut saved: Vec<Self> = corpus
            .models
            .iter()
            .map(|model| Self {
                model: model.clone(),
                source: source.to_owned(),
                prompts: Vec::new(),
                documents: Vec::new(),
            })
            .collect();
        for (done, (label, prompt)) in order.iter().enumerate() {
            for (model, document) in saved.iter_mut().zip(documents(corpus, *prompt)) {
                if let Some(document) = document {
                    model.prompts.push(label.clone());
                    model.documents.push(sampled(&document));
                }
            }
            progress(done + 1, order.len());
        }
        saved
    }

    /// Returns how many prompts it covers.
    pub fn prompts(&self) -> usize {
        self.prompts.len()
    }

    /// Returns the bytes of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let heading = Heading {
            model: self.model.clone(),
            source: self.source.clone(),
            prompts: self.prompts.clone(),
        };
        // Strings in a struct always have a JSON form.
        let heading = serde_json::to_vec(&heading).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, u64::from(VERSION));
        put(&mut bytes, heading.len() as u64);
        bytes.extend_from_slice(&heading);
        for document in &self.documents {
            write(document, &mut bytes);
        }
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is something else, has another version or is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(FileError::NotOne)?;
        let (rest, sum) = rest.split_last_chunk::<8>().ok_or(FileError::Damaged)?;
        let body = bytes.get(..bytes.len() - 8).unwrap_or_default();
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return Err(FileError::Damaged);
        }
        let mut reader = Reader(rest);
        let version = reader.number().ok_or(FileError::Damaged)?;
        if version != u64::from(VERSION) {
            let found = u32::try_from(version).unwrap_or(u32::MAX);
            return Err(FileError::OtherVersion { found });
        }
        Self::read(&mut reader).ok_or(FileError::Damaged)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let length = usize::try_from(reader.number()?).ok()?;
        let heading = reader.take(length.min(HEADING_BYTES_MAX))?;
        let heading: Heading = serde_json::from_slice(heading).ok()?;
        if !heading.prompts.is_sorted() {
            return None;
        }
        let documents = heading
            .prompts
            .iter()
            .map(|_| read(reader))
            .collect::<Option<Vec<Document>>>()?;
        reader.0.is_empty().then_some(Self {
            model: heading.model,
            source: heading.source,
            prompts: heading.prompts,
            documents,
        })
    }
}

impl Fingerprints {
    /// Compares saved fingerprints. Of several of one model the first counts.
    pub fn of_saved(
        saved: &[SavedFingerprint],
        settings: &Settings,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Self {
        let mut sorted: Vec<&SavedFingerprint> = saved.iter().collect();
        sorted.sort_by(|a, b| a.model.cmp(&b.model));
        sorted.dedup_by(|a, b| a.model == b.model);
        let models: Vec<String> = sorted.iter().map(|saved| saved.model.clone()).collect();
        let prompts: BTreeSet<&String> = sorted.iter().flat_map(|saved| &saved.prompts).collect();
        let prompts: Vec<&String> = prompts.into_iter().collect();
        let documents = |prompt: usize| -> Vec<Option<Document>> {
            let of = |saved: &&SavedFingerprint| {
                let at = saved.prompts.binary_search(prompts[prompt]).ok()?;
                saved.documents.get(at).cloned()
            };
            sorted.iter().map(of).collect()
        };
        Self::from_documents(&models, prompts.len(), settings, (&documents, progress))
    }
}

/// Returns the part of a document that is saved, as it will be read back.
fn sampled(document: &Document) -> Document {
    let mut kept = Document {
        input_tokens: document.input_tokens,
        counts: document
            .counts
            .map(|counts| counts.map(|c| (c * COUNT_STEPS).round() / COUNT_STEPS)),
        usage: document
            .usage
            .map(|(chars, tokens)| (chars.round(), tokens.round())),
        ..Document::default()
    };
    for family in Family::ALL {
        let Some(features) = &document.features[family.at()] else {
            continue;
        };
        let mut sample: Vec<Feature> = features
            .iter()
            .filter(|(hash, _)| (hash >> MODEL_BITS).is_multiple_of(family.kept_one_of()))
            .map(|(hash, weight)| {
                let steps = (weight * WEIGHT_STEPS).round().max(1.0);
                (
                    hash >> (64 - KEPT_BITS) << (64 - KEPT_BITS),
                    steps / WEIGHT_STEPS,
                )
            })
            .collect();
        sample.dedup_by_key(|(hash, _)| *hash);
        kept.features[family.at()] = Some(sample);
    }
    kept
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "weights and counts are small and not negative"
)]
fn write(document: &Document, bytes: &mut Vec<u8>) {
    for features in &document.features {
        let Some(features) = features else {
            put(bytes, 0);
            continue;
        };
        put(bytes, features.len() as u64 + 1);
        let is_plain = features
            .iter()
            .all(|(_, weight)| weight.to_bits() == 1.0_f32.to_bits());
        put(bytes, u64::from(is_plain));
        let mut last = 0;
        for (hash, weight) in features {
            let place = hash >> (64 - KEPT_BITS);
            put(bytes, place - last);
            last = place;
            if !is_plain {
                put(bytes, (weight * WEIGHT_STEPS).round() as u64);
            }
        }
    }
    put(bytes, u64::from(document.counts.is_some()));
    for count in document.counts.unwrap_or_default().iter().take(COUNTS) {
        put(bytes, (count * COUNT_STEPS).round() as u64);
    }
    put(bytes, u64::from(document.usage.is_some()));
    let (chars, tokens) = document.usage.unwrap_or_default();
    put(bytes, chars as u64);
    put(bytes, tokens as u64);
    put(
        bytes,
        document
            .input_tokens
            .map_or(0, |tokens| tokens.saturating_add(1)),
    );
}

fn read(reader: &mut Reader<'_>) -> Option<Document> {
    let mut document = Document::default();
    for family in Family::ALL {
        let Some(count) = reader.number()?.checked_sub(1) else {
            continue;
        };
        let is_plain = reader.number()? == 1;
        let mut features = Vec::new();
        let mut place = 0_u64;
        for _ in 0..count {
            // Each takes at least one byte, so that a false count ends with the bytes.
            place = place.checked_add(reader.number()?)?;
            let weight = if is_plain {
                1.0
            } else {
                reader.number()? as f32 / WEIGHT_STEPS
            };
            if place >> KEPT_BITS != 0 {
                return None;
            }
            features.push((place << (64 - KEPT_BITS), weight));
        }
        document.features[family.at()] = Some(features);
    }
    let has_counts = reader.number()? == 1;
    let mut counts = [0.0; COUNTS];
    for count in &mut counts {
        *count = (reader.number()? as f32 / COUNT_STEPS).min(f32::from(u8::MAX));
    }
    document.counts = has_counts.then_some(counts);
    let has_usage = reader.number()? == 1;
    let usage = (reader.number()? as f32, reader.number()? as f32);
    document.usage = has_usage.then_some(usage);
    document.input_tokens = reader.number()?.checked_sub(1);
    Some(document)
}

#[cfg(test)]
mod tests;
