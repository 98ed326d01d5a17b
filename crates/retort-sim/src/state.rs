//! What the connections of a fleet share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use retort_types::{Timestamp, WallClock};
use tokio::time::Instant;

use crate::canned::Canned;
use crate::error::SimError;
use crate::fault::{FaultBook, FaultSpec};
use crate::fleet::Setup;
use crate::ledger::Ledger;
use crate::limit::Limiter;
use crate::lineage::{Lineage, Speaker};
use crate::mix::{key, mix};
use crate::model::SimModel;
use crate::spec::{FleetSpec, ModelKind, ModelSpec, ProviderSpec};
use crate::stats::Stats;

/// The whole fleet.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) spec: FleetSpec,
    pub(crate) providers: Vec<ProviderState>,
    clock: Arc<dyn WallClock>,
    started: Instant,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) bad_requests: AtomicU64,
    pub(crate) redirects_followed: AtomicU64,
}

/// One provider.
#[derive(Debug)]
pub(crate) struct ProviderState {
    pub(crate) spec: ProviderSpec,
    pub(crate) prefix: String,
    pub(crate) seed: u64,
    pub(crate) models: BTreeMap<String, ModelState>,
    live: Mutex<Live>,
}

/// One model.
#[derive(Debug)]
pub(crate) struct ModelState {
    pub(crate) spec: ModelSpec,
    pub(crate) model: Arc<dyn SimModel>,
    pub(crate) fingerprint: String,
    draws: AtomicU64,
}

impl ModelState {
    /// Returns the number of the next free draw.
    pub(crate) fn next_draw(&self) -> u64 {
        self.draws.fetch_add(1, Ordering::Relaxed)
    }
}

/// What changes with every request of a provider.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) limiter: Limiter,
    pub(crate) ledger: Ledger,
    pub(crate) faults: FaultBook,
    /// Number of the next admitted request.
    pub(crate) next: u64,
}

impl Shared {
    /// Returns the state of a fleet that starts now.
    pub(crate) fn new(spec: FleetSpec, setup: Setup) -> Result<Self, SimError> {
        spec.check()?;
        let lineage = Lineage::grow(&spec.lineage, spec.seed)?;
        let sources = Sources {
            fleet_seed: spec.seed,
            lineage: &lineage,
            setup: &setup,
        };
        let providers = spec.providers.iter();
        let providers = providers
            .map(|provider| ProviderState::new(provider, &sources))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            providers,
            spec,
            clock: setup.clock,
            started: Instant::now(),
            connections: AtomicU64::new(0),
            connections_total: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            bad_requests: AtomicU64::new(0),
            redirects_followed: AtomicU64::new(0),
        })
    }

    /// Returns the time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn provider(&self, name: &str) -> Result<&ProviderState, SimError> {
        let found = self.providers.iter().find(|p| p.spec.name == name);
        found.ok_or_else(|| SimError::UnknownProvider(name.to_owned()))
    }

    pub(crate) fn stats(&self) -> Stats {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let providers = self.providers.iter();
        Stats {
            uptime_ms: u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX),
            connections: get(&self.connections),
            connections_total: get(&self.connections_total),
            connections_refused: get(&self.connections_refused),
            bad_requests: get(&self.bad_requests),
            redirects_followed: get(&self.redirects_followed),
            providers: providers
                .map(|p| (p.spec.name.clone(), p.live().ledger.stats()))
                .collect(),
        }
    }

    pub(crate) fn reset_stats(&self) {
        for count in [
            &self.connections_total,
            &self.connections_refused,
            &self.bad_requests,
            &self.redirects_followed,
        ] {
            count.store(0, Ordering::Relaxed);
        }
        for provider in &self.providers {
            provider.live().ledger.reset();
        }
    }

    /// Replaces the faults of a provider, or of all when none is named. Their counts begin anew.
    pub(crate) fn set_faults(
        &self,
        provider: Option<&str>,
        faults: &[FaultSpec],
    ) -> Result<(), SimError> {
        for (number, fault) in faults.iter().enumerate() {
            fault.check(&format!("faults[{number}]"))?;
        }
        let chosen: Vec<_> = match provider {
            Some(name) => vec![self.provider(name)?],
            None => self.providers.iter().collect(),
        };
        for provider in chosen {
            provider.live().faults = FaultBook::new(provider.seed, faults.to_vec());
        }
        Ok(())
    }
}

impl ProviderState {
    fn new(spec: &ProviderSpec, sources: &Sources<'_>) -> Result<Self, SimError> {
        let seed = mix(sources.fleet_seed, key(&spec.name));
        let mut models = BTreeMap::new();
        for model in &spec.models {
            let state = ModelState {
                spec: model.clone(),
                model: find_model(&spec.name, model, sources)?,
                fingerprint: format!("fp_{:010x}", mix(seed, key(&model.name)) & 0xff_ffff_ffff),
                draws: AtomicU64::new(0),
            };
            models.insert(model.name.clone(), state);
        }
        let busy = Duration::from_millis(spec.latency.ms + spec.latency.jitter_ms / 2);
        let live = Live {
            limiter: Limiter::new(&spec.limits, busy),
            ledger: Ledger::new(models.keys().map(String::as_str)),
            faults: FaultBook::new(seed, spec.faults.clone()),
            next: 0,
        };
        Ok(Self {
            prefix: spec.path_prefix(),
            spec: spec.clone(),
            seed,
            models,
            live: Mutex::new(live),
        })
    }

    /// Returns the changing part. Nothing that holds it can fail halfway, so poison is ignored.
    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where models come from.
struct Sources<'a> {
    fleet_seed: u64,
    lineage: &'a Lineage,
    setup: &'a Setup,
}

fn find_model(
    provider: &str,
    spec: &ModelSpec,
    sources: &Sources<'_>,
) -> Result<Arc<dyn SimModel>, SimError> {
    let source = spec.source.as_deref().unwrap_or(&spec.name);
    let missing =
        |rule: String| SimError::spec(format!("providers.{provider}.models.{}", spec.name), rule);
    match spec.kind {
        ModelKind::Canned => Ok(Arc::new(Canned::new(spec, sources.fleet_seed))),
        ModelKind::Language => {
            let member = sources
                .lineage
                .member(source)
                .ok_or_else(|| missing(format!("`lineage` has no model `{source}`")))?;
            let clock = Arc::clone(&sources.setup.clock);
            Ok(Arc::new(Speaker::new(member.clone(), spec, clock)))
        }
        ModelKind::Replay => sources
            .setup
            .replay
            .as_ref()
            .and_then(|replay| replay.model(source))
            .ok_or_else(|| missing(format!("no recording of `{source}` was opened"))),
        ModelKind::Custom => sources
            .setup
            .models
            .get(source)
            .map(Arc::clone)
            .ok_or_else(|| missing(format!("the caller has no model `{source}`"))),
    }
}
