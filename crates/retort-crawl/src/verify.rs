//! Whether a snapshot is what was planned, asked, answered and sealed.
//!
//! Everything that is in it is derived again: hashes and Merkle roots from the files, samples and
//! their order from the plan and its seed, replies from the stored exchanges by the decoders of
//! today. What differs is told with file and row, and so is what could not be checked.

mod oracle;

use std::collections::BTreeMap;

use retort_dataset::audit::audit;
use retort_dataset::snapshot::{Exchanges, Finding, Snapshot};
use retort_dataset::{DatasetError, ModelRow, signature};
use retort_plan::{Plan, PlanDocument};
use retort_types::Digest;
use serde::Serialize;

use oracle::PlanOracle;

pub use crate::decoding::{Shown, shown};

/// How a snapshot is verified.
#[derive(Debug, Default)]
pub struct Options {
    /// Where the exchanges are, when they were delivered.
    pub exchanges: Option<Exchanges>,
    /// The public key that must have signed it, as text.
    pub key: Option<String>,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Hashing files; counts bytes.
    Files,
    /// Hashing files of exchanges; counts bytes.
    Exchanges,
    /// Comparing rows; counts rows of `responses` and `attempts`.
    Rows,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether nothing differs. What could not be checked is no difference.
    pub intact: bool,
    /// The Merkle root, computed anew.
    pub merkle_root: Digest,
    /// The plan.
    pub plan_hash: Digest,
    /// Files that were hashed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows of `responses`.
    pub responses: u64,
    /// Rows of `attempts`.
    pub attempts: u64,
    /// Files of exchanges that were hashed.
    pub exchange_files: u64,
    /// Exchanges that were decoded again and compared with their rows.
    pub exchanges: u64,
    /// The signature's signed comment, when a key was given and it holds.
    pub signed: Option<String>,
    /// What differs.
    pub findings: Vec<Finding>,
    /// How much more differs.
    pub more_findings: u64,
    /// What could not be checked, with a number where there is one.
    pub unchecked: BTreeMap<String, Option<u64>>,
}

/// Verifies a snapshot; `progress` is told what is done, at times.
///
/// # Errors
/// When the store fails. Whatever is wrong with the snapshot is in the report.
pub async fn verify(
    snapshot: &Snapshot,
    options: Options,
    progress: &(dyn Fn(Stage, u64) + Sync),
) -> Result<Report, DatasetError> {
    let files = snapshot
        .check_files(&|bytes| progress(Stage::Files, bytes))
        .await?;
    let mut report = Report {
        intact: false,
        merkle_root: files.merkle_root,
        plan_hash: snapshot.manifest.plan_hash,
        files: files.files,
        bytes: files.bytes,
        responses: 0,
        attempts: 0,
        exchange_files: 0,
        exchanges: 0,
        signed: None,
        findings: files.findings,
        more_findings: 0,
        unchecked: BTreeMap::new(),
    };
    check_signature(snapshot, options.key.as_deref(), &mut report).await?;
    let exchanges = check_exchanges(snapshot, options.exchanges, &mut report, progress).await?;
    if let Some(plan) = load_plan(snapshot, &mut report).await? {
        let oracle = PlanOracle::new(plan);
        let rows = |count| progress(Stage::Rows, count);
        let audited = audit(snapshot, &oracle, exchanges, &rows).await?;
        report.responses = audited.responses;
        report.attempts = audited.attempts;
        report.exchanges = audited.exchanges;
        report.findings.extend(audited.findings);
        report.more_findings = audited.more_findings;
        let unchecked = audited.unchecked.into_iter();
        report
            .unchecked
            .extend(unchecked.map(|(why, count)| (why, Some(count))));
    }
    report.intact = report.findings.is_empty();
    Ok(report)
}

async fn check_signature(
    snapshot: &Snapshot,
    key: Option<&str>,
    report: &mut Report,
) -> Result<(), DatasetError> {
    const FILE: &str = "MANIFEST.json.minisig";
    match (snapshot.signature().await?, key) {
        (None, None) => {}
        (Some(_), None) => {
            let what = "the signature, for want of a public key";
            report.unchecked.insert(what.to_owned(), None);
        }
        (None, Some(_)) => report
            .findings
            .push(Finding::of_file(FILE, "the snapshot is not signed")),
        (Some(signature), Some(key)) => {
            let manifest = snapshot.file("MANIFEST.json").await?;
            let text = String::from_utf8_lossy(&signature);
            match signature::check(key, &manifest, &text) {
                Ok(comment) => report.signed = Some(comment),
                Err(error) => report
                    .findings
                    .push(Finding::of_file(FILE, error.to_string())),
            }
        }
    }
    Ok(())
}

/// Hashes the files of exchanges and returns where they are, when any was delivered.
async fn check_exchanges(
    snapshot: &Snapshot,
    exchanges: Option<Exchanges>,
    report: &mut Report,
    progress: &(dyn Fn(Stage, u64) + Sync),
) -> Result<Option<Exchanges>, DatasetError> {
    let Some(exchanges) = exchanges else {
        return Ok(None);
    };
    if exchanges.is_empty().await? {
        return Ok(None);
    }
    let note = |bytes| progress(Stage::Exchanges, bytes);
    let (findings, hashed, absent) = exchanges.check_files(snapshot, &note).await?;
    report.findings.extend(findings);
    report.exchange_files = hashed;
    if absent > 0 {
        let what = "files of exchanges that were not delivered";
        report.unchecked.insert(what.to_owned(), Some(absent));
    }
    Ok(Some(exchanges))
}

/// Returns the plan of a snapshot when it is the one that the manifest names.
async fn load_plan(snapshot: &Snapshot, report: &mut Report) -> Result<Option<Plan>, DatasetError> {
    const FILE: &str = "plan.json";
    let bytes = match snapshot.file(FILE).await {
        Ok(bytes) => bytes,
        Err(DatasetError::Store(error)) if error.is_not_found() => {
            let what = "rows, as the snapshot has no plan";
            report.unchecked.insert(what.to_owned(), None);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let manifest = &snapshot.manifest;
    let mut wrong = |what: String| report.findings.push(Finding::of_file(FILE, what));
    let read = serde_json::from_slice::<PlanDocument>(&bytes).map_err(|error| error.to_string());
    let plan =
        read.and_then(|document| Plan::from_document(document).map_err(|error| error.to_string()));
    let plan = match plan {
        Ok(plan) => plan,
        Err(why) => {
            wrong(format!("it is no plan: {why}"));
            return Ok(None);
        }
    };
    let campaign = plan.campaign();
    if plan.hash() != manifest.plan_hash || Digest::of(&bytes) != manifest.plan_hash {
        wrong("it is not the plan that the manifest names".to_owned());
    }
    if campaign.id != manifest.campaign || campaign.digest() != manifest.campaign_digest {
        wrong("its campaign is not the one that the manifest names".to_owned());
    }
    Ok(Some(plan))
}

/// Returns the rows of `models` that a plan makes.
pub fn model_rows(plan: &Plan) -> Vec<ModelRow> {
    let models = plan.document().models.iter().map(|model| ModelRow {
        name: model.name.clone(),
        request_model: model.request_model.clone(),
        provider: model.provider.clone(),
        account: model.account.clone(),
        domain: model.domain.clone(),
        wire: model.wire,
        host: model.host.clone(),
        price: model.price.clone(),
        vendor: model.vendor.clone(),
        family: model.family.clone(),
        base: model.base.clone(),
        tokenizer: model.tokenizer.clone(),
        released: model.released.clone(),
        known_relations: model.known_relations.clone(),
    });
    models.collect()
}
