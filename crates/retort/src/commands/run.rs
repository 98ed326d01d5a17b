//! `retort run`: coordinator and worker in one process, over an in-memory broker and a local folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retort_broker::{Broker, MemoryBroker};
use retort_client::HttpClient;
use retort_crawl::control;
use retort_crawl::submit::{self, SubmitError};
use retort_crawl::worker::WorkerParts;
use retort_crawl::{
    Coordinator, CoordinatorParts, CrawlError, Finish, PaceStore, SOFTWARE, State, Worker,
};
use retort_dataset::snapshot::Snapshot;
use retort_dataset::{Committed, DatasetError, SpoolError, Store, Writer};
use retort_plan::{Plan, Resolved};
use retort_types::CampaignId;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::Context;
use super::dataset::{seal_campaign, sealed_table};
use super::detect::note_registered;
use super::keys::Signer;
use super::plan::print_terms;
use super::signals::interrupts;
use crate::cli::Run;
use crate::config::Config;
use crate::failure::{Failure, INTERRUPTED, MISSING};
use crate::files::{self, Loaded};
use crate::output::{self, line, note};
use crate::{progress, secrets};

/// The name of the only worker, in rows and file names.
const WORKER: &str = "local";

/// How often a stop that takes long says what it waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the end of a recovery is looked for.
const RECOVERY_PAUSE: Duration = Duration::from_millis(10);

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome {
    campaign: CampaignId,
    finish: &'static str,
    planned: u64,
    missing: u64,
    snapshot: Option<String>,
}

/// Carries a campaign out.
pub(crate) async fn run(context: &Context, args: &Run) -> Result<u8, Failure> {
    let config = &context.loaded.config;
    let signer = args.sign.as_deref().map(Signer::open).transpose()?;
    let loaded = files::load(&args.campaign, config, args.sim.as_deref(), &context.clock)?;
    let targets = secrets::targets(&loaded.resolved.endpoints)?;
    let client = HttpClient::new(config.client.clone(), SOFTWARE, Arc::clone(&context.clock))?;
    check_addresses(&client, &loaded.resolved)?;
    let store = files::store(context)?;
    let Loaded {
        plan,
        resolved,
        catalog,
        fleet,
    } = loaded;
    print_terms(&plan, &catalog);
    note_registered(plan.campaign());
    if args.retry_missing {
        refuse_cancelled(&store, &plan.campaign().id).await?;
    }
    let plan = submit_plan(&store, plan).await?;
    let (writer, committed) = start_writer(context, &store, &plan.campaign().id).await?;
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let mut coordinator = Coordinator::open(CoordinatorParts {
        plan: Arc::clone(&plan),
        domains: resolved.domains.clone(),
        endpoints: resolved
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.name.clone(), endpoint.clone()))
            .collect(),
        store: store.clone(),
        broker: Arc::clone(&broker),
        writer: writer.clone(),
        clock: Arc::clone(&context.clock),
        settings: config.coordinator.clone(),
        retry_missing: args.retry_missing,
        membership: None,
    })
    .await?;
    let worker = Worker::start(WorkerParts {
        worker_id: WORKER.to_owned(),
        broker,
        client: Arc::new(client),
        writer,
        committed,
        pace_store: pace_store(config)?,
        clock: Arc::clone(&context.clock),
        targets,
        domains: resolved.domains,
        settings: config.worker.clone(),
        pace: config.pace.clone(),
    })
    .await?;
    let sealing = Sealing {
        store: &store,
        plan: &plan,
        json: args.json,
        context,
        signer: signer.as_ref(),
    };
    let code = carry_out(&mut coordinator, worker, sealing).await?;
    if let Some(fleet) = fleet {
        fleet.shutdown();
    }
    Ok(code)
}

