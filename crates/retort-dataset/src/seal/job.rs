//! The steps of sealing, on a blocking thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::RecordBatch;
use retort_types::digest::canonical_json;
use retort_types::{Digest, Outcome};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::card;
use super::gather::{Chunk, Span, chunk_length, is_read_once, slices};
use super::id::Id;
use super::keys::{Chosen, Final, InputFile, Keys};
use super::manifest::{
    MANIFEST_FILE, Manifest, ManifestFile, PLAN_FILE, SUMS_FILE, catalog_hash, merkle_root,
    sha256_sums,
};
use super::output::{Output, Part};
use super::spill::{SPILLS_MAX, Spill, spill};
use super::staging::Staging;
use super::{SealInput, SealProgress, SealStage, Sealed, model_slugs};
use crate::columns::Reader;
use crate::exchange::is_exchange_file;
use crate::schema::{self, Table};
use crate::segment::{Metadata, SegmentName, Source, read};
use crate::snapshot::publish;
use crate::store::{campaign_folder, segments_folder, snapshots_folder};
use crate::{DatasetError, SealError, Store, StoreError, rows};

/// Times sealing begins anew because segments were compacted, or another sealer was done, while it
/// read. A worker compacts every few minutes; after its campaign ended it does not.
const ATTEMPTS_MAX: usize = 5;

/// Listings of segments, the last of which finds nothing new unless they arrive all the time.
const LISTINGS_MAX: usize = 8;

/// One run of sealing.
#[derive(Debug)]
pub(super) struct Job {
    store: Store,
    input: SealInput,
    handle: Handle,
    progress: mpsc::Sender<SealProgress>,
}

/// Rows of one folder, in order.
type Group = (String, Vec<Span>);

impl Job {
    pub(super) const fn new(
        store: Store,
        input: SealInput,
        handle: Handle,
        progress: mpsc::Sender<SealProgress>,
    ) -> Self {
        Self {
            store,
            input,
            handle,
            progress,
        }
    }

    pub(super) fn run(self) -> Result<Sealed, SealError> {
        for _ in 1..ATTEMPTS_MAX {
            match self.seal() {
                Err(error) if has_moved(&error) => {}
                done => return done,
            }
        }
        self.seal()
    }

    fn seal(&self) -> Result<Sealed, SealError> {
        let chosen = self.read_keys()?.chosen()?;
        let snapshots = snapshots_folder(&self.input.campaign.id);
        let is_wanted = || !self.progress.is_closed();
        let staging = Staging::begin(&self.store, &snapshots, &chosen.files, &is_wanted)?;
        let sealed = self.write(&chosen, &staging.path);
        // What is left of a staging folder is in nobody's way, but takes room.
        if let Err(error) = self.handle.block_on(staging.end(&self.store)) {
            tracing::warn!(error = %error, "a staging folder stays");
        }
        sealed
    }

    /// Reads the keys of every segment. Segments are listed again until nothing new is found: a
    /// listing that ran while some were compacted may show neither the old ones nor the new one.
    fn read_keys(&self) -> Result<Keys, SealError> {
        let folder = segments_folder(&self.input.campaign.id);
        let mut keys = Keys::new(self.input.plan_hash, self.input.total);
        let mut seen = BTreeSet::new();
        for _ in 0..LISTINGS_MAX {
            let mut paths = self.handle.block_on(self.store.list(&folder))?;
            paths.retain(|path| SegmentName::parse(path).is_some() && !seen.contains(path));
            if paths.is_empty() {
                break;
            }
            let read = seen.len();
            let total = u64::try_from(read + paths.len()).unwrap_or(u64::MAX);
            for (done, path) in (read + 1..).zip(paths) {
                let bytes = self.handle.block_on(self.store.get(&path))?;
                keys.add(&path, &bytes)?;
                seen.insert(path);
                let done = u64::try_from(done).unwrap_or(u64::MAX);
                self.tell(SealStage::Reading, done, total)?;
            }
        }
        Ok(keys)
    }

