//! `retort worker`: asks for a fleet.

use std::sync::Arc;

use retort_broker::AmqpBroker;
use retort_client::HttpClient;
use retort_crawl::message::{DomainReport, Tally};
use retort_crawl::worker::{Watcher, WorkerParts};
use retort_crawl::{PaceStore, SOFTWARE, Worker};
use retort_dataset::Writer;
use retort_pace::LaneState;
use retort_types::DomainId;
use tokio::sync::watch;

use super::run::{check_addresses, interrupts, stop_worker};
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
    let (mut worker, broker) = start(context, &name).await?;
    let observed = Arc::new(ObservedWorker {
        watcher: worker.watcher(),
        broker: broker.clone(),
    });
    let listen = args.listen.as_deref().or(config.listen.as_deref());
    let pages = Pages::serve(listen, observed).await?;
    note(&format!("worker `{name}` is ready"));
    let (stop, mut stopping) = watch::channel(false);
    let interrupt = interrupts(stop);
    let failed = tokio::select! {
        error = worker.failed() => Some(error),
        stopped = stopping.wait_for(|stop| *stop) => {
            drop(stopped);
            note("stopping: waiting for the requests in the air, then everything is stored and acknowledged");
            None
        }
    };
    let stopped = stop_worker(worker).await;
    interrupt.abort();
    drop(pages);
    broker.close().await;
    if let Some(error) = failed {
        return Err(error.into());
    }
    stopped?;
    note("stopped; nothing that was asked will be asked again");
    Ok(0)
}

/// Starts the worker; what an earlier process of its name left in the spool is stored.
async fn start(context: &Context, name: &str) -> Result<(Worker, AmqpBroker), Failure> {
    let config = &context.loaded.config;
    let catalog = fleet::catalog(config)?;
    let models: Vec<_> = catalog.models.keys().cloned().collect();
    let resolved = retort_plan::resolve(&catalog, &models).map_err(Failure::usage)?;
    let targets = secrets::targets(&resolved.endpoints)?;
    let client = HttpClient::new(config.client.clone(), SOFTWARE, Arc::clone(&context.clock))?;
    check_addresses(&client, &resolved)?;
    let store = files::store(context)?;
    let spool = fleet::spool_dir(config, "worker", name)?;
    let broker = fleet::broker_in_time(context, &format!("worker {name}")).await?;
    let clock = Arc::clone(&context.clock);
    let started = Writer::start(&spool, store.clone(), name, config.writer.clone(), clock);
    let (writer, committed, recovered) = started.map_err(fleet::explain_spool)?;
    if recovered.records > 0 {
        note(&format!(
            "{} replies of an earlier time were waiting in the spool; they are stored now",
            count(recovered.records)
        ));
    }
    let worker = Worker::start(WorkerParts {
        worker_id: name.to_owned(),
        broker: Arc::new(broker.clone()),
        client,
        writer,
        committed,
        pace_store: PaceStore::new(store, None),
        clock: Arc::clone(&context.clock),
        targets,
        domains: resolved.domains,
        settings: config.worker.clone(),
        pace: config.pace.clone(),
    });
    Ok((worker.await?, broker))
}

struct ObservedWorker {
    watcher: Watcher,
    broker: AmqpBroker,
}

impl Observed for ObservedWorker {
    fn unready(&self) -> Option<String> {
        if self.watcher.is_stopping() {
            return Some("stopping".to_owned());
        }
        fleet::unready(&self.broker)
    }

    fn measure(&self, page: &mut Page) {
        fleet::measure(page, &self.broker, &self.watcher.writer());
        let (open, of) = self.watcher.sessions();
        page.count(&DOMAINS_CONFIGURED, &[], of as u64);
        page.count(&SESSIONS_OPEN, &[], open as u64);
        for (domain, report) in &self.watcher.domains() {
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
