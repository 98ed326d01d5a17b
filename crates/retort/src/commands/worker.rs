//! `retort worker`: asks for a fleet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use retort_broker::AmqpBroker;
use retort_client::HttpClient;
use retort_crawl::message::{DomainReport, Tally};
use retort_crawl::worker::{Watcher, WorkerParts, find_queues};
use retort_crawl::{PaceStore, SOFTWARE, Target, Worker};
use retort_dataset::{Store, Writer};
use retort_pace::LaneState;
use retort_plan::Resolved;
use retort_types::{DomainId, ModelName};
use tokio::sync::watch;

use super::fleet::Waits;
use super::run::{check_addresses, stop_worker};
use super::signals::interrupts;
use super::{Context, fleet};
use crate::cli::WorkerArgs;
use crate::failure::Failure;
use crate::files;
use crate::output::{count, note};
use crate::secrets;
use crate::service::metrics::{
    COST_USD, DOMAIN_BLOCKED, DOMAIN_IN_FLIGHT_REQUESTS, DOMAIN_LIMIT_REQUESTS_PER_MINUTE,
    DOMAIN_OWNED, DOMAIN_PARKED, DOMAIN_QUEUED_SAMPLES, DOMAINS_CONFIGURED, LANE_PARKED, REQUESTS,
    RETRIES, SAMPLES, SESSIONS_OPEN, TOKENS,
};
use crate::service::{Observed, Page, Pages};

/// Works until told to stop.
pub(crate) async fn worker(context: &Context, args: &WorkerArgs) -> Result<u8, Failure> {
    let config = &context.loaded.config;
    let name = fleet::name(args.id.as_deref(), config.worker.id.as_deref())?;
    let start = Start::new(context, name)?;
    let (stop, mut stopping) = watch::channel(false);
    let interrupt = interrupts(stop)?;
    let broker = fleet::start(context, &format!("worker {}", start.name))?;
    let observed = Arc::new(ObservedWorker {
        watcher: OnceLock::new(),
        broker: broker.clone(),
        waits: Waits::default(),
    });
    let listen = args.listen.as_deref().or(config.listen.as_deref());
    // First, so that whoever looks after it sees that it lives while it waits for others.
    let pages = Pages::serve(listen, Arc::clone(&observed) as Arc<dyn Observed>).await?;
    let domains = &start.resolved.domains;
    let waiting = fleet::in_time(&observed.waits, async || {
        find_queues(&broker, domains).await
    });
    let ended = tokio::select! {
        found = waiting => Some(found),
        stopped = stopping.wait_for(|stop| *stop) => {
            drop(stopped);
            None
        }
    };
    let ended = match ended {
        Some(Ok(())) => Box::pin(work(start, context, &observed, &mut stopping)).await,
        Some(Err(failure)) => Err(failure),
        None => {
            note("stopped before anything was asked");
            Ok(())
        }
    };
    interrupt.abort();
    drop(pages);
    broker.close().await;
    ended.map(|()| 0)
}

/// Works from when everything that is needed is there.
async fn work(
    start: Start,
    context: &Context,
    observed: &ObservedWorker,
    stopping: &mut watch::Receiver<bool>,
) -> Result<(), Failure> {
    let name = start.name.clone();
    let mut worker = start.begin(context, &observed.broker).await?;
    observed.watcher.get_or_init(|| worker.watcher());
    note(&format!("worker `{name}` is ready"));
    let failed = tokio::select! {
        error = worker.failed() => Some(error),
        stopped = stopping.wait_for(|stop| *stop) => {
            drop(stopped);
            note("stopping: waiting for the requests in the air, then everything is stored and acknowledged");
            None
        }
    };
    let stopped = stop_worker(worker).await;
    if let Some(error) = failed {
        return Err(error.into());
    }
    stopped?;
    note("stopped; nothing that was asked will be asked again");
    Ok(())
}

/// What a worker is made of, apart from its broker and what it finds on disk.
struct Start {
    name: String,
    resolved: Resolved,
    targets: BTreeMap<ModelName, Target>,
    client: HttpClient,
    store: Store,
    spool: PathBuf,
}