    fn write(&self, chosen: &Chosen, staging: &str) -> Result<Sealed, SealError> {
        let input = &self.input;
        let metadata = Metadata::of(&input.campaign.id, input.plan_hash)
            .with_origin(catalog_hash(&input.plan_document), &chosen.software);
        let (store, handle) = (self.store.clone(), self.handle.clone());
        let mut output = Output::new(store, handle, staging.to_owned(), metadata);
        let slugs = model_slugs(chosen.finals.iter().map(|(model, _)| model.as_str()));
        let folder = |table: Table, model: &str| {
            let slug = slugs.get(model).map_or(model, String::as_str);
            format!("{table}/model_slug={slug}")
        };
        let responses = chosen.finals.iter().map(|(model, finals)| {
            let span = |f: &Final| Span {
                file: f.file,
                start: f.row,
                rows: 1,
            };
            (
                folder(Table::Responses, model),
                finals.iter().map(span).collect(),
            )
        });
        self.write_table(
            &mut output,
            chosen,
            Table::Responses,
            &responses.collect::<Vec<_>>(),
        )?;
        let tokens = self.token_spans(chosen, |model| folder(Table::Tokens, model))?;
        self.write_table(&mut output, chosen, Table::Tokens, &tokens)?;
        let attempts = chosen.attempts.iter();
        let attempts = attempts.map(|a| Span {
            file: a.file,
            start: a.row,
            rows: 1,
        });
        let attempts = ("attempts".to_owned(), attempts.collect::<Vec<_>>());
        if attempts.1.is_empty() {
            output.whole(
                Table::Attempts,
                &RecordBatch::new_empty(Table::Attempts.schema()),
            )?;
        }
        self.write_table(&mut output, chosen, Table::Attempts, &[attempts])?;
        output.whole(Table::Prompts, &rows::prompts(&input.prompts)?)?;
        output.whole(Table::Models, &rows::models(&input.models)?)?;
        output.put(PLAN_FILE, input.plan_document.clone().into(), None)?;
        self.finish(chosen, output, staging)
    }

    fn finish(
        &self,
        chosen: &Chosen,
        mut output: Output,
        staging: &str,
    ) -> Result<Sealed, SealError> {
        let input = &self.input;
        let models = outcomes_by_model(chosen);
        let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
        for (outcome, count) in models.values().flatten() {
            *outcomes.entry(*outcome).or_default() += count;
        }
        let facts = card::Facts {
            campaign: &input.campaign,
            plan_hash: input.plan_hash,
            origin: input.origin,
            files: &output.files(),
            outcomes: &outcomes,
            models: &models,
            sources: &input.models,
            last_finished_at: chosen.last_finished_at(),
        };
        card::write(&facts, &mut output)?;
        let files = output.files();
        let mut inputs: Vec<_> = chosen
            .files
            .iter()
            .map(|file| file.listed.clone())
            .collect();
        inputs.sort_by(|a, b| a.path.cmp(&b.path));
        let exchanges = self.hash_exchanges(&chosen.exchanges)?;
        let manifest = Manifest {
            schema: Manifest::SCHEMA.to_owned(),
            schema_version: schema::VERSION.to_owned(),
            campaign: input.campaign.id.clone(),
            campaign_digest: input.campaign.digest(),
            plan_hash: input.plan_hash,
            samples: input.total,
            merkle_root: merkle_root(&files),
            files,
            catalog_hash: catalog_hash(&input.plan_document),
            software: chosen.software.clone(),
            exchanges_root: (!exchanges.is_empty()).then(|| merkle_root(&exchanges)),
            exchanges,
            inputs,
            outcomes,
            models,
        };
        let text = canonical_json(&manifest).expect("texts and counts always serialize");
        let sums = sha256_sums(&manifest.files, text.as_bytes());
        output.put_unlisted(SUMS_FILE, sums.into())?;
        output.put_unlisted(MANIFEST_FILE, text.into())?;
        let published = publish::publish(&self.store, &manifest, staging);
        let (at, existed) = self.handle.block_on(published)?;
        Ok(Sealed {
            path: at.path,
            seq: at.seq,
            merkle_root: manifest.merkle_root,
            rows: input.total,
            outcomes: manifest.outcomes,
            existed,
        })
    }

