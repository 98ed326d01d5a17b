//! Whether a snapshot is what was planned, asked, answered and sealed.
//!
//! Everything that is in it is derived again: hashes and Merkle roots from the files, samples and
//! their order from the plan and its seed, replies from the stored exchanges by the decoders of
//! today. What differs is told with file and row, and so is what could not be checked.

mod oracle;

use std::collections::BTreeMap;

use retort_dataset::audit::{audit, audit_import};
use retort_dataset::import::ImportDocument;
use retort_dataset::seal::PLAN_FILE;
use retort_dataset::snapshot::{Exchanges, Finding, Snapshot};
use retort_dataset::{DatasetError, ModelRow, ServedBy, signature};
use retort_plan::{Plan, PlanDocument};
use retort_types::Digest;
use serde::{Deserialize, Serialize};

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
    let basis = load_plan(snapshot, &mut report).await?;
    if let Some(Basis::Import(document)) = &basis {
        check_import(snapshot, document, &mut report, progress).await?;
    }
    if let Some(Basis::Plan(plan)) = basis {
        let oracle = PlanOracle::new(*plan);
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

/// What the rows of a snapshot follow from.
enum Basis {
    /// The plan of a crawl.
    Plan(Box<Plan>),
    /// Files that others collected.
    Import(Box<ImportDocument>),
}

/// Returns the plan of a snapshot when it is the one that the manifest names.
async fn load_plan(
    snapshot: &Snapshot,
    report: &mut Report,
) -> Result<Option<Basis>, DatasetError> {
    let bytes = match snapshot.file(PLAN_FILE).await {
        Ok(bytes) => bytes,
        Err(DatasetError::Store(error)) if error.is_not_found() => {
            let what = "rows, as the snapshot has no plan";
            report.unchecked.insert(what.to_owned(), None);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let manifest = &snapshot.manifest;
    let mut wrong = |what: String| report.findings.push(Finding::of_file(PLAN_FILE, what));
    let (basis, hash) = match basis_of(&bytes) {
        Ok(read) => read,
        Err(why) => {
            wrong(format!("it is no plan: {why}"));
            return Ok(None);
        }
    };
    let campaign = match &basis {
        Basis::Plan(plan) => plan.campaign(),
        Basis::Import(document) => &document.campaign,
    };
    if hash != manifest.plan_hash || Digest::of(&bytes) != manifest.plan_hash {
        wrong("it is not the plan that the manifest names".to_owned());
    }
    if campaign.id != manifest.campaign || campaign.digest() != manifest.campaign_digest {
        wrong("its campaign is not the one that the manifest names".to_owned());
    }
    Ok(Some(basis))
}

/// Returns what a plan file says, and its hash.
fn basis_of(bytes: &[u8]) -> Result<(Basis, Digest), String> {
    let told = |error: serde_json::Error| error.to_string();
    let schema: Schema = serde_json::from_slice(bytes).map_err(told)?;
    if schema.schema.as_deref() == Some(ImportDocument::SCHEMA) {
        let document = serde_json::from_slice(bytes).map_err(told)?;
        return Ok((Basis::Import(document), Digest::of(bytes)));
    }
    let document: PlanDocument = serde_json::from_slice(bytes).map_err(told)?;
    let plan = Plan::from_document(document).map_err(|error| error.to_string())?;
    let hash = plan.hash();
    Ok((Basis::Plan(Box::new(plan)), hash))
}

#[derive(Deserialize)]
struct Schema {
    schema: Option<String>,
}

/// Checks what can be checked of an import: that it has the rows it says, each once. There is no
/// plan and no exchange from which they could be derived.
async fn check_import(
    snapshot: &Snapshot,
    document: &ImportDocument,
    report: &mut Report,
    progress: &(dyn Fn(Stage, u64) + Sync),
) -> Result<(), DatasetError> {
    let rows = |count| progress(Stage::Rows, count);
    let (responses, findings) = audit_import(snapshot, document.total, &rows).await?;
    report.responses = responses;
    report.findings.extend(findings);
    let what = "rows that were imported, which follow from no plan and no exchange";
    report
        .unchecked
        .insert(what.to_owned(), Some(report.responses));
    Ok(())
}

/// Returns the rows of `models` that a plan makes.
pub fn model_rows(plan: &Plan) -> Vec<ModelRow> {
    let models = plan.document().models.iter().map(|model| ModelRow {
        name: model.name.clone(),
        request_model: model.request_model.clone(),
        served: Some(ServedBy {
            provider: model.provider.clone(),
            terms: model.terms.clone(),
            account: model.account.clone(),
            domain: model.domain.clone(),
            wire: model.wire,
            host: model.host.clone(),
        }),
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
