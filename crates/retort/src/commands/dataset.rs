//! `retort dataset`: seal a campaign's rows into a snapshot, and show one.

use std::path::Path;

use retort_crawl::{sealing, submit};
use retort_dataset::import::is_imported;
use retort_dataset::seal::Sealed;
use retort_dataset::snapshot::{self, ModelSummary, Snapshot};
use retort_dataset::{SealError, Store};
use retort_plan::Plan;
use retort_types::{CampaignId, Outcome};
use serde_json::json;

use super::keys::Signer;
use super::{Context, row, target};
use crate::cli::{Seal, Show};
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Table, count, dollars, line};

/// Makes a snapshot.
pub(crate) async fn seal(context: &Context, args: &Seal) -> Result<u8, Failure> {
    let signer = args.sign.as_deref().map(Signer::open).transpose()?;
    let store = files::store(context)?;
    require_campaign(&store, &args.campaign).await?;
    let plan = submit::load_plan(&store, &args.campaign)
        .await
        .map_err(super::run::explain)?;
    let sealed = seal_campaign(&store, &plan).await?;
    if let Some(signer) = &signer {
        let snapshot = Snapshot::open(&store, &sealed.path).await?;
        signer.sign(context, &snapshot).await?;
    }
    print_sealed(&store, &sealed, args.json).await
}

/// Prints what was sealed, as a table or as JSON.
pub(super) async fn print_sealed(
    store: &Store,
    sealed: &Sealed,
    as_json: bool,
) -> Result<u8, Failure> {
    if as_json {
        output::json(&json!({
            "path": sealed.path,
            "merkle_root": sealed.merkle_root,
            "rows": sealed.rows,
            "outcomes": sealed.outcomes,
            "existed": sealed.existed,
        }))?;
    } else {
        line(&sealed_table(store, &sealed.path).await?);
    }
    Ok(0)
}

/// Shows a snapshot, or one row.
pub(crate) async fn show(context: &Context, args: &Show) -> Result<u8, Failure> {
    let snapshots = match target::folder(Path::new(&args.target)).await? {
        Some(snapshot) => vec![snapshot],
        None => target::named(context, &args.target, args.row.is_none()).await?,
    };
    let is_row = snapshots.is_empty() || args.row.is_some();
    if is_row || args.raw {
        return row::show(context, args, snapshots).await;
    }
    for snapshot in &snapshots {
        if args.json {
            output::json(&snapshot::summarize(snapshot).await?)?;
        } else {
            line(&snapshot_table(snapshot).await?);
        }
    }
    Ok(0)
}

/// Returns an error with a hint unless the store has this campaign.
pub(super) async fn require_campaign(store: &Store, campaign: &CampaignId) -> Result<(), Failure> {
    if submit::load_campaign(store, campaign)
        .await
        .map_err(super::run::explain)?
        .is_some()
    {
        return Ok(());
    }
    if is_imported(store, campaign).await? {
        return Err(Failure::bad(format!(
            "campaign `{campaign}` was imported and asks nobody"
        ))
        .hint(format!("`retort dataset show {campaign}` shows it")));
    }
    let known: Vec<String> = campaigns(store)
        .await?
        .iter()
        .map(ToString::to_string)
        .collect();
    let hint = match known.as_slice() {
        [] => format!(
            "the store {} has no campaigns; name another with --store",
            store.url()
        ),
        known => format!("the store has: {}", known.join(", ")),
    };
    Err(Failure::bad(format!("there is no campaign `{campaign}`")).hint(hint))
}

/// Returns an error with a hint unless the store has this campaign, crawled or imported.
pub(super) async fn require_dataset(store: &Store, campaign: &CampaignId) -> Result<(), Failure> {
    if is_imported(store, campaign).await? {
        return Ok(());
    }
    require_campaign(store, campaign).await
}

/// Returns the campaigns of a store, in order.
pub(super) async fn campaigns(store: &Store) -> Result<Vec<CampaignId>, Failure> {
    let mut campaigns: Vec<CampaignId> = store
        .list_folder("campaigns")
        .await?
        .0
        .iter()
        .filter_map(|name| CampaignId::new(name).ok())
        .collect();
    campaigns.sort();
    Ok(campaigns)
}

/// Seals a campaign by its plan.
pub(super) async fn seal_campaign(store: &Store, plan: &Plan) -> Result<Sealed, Failure> {
    match sealing::seal(store, plan).await {
        Ok(sealed) => Ok(sealed),
        Err(error) => {
            let open = matches!(error, SealError::Incomplete { .. });
            let failure = Failure::from(error);
            Err(if open {
                failure.hint("carry it out with `retort run`, or end it with `retort cancel` and `retort run`")
            } else {
                failure
            })
        }
    }
}

/// Returns the table of a snapshot per model, and where to find it.
pub(super) async fn sealed_table(store: &Store, path: &str) -> Result<String, Failure> {
    snapshot_table(&Snapshot::open(store, path).await?).await
}

async fn snapshot_table(snapshot: &Snapshot) -> Result<String, Failure> {
    let mut table = Table::new(
        "lrrrrrrrrrr",
        &[
            "model",
            "planned",
            "answered",
            "refused",
            "failed",
            "retries",
            "median",
            "p95",
            "tokens in",
            "tokens out",
            "cost",
        ],
    );
    for model in &snapshot::summarize(snapshot).await? {
        table.row(row(model));
    }
    let place = snapshot.place();
    Ok(format!(
        "{table}\n\nsnapshot  {place}\nplan      {}\nopen it   duckdb -c \"select model, outcome, count(*) from '{place}/responses/**/*.parquet' group by all\"",
        snapshot.manifest.plan_hash.short()
    ))
}

fn row(model: &ModelSummary) -> Vec<String> {
    let ended = |outcome: Outcome| model.outcomes.get(&outcome).copied().unwrap_or(0);
    let ms =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} ms"));
    vec![
        model.model.clone(),
        count(model.planned),
        count(ended(Outcome::Answered)),
        count(ended(Outcome::Refused)),
        count(model.planned - ended(Outcome::Answered) - ended(Outcome::Refused)),
        count(model.retries),
        ms(model.latency_ms_p50),
        ms(model.latency_ms_p95),
        count(model.input_tokens),
        count(model.output_tokens),
        model.cost_usd.map_or_else(|| "-".to_owned(), dollars),
    ]
}