/// A cancelled campaign would end again at once whatever is asked for anew.
async fn refuse_cancelled(store: &Store, id: &CampaignId) -> Result<(), Failure> {
    if control::standing(store, id).await? == Some(control::Wish::Cancel) {
        return Err(Failure::bad(format!("campaign `{id}` is cancelled"))
            .hint(format!("take it back with `retort resume {id}`")));
    }
    Ok(())
}

/// Puts the campaign into the store, or finds it there.
async fn submit_plan(store: &Store, plan: Plan) -> Result<Arc<Plan>, Failure> {
    let submitted = submit::submit(store, plan).await.map_err(explain)?;
    let plan = submitted.plan;
    note(&format!(
        "campaign `{}`: {} samples of {} models, plan {}{}",
        plan.campaign().id,
        output::count(plan.len()),
        plan.model_count(),
        plan.hash().short(),
        if submitted.existed {
            ", going on where it stopped"
        } else {
            ""
        }
    ));
    Ok(Arc::new(plan))
}

/// Starts the writer; what an earlier run left in its spool becomes durable before anything is
/// read from the store, so that it is counted once.
async fn start_writer(
    context: &Context,
    store: &Store,
    id: &CampaignId,
) -> Result<(Writer, mpsc::Receiver<Committed>), Failure> {
    let config = &context.loaded.config;
    let spool = spool_dir(config, store, id)?;
    let clock = Arc::clone(&context.clock);
    let started = Writer::start(&spool, store.clone(), WORKER, config.writer.clone(), clock);
    let (writer, mut committed, recovered) = started.map_err(|error| explain_spool(error, id))?;
    if recovered.records > 0 {
        note(&format!(
            "{} replies of an earlier run were waiting in the spool; they are kept",
            recovered.records
        ));
    }
    let flusher = writer.clone();
    let flushing = tokio::spawn(async move { flusher.flush().await });
    while !flushing.is_finished() {
        // Batches wait for a reader; these are counted when the ledger is read.
        drop(tokio::time::timeout(RECOVERY_PAUSE, committed.recv()).await);
    }
    flushing.await??;
    while committed.try_recv().is_ok() {}
    Ok((writer, committed))
}

fn pace_store(config: &Config) -> Result<PaceStore, Failure> {
    let folder = files::state_dir(config)?;
    let locks = folder.join("locks");
    Ok(PaceStore::new(
        Store::open(&folder.display().to_string())?,
        Some(locks),
    ))
}

/// Runs until done or stopped, then stops the worker without losing anything, and seals.
async fn carry_out(
    coordinator: &mut Coordinator,
    mut worker: Worker,
    sealing: Sealing<'_>,
) -> Result<u8, Failure> {
    let (stop, stopping) = watch::channel(false);
    let shown = tokio::spawn(progress::show(coordinator.statuses()));
    let interrupt = interrupts(stop)?;
    let finish = tokio::select! {
        finish = coordinator.run(stopping.clone()) => finish,
        error = worker.failed() => Err(error),
    };
    if matches!(finish, Ok(Finish::Stopped)) {
        note("stopping: waiting for the requests in the air; Ctrl-C again to give them up");
    }
    let stopped = stop_worker(worker).await;
    coordinator.settle().await;
    let code = match finish {
        Ok(finish) => finish_up(coordinator, sealing, finish, stopping).await,
        Err(error) => Err(error.into()),
    };
    interrupt.abort();
    shown.abort();
    stopped?;
    code
}

/// Stops a worker, and says every few seconds what it waits for.
pub(super) async fn stop_worker(worker: Worker) -> Result<(), CrawlError> {
    let watcher = worker.watcher();
    let stopping = worker.stop();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            stopped = &mut stopping => return stopped,
            () = tokio::time::sleep(PATIENCE) => match watcher.stalled() {
                Some(reason) => note(&format!("replies wait to be stored: {reason}")),
                None => note("still waiting for requests in the air"),
            }
        }
    }
}

/// What is sealed, and how the result is told.
struct Sealing<'a> {
    store: &'a Store,
    plan: &'a Plan,
    json: bool,
    context: &'a Context,
    signer: Option<&'a Signer>,
}

