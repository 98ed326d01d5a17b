//! `retort coordinator`: carries submitted campaigns out with the workers of a fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use retort_broker::AmqpBroker;
use retort_crawl::{FleetCoordinator, FleetParts, State, Statuses};
use retort_dataset::Writer;
use tokio::sync::watch;

use super::fleet::Waits;
use super::signals::interrupts;
use super::{Context, fleet};
use crate::cli::CoordinatorArgs;
use crate::failure::Failure;
use crate::files;
use crate::output::note;
use crate::service::metrics::{
    CAMPAIGN_SAMPLES_DONE, CAMPAIGN_SAMPLES_MISSING, CAMPAIGN_SAMPLES_PLANNED, CAMPAIGNS,
    CAMPAIGNS_SEALED, COORDINATOR_ACTIVE, REPAIRS, SUBMISSIONS, WINDOW_SAMPLES,
};
use crate::service::{Observed, Page, Pages};

/// Coordinates until told to stop.
pub(crate) async fn coordinator(context: &Context, args: &CoordinatorArgs) -> Result<u8, Failure> {
    let config = &context.loaded.config;
    let name = fleet::name(args.id.as_deref(), None)?;
    let catalog = fleet::catalog(config)?;
    let store = files::store(context)?;
    let spool = fleet::spool_dir(config, "coordinator", &name)?;
    let (stop, mut stopping) = watch::channel(false);
    let interrupt = interrupts(stop)?;
    let broker = fleet::start(context, &format!("coordinator {name}"))?;
    let (writer, committed, _) = Writer::start(
        &spool,
        store.clone(),
        &format!("coordinator-{name}"),
        config.writer.clone(),
        Arc::clone(&context.clock),
    )
    .map_err(fleet::explain_spool)?;
    let coordinator = FleetCoordinator::new(
        FleetParts {
            store,
            broker: Arc::new(broker.clone()),
            catalog: Arc::new(catalog),
            writer: writer.clone(),
            clock: Arc::clone(&context.clock),
            settings: config.coordinator.clone(),
        },
        committed,
    );
    let observed = Arc::new(ObservedCoordinator {
        statuses: coordinator.statuses(),
        broker: broker.clone(),
        writer: writer.clone(),
        waits: Waits::default(),
    });
    let listen = args.listen.as_deref().or(config.listen.as_deref());
    // First, so that whoever looks after it sees that it lives while it waits for its broker.
    let pages = Pages::serve(listen, Arc::clone(&observed) as Arc<dyn Observed>).await?;
    let reached = tokio::select! {
        reached = fleet::in_time(&observed.waits, async || broker.connected().await) => reached,
        stopped = stopping.wait_for(|stop| *stop) => {
            drop(stopped);
            Ok(())
        }
    };
    let ended = match reached {
        Ok(()) => {
            if !*stopping.borrow() {
                note(&format!("coordinator `{name}` is ready"));
            }
            Box::pin(coordinator.run(stopping))
                .await
                .map_err(Failure::from)
        }
        Err(failure) => {
            drop(coordinator);
            Err(failure)
        }
    };
    interrupt.abort();
    // The receiver of what it stored is gone with the coordinator: nothing is waited for.
    let closed = writer.close().await;
    drop(pages);
    broker.close().await;
    ended?;
    closed?;
    note("stopped; the next coordinator goes on from the store");
    Ok(0)
}

struct ObservedCoordinator {
    statuses: Statuses,
    broker: AmqpBroker,
    writer: Writer,
    waits: Waits,
}

impl Observed for ObservedCoordinator {
    fn unready(&self) -> Option<String> {
        fleet::unready(&self.broker).or_else(|| self.waits.reason())
    }

    fn measure(&self, page: &mut Page) {
        fleet::measure(page, &self.broker);
        fleet::measure_writer(page, &self.writer.status());
        page.flag(&COORDINATOR_ACTIVE, &[], self.statuses.is_active());
        let (accepted, rejected) = self.statuses.submissions();
        page.count(&SUBMISSIONS, &["accepted"], accepted);
        page.count(&SUBMISSIONS, &["rejected"], rejected);
        page.count(&CAMPAIGNS_SEALED, &[], self.statuses.sealed());
        page.count(&REPAIRS, &[], self.statuses.repairs());
        let campaigns = self.statuses.campaigns();
        let mut states: BTreeMap<&str, u64> = [
            State::Asking,
            State::Waiting,
            State::Paused,
            State::ClosingOut,
            State::Sealing,
        ]
        .map(|state| (state.as_str(), 0))
        .into();
        let mut windows: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut planned, mut done, mut missing) = (0, 0, 0);
        for status in &campaigns {
            *states.entry(status.state.as_str()).or_default() += 1;
            planned += status.planned;
            done += status.done;
            missing += status.missing;
            for domain in &status.domains {
                *windows.entry(domain.domain.as_str()).or_default() += domain.window;
            }
        }
        for (state, count) in states {
            page.count(&CAMPAIGNS, &[state], count);
        }
        page.count(&CAMPAIGN_SAMPLES_PLANNED, &[], planned);
        page.count(&CAMPAIGN_SAMPLES_DONE, &[], done);
        page.count(&CAMPAIGN_SAMPLES_MISSING, &[], missing);
        for (domain, window) in windows {
            page.count(&WINDOW_SAMPLES, &[domain], window);
        }
    }
}