    /// Returns the files of exchanges with their hashes, each of which must be there.
    fn hash_exchanges(&self, files: &[String]) -> Result<Vec<ManifestFile>, SealError> {
        let folder = campaign_folder(&self.input.campaign.id);
        let total = u64::try_from(files.len()).unwrap_or(u64::MAX);
        let mut hashed = Vec::with_capacity(files.len());
        for (done, file) in (1..).zip(files) {
            if !is_exchange_file(file) {
                let what = "a row points to it, and it is no file of exchanges";
                return Err(DatasetError::damaged(file, what).into());
            }
            let bytes = self
                .handle
                .block_on(self.store.get(&format!("{folder}/{file}")))?;
            hashed.push(ManifestFile {
                path: file.clone(),
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                rows: None,
                sha256: Digest::of(&bytes),
            });
            self.tell(SealStage::Exchanges, done, total)?;
        }
        Ok(hashed)
    }

    fn write_table(
        &self,
        output: &mut Output,
        chosen: &Chosen,
        table: Table,
        groups: &[Group],
    ) -> Result<(), SealError> {
        let rows = |spans: &[Span]| spans.iter().map(|span| u64::from(span.rows)).sum::<u64>();
        let total = groups.iter().map(|(_, spans)| rows(spans)).sum();
        // Chunks run over the borders of groups, so that many small groups cost one pass together.
        let (folders, all): (Vec<usize>, Vec<&[Span]>) = groups
            .iter()
            .enumerate()
            .flat_map(|(group, (_, spans))| slices(spans).into_iter().map(move |s| (group, s)))
            .unzip();
        let mut chunks = Vec::new();
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let (now, after) = rest.split_at(chunk_length(rest, &chosen.files));
            chunks.push(now);
            rest = after;
        }
        let mut part: Option<(usize, Part)> = None;
        let (mut at, mut done) = (0, 0);
        for several in chunks.chunks(SPILLS_MAX) {
            let mut spills = self.spill(table, chosen, several)?.into_iter();
            for chunk_slices in several {
                let chunk = match spills.next() {
                    Some(spill) => spill.load()?,
                    None => {
                        Chunk::read(table, &chosen.files, chunk_slices, |path| self.open(path))?
                    }
                };
                for (slice, group) in chunk_slices.iter().zip(folders.iter().skip(at)) {
                    let folder = groups.get(*group).map_or("", |(folder, _)| folder);
                    let part = output.part_of(&mut part, *group, table, folder)?;
                    chunk.write(slice, &mut |slice| Ok(output.write(part, &slice)?))?;
                    done += rows(slice);
                    self.tell(stage_of(table), done, total)?;
                }
                at += chunk_slices.len();
            }
        }
        if let Some((_, mut part)) = part {
            output.finish(&mut part)?;
        }
        Ok(())
    }

    fn open(&self, path: &str) -> Result<Source, DatasetError> {
        Ok(self.handle.block_on(Source::open(&self.store, path))?)
    }

    /// Puts the rows of `chunks` aside, unless they can as well be read when their turn comes.
    fn spill(
        &self,
        table: Table,
        chosen: &Chosen,
        chunks: &[&[&[Span]]],
    ) -> Result<Vec<Spill>, DatasetError> {
        if is_read_once(&chosen.files, chunks) {
            return Ok(Vec::new());
        }
        // Beside the snapshot, where as much room is needed anyway.
        let snapshots = snapshots_folder(&self.input.campaign.id);
        let folder = self.store.local_path(&snapshots);
        let mut open = |path: &str| self.open(path);
        spill(table, &chosen.files, chunks, folder.as_deref(), &mut open)
    }

    /// Finds the tokens of the chosen rows, beside the `responses` file each row came from.
    fn token_spans(
        &self,
        chosen: &Chosen,
        folder: impl Fn(&str) -> String,
    ) -> Result<Vec<Group>, SealError> {
        let mut wanted: BTreeSet<u32> = BTreeSet::new();
        let finals = chosen.finals.iter().flat_map(|(_, finals)| finals);
        wanted.extend(finals.filter(|f| f.has_logprobs).map(|f| f.file));
        let numbers: HashMap<&str, u32> =
            chosen.files.iter().map(InputFile::path).zip(0..).collect();
        let mut found = HashMap::new();
        for file in wanted {
            let responses = usize::try_from(file).ok().and_then(|n| chosen.files.get(n));
            let Some(responses) = responses else { continue };
            let path = responses.name.path(Table::Tokens);
            let Some(&tokens) = numbers.get(path.as_str()) else {
                let what = format!("its log probabilities, `{path}`, are not there");
                return Err(DatasetError::damaged(responses.path(), what).into());
            };
            let source = self.open(&path)?;
            found.insert(file, token_runs(source, &path, tokens)?);
        }
        let mut groups = Vec::new();
        for (model, finals) in &chosen.finals {
            let mut spans = Vec::new();
            for f in finals.iter().filter(|f| f.has_logprobs) {
                let span = found.get(&f.file).and_then(|runs| runs.get(&f.attempt_id));
                let Some(span) = span else {
                    let file = usize::try_from(f.file)
                        .ok()
                        .and_then(|n| chosen.files.get(n));
                    let path = file.map_or("a segment", InputFile::path);
                    let what = format!("attempt {} has no log probabilities", f.attempt_id);
                    return Err(DatasetError::damaged(path, what).into());
                };
                spans.push(*span);
            }
            if !spans.is_empty() {
                groups.push((folder(model), spans));
            }
        }
        Ok(groups)
    }

    /// Tells how far it is; fails when nobody waits for the snapshot any more.
    fn tell(&self, stage: SealStage, done: u64, total: u64) -> Result<(), DatasetError> {
        let note = SealProgress { stage, done, total };
        let told = self.progress.blocking_send(note);
        told.map_err(|_| DatasetError::Closed)
    }
}