async fn finish_up(
    coordinator: &mut Coordinator,
    sealing: Sealing<'_>,
    finish: Finish,
    mut stopping: watch::Receiver<bool>,
) -> Result<u8, Failure> {
    let Sealing {
        store,
        plan,
        json,
        context,
        signer,
    } = sealing;
    let mut sealed = None;
    if finish == Finish::Complete {
        coordinator.tell(Some((State::Sealing, None))).await;
        sealed = tokio::select! {
            sealed = seal_campaign(store, plan) => Some(sealed?),
            // Sealing again is safe, so nothing is waited for.
            _ = stopping.wait_for(|stop| *stop) => None,
        };
    }
    let Some(sealed) = sealed else {
        coordinator.tell(Some((State::Interrupted, None))).await;
        note("interrupted; the same command goes on from here");
        return Ok(INTERRUPTED);
    };
    if let Some(signer) = signer {
        let snapshot = Snapshot::open(store, &sealed.path).await?;
        signer.sign(context, &snapshot).await?;
    }
    coordinator
        .tell(Some((State::Sealed, Some(sealed.path.clone()))))
        .await;
    let missing = coordinator.statuses().borrow().missing;
    if json {
        output::json(&Outcome {
            campaign: plan.campaign().id.clone(),
            finish: "sealed",
            planned: plan.len(),
            missing,
            snapshot: Some(sealed.path),
        })?;
    } else {
        line(&sealed_table(store, &sealed.path).await?);
    }
    if missing > 0 {
        note(&format!(
            "{} samples ended without a measurement; once the cause is gone: retort run … --retry-missing",
            output::count(missing)
        ));
    }
    Ok(if missing > 0 { MISSING } else { 0 })
}

/// Checks every address before anything is asked: contact, scheme, host.
pub(super) fn check_addresses(client: &HttpClient, resolved: &Resolved) -> Result<(), Failure> {
    for endpoint in &resolved.endpoints {
        if let Err(error) = client.check_url(&endpoint.base_url) {
            let hint =
                "requests beyond this machine name whom to write to: --contact you@example.org";
            return Err(Failure::usage(
                anyhow::Error::new(error)
                    .context(format!("model `{}` cannot be asked", endpoint.name)),
            )
            .hint(hint));
        }
    }
    Ok(())
}

fn spool_dir(config: &Config, store: &Store, id: &CampaignId) -> Result<PathBuf, Failure> {
    if let Some(dir) = &config.spool_dir {
        return Ok(Path::new(dir).join(id.as_str()));
    }
    match store.local_path("spool") {
        Some(folder) => Ok(folder.join(id.as_str())),
        None => Ok(files::state_dir(config)?.join("spool").join(id.as_str())),
    }
}

pub(super) fn explain(error: SubmitError) -> Failure {
    let hint = match &error {
        SubmitError::Conflict(_) => {
            Some("a submitted campaign never changes: give this one another id")
        }
        SubmitError::CatalogChanged { .. } => Some(
            "undo the change of wire, address, model or options, or give the campaign another id; limits, keys and prices may change",
        ),
        SubmitError::DomainsChanged { .. } => Some(
            "limits may change, but stay where they were: on the account, or on models and their groups",
        ),
        SubmitError::Store(_) | SubmitError::Damaged { .. } => None,
    };
    Failure::from(error).maybe_hint(hint)
}

fn explain_spool(error: DatasetError, id: &CampaignId) -> Failure {
    let held = matches!(error, DatasetError::Spool(SpoolError::Locked { .. }));
    let failure = Failure::from(error);
    if held {
        failure.hint(format!(
            "`{id}` is being carried out already: retort status {id} --watch"
        ))
    } else {
        failure
    }
}

/// How long a status stays true without being told again.
pub(super) const STATUS_FRESH: Duration = Duration::from_secs(10);