impl Start {
    /// Reads what a person may have got wrong.
    fn new(context: &Context, name: String) -> Result<Self, Failure> {
        let config = &context.loaded.config;
        let catalog = fleet::catalog(config)?;
        let models: Vec<_> = catalog.models.keys().cloned().collect();
        let resolved = retort_plan::resolve(&catalog, &models).map_err(Failure::usage)?;
        let targets = secrets::targets(&resolved.endpoints)?;
        let client = HttpClient::new(config.client.clone(), SOFTWARE, Arc::clone(&context.clock))?;
        check_addresses(&client, &resolved)?;
        Ok(Self {
            spool: fleet::spool_dir(config, "worker", &name)?,
            store: files::store(context)?,
            name,
            resolved,
            targets,
            client,
        })
    }

    /// Starts the worker; what an earlier process of its name left in the spool is stored.
    async fn begin(self, context: &Context, broker: &AmqpBroker) -> Result<Worker, Failure> {
        let config = &context.loaded.config;
        let clock = Arc::clone(&context.clock);
        let (store, settings) = (self.store.clone(), config.writer.clone());
        let started = Writer::start(&self.spool, store, &self.name, settings, clock);
        let (writer, committed, recovered) = started.map_err(fleet::explain_spool)?;
        if recovered.records > 0 {
            note(&format!(
                "{} replies of an earlier time were waiting in the spool; they are stored now",
                count(recovered.records)
            ));
        }
        let worker = Worker::start(WorkerParts {
            worker_id: self.name,
            broker: Arc::new(broker.clone()),
            client: Arc::new(self.client),
            writer,
            committed,
            pace_store: PaceStore::new(self.store, None),
            clock: Arc::clone(&context.clock),
            targets: self.targets,
            domains: self.resolved.domains,
            settings: config.worker.clone(),
            pace: config.pace.clone(),
        });
        Ok(worker.await?)
    }
}

struct ObservedWorker {
    /// Set once it works.
    watcher: OnceLock<Watcher>,
    broker: AmqpBroker,
    waits: Waits,
}

impl Observed for ObservedWorker {
    fn unready(&self) -> Option<String> {
        if self.watcher.get().is_some_and(Watcher::is_stopping) {
            return Some("stopping".to_owned());
        }
        let starting = || self.watcher.get().is_none().then(|| "starting".to_owned());
        fleet::unready(&self.broker)
            .or_else(|| self.waits.reason())
            .or_else(starting)
    }

    fn measure(&self, page: &mut Page) {
        fleet::measure(page, &self.broker);
        let Some(watcher) = self.watcher.get() else {
            return;
        };
        fleet::measure_writer(page, &watcher.writer());
        let (open, of) = watcher.sessions();
        page.count(&DOMAINS_CONFIGURED, &[], of as u64);
        page.count(&SESSIONS_OPEN, &[], open as u64);
        for (domain, report) in &watcher.domains() {
            measure_domain(page, domain, report);
        }
    }
}

fn measure_domain(page: &mut Page, domain: &DomainId, report: &DomainReport) {
    let domain = domain.as_str();
    page.flag(&DOMAIN_OWNED, &[domain], true);
    page.count(&DOMAIN_IN_FLIGHT_REQUESTS, &[domain], report.in_flight);
    page.count(&DOMAIN_QUEUED_SAMPLES, &[domain], report.queued);
    if let Some(pace) = &report.pace {
        if let Some(limit) = pace.limit {
            let limit = limit.requests_per_minute;
            page.set(&DOMAIN_LIMIT_REQUESTS_PER_MINUTE, &[domain], limit);
        }
        page.flag(&DOMAIN_BLOCKED, &[domain], pace.blocked.is_some());
        page.flag(&DOMAIN_PARKED, &[domain], pace.parked.is_some());
        for lane in &pace.lanes {
            let is_parked = matches!(lane.state, LaneState::Parked { .. });
            page.flag(&LANE_PARKED, &[domain, lane.model.as_str()], is_parked);
        }
    }
    for (model, tally) in &report.models {
        measure_model(page, &[domain, model.as_str()], tally);
    }
}

fn measure_model(page: &mut Page, labels: &[&str; 2], tally: &Tally) {
    page.count(&REQUESTS, labels, tally.requests);
    page.count(&RETRIES, labels, tally.retries);
    let [domain, model] = *labels;
    for (outcome, ended) in &tally.outcomes {
        page.count(&SAMPLES, &[domain, model, outcome.as_str()], *ended);
    }
    page.count(&TOKENS, &[domain, model, "input"], tally.input_tokens);
    page.count(&TOKENS, &[domain, model, "output"], tally.output_tokens);
    page.set(&COST_USD, labels, tally.cost_usd);
}