/// Returns whether something that was there is gone.
const fn has_moved(error: &SealError) -> bool {
    matches!(
        error,
        SealError::Dataset(DatasetError::Store(StoreError::NotFound { .. }))
    )
}

const fn stage_of(table: Table) -> SealStage {
    match table {
        Table::Tokens => SealStage::Tokens,
        Table::Attempts => SealStage::Attempts,
        Table::Responses | Table::Prompts | Table::Models => SealStage::Responses,
    }
}

fn outcomes_by_model(chosen: &Chosen) -> BTreeMap<String, BTreeMap<Outcome, u64>> {
    let mut models = BTreeMap::new();
    for (model, finals) in &chosen.finals {
        let counts: &mut BTreeMap<Outcome, u64> = models.entry(model.clone()).or_default();
        for found in finals {
            *counts.entry(found.outcome).or_default() += 1;
        }
    }
    models
}

/// Returns where the tokens of each attempt are in the file at `path`: the first run of each.
fn token_runs(source: Source, path: &str, file: u32) -> Result<HashMap<Id, Span>, DatasetError> {
    let mut runs: HashMap<Id, Span> = HashMap::new();
    let mut current: Option<(Id, Span)> = None;
    let mut at = 0;
    for batch in read(source, path, Table::Tokens, &["attempt_id", "position"])? {
        let batch = batch?;
        let reader = Reader::new(&batch, path);
        let (ids, positions) = (reader.text("attempt_id")?, reader.u32("position")?);
        for row in 0..batch.num_rows() {
            let id = Id::of(ids.value(row));
            match &mut current {
                Some((of, span)) if *of == id && positions.value(row) == span.rows => {
                    span.rows += 1;
                }
                other => {
                    if let Some((id, span)) = other.take() {
                        runs.entry(id).or_insert(span);
                    }
                    let span = Span {
                        file,
                        start: at,
                        rows: 1,
                    };
                    *other = Some((id, span));
                }
            }
            at += 1;
        }
    }
    if let Some((id, span)) = current {
        runs.entry(id).or_insert(span);
    }
    Ok(runs)
}
