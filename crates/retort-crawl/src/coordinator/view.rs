//! What workers last told, and the status made from it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use retort_pace::LaneState;
use retort_plan::Plan;
use retort_types::{DomainId, Timestamp};
use tokio::time::Instant;

use super::campaign::CampaignState;
use crate::message::{DomainReport, Heartbeat, Tally};
use crate::status::{DomainProgress, ModelStatus, STATUS_SCHEMA, State, Status, Waiting};

/// Over how long rates are taken.
const RATE_OVER: Duration = Duration::from_secs(10);

/// Over how long rates are taken in a fleet, where they are known from receipts alone: these come
/// every few seconds.
const SHARED_RATE_OVER: Duration = Duration::from_secs(30);

/// How long a worker of a fleet is believed without a word: many heartbeats.
const BELIEVED: Duration = Duration::from_secs(15);

/// What workers last told.
#[derive(Debug)]
pub(super) struct View {
    plan: Arc<Plan>,
    started_at: Timestamp,
    workers: BTreeMap<String, (Instant, Heartbeat)>,
    /// Whether workers serve others too and were there before: what they count is then not this
    /// campaign's.
    shared: bool,
    /// Requests per model at moments of the last seconds.
    history: VecDeque<(Instant, Vec<u64>)>,
    planned: Vec<u64>,
    /// What earlier runs did, per model.
    earlier: Vec<Tally>,
}

impl View {
    pub(super) fn new(
        plan: Arc<Plan>,
        started_at: Timestamp,
        earlier: Vec<Tally>,
        shared: bool,
    ) -> Self {
        let per_model = plan.len() / (plan.model_count().max(1) as u64);
        let planned = vec![per_model; plan.model_count()];
        Self {
            plan,
            started_at,
            workers: BTreeMap::new(),
            shared,
            history: VecDeque::new(),
            planned,
            earlier,
        }
    }

    /// Takes in a heartbeat.
    pub(super) fn hear(&mut self, heartbeat: Heartbeat, now: Instant) {
        let worker = heartbeat.worker_id.clone();
        self.workers.insert(worker, (now, heartbeat));
        if !self.shared {
            let live = self.live();
            self.note_requests(live.iter().map(|tally| tally.requests).collect(), now);
        }
    }

    /// Forgets workers of a fleet that have not been heard of for long, and notes how many requests
    /// receipts told of, per model.
    pub(super) fn age(&mut self, told: &[Tally], now: Instant) {
        if !self.shared {
            return;
        }
        self.workers
            .retain(|_, (heard, _)| now.saturating_duration_since(*heard) < BELIEVED);
        self.note_requests(told.iter().map(|tally| tally.requests).collect(), now);
    }

    fn note_requests(&mut self, requests: Vec<u64>, now: Instant) {
        let over = if self.shared {
            SHARED_RATE_OVER
        } else {
            RATE_OVER
        };
        self.history.push_back((now, requests));
        while self
            .history
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) > over)
        {
            self.history.pop_front();
        }
    }

    /// Returns requests in the air.
    pub(super) fn in_flight(&self) -> u64 {
        self.reports().map(|(_, report)| report.in_flight).sum()
    }

    /// Returns whether some lane or domain waits for something that is known.
    pub(super) fn waits(&self) -> bool {
        self.reports().any(|(_, report)| {
            report.waiting_for.is_some()
                || report.pace.as_ref().is_some_and(|pace| {
                    pace.blocked.is_some()
                        || pace
                            .lanes
                            .iter()
                            .any(|lane| matches!(lane.state, LaneState::Blocked { .. }))
                })
        })
    }

    /// Returns the models whose lanes a worker parked, with the reason.
    pub(super) fn parked(&self) -> Vec<(usize, String)> {
        let mut parked = Vec::new();
        for (domain, report) in self.reports() {
            if let Some(reason) = report.pace.as_ref().and_then(|pace| pace.parked.as_ref()) {
                let models = self.plan.document().models.iter().enumerate();
                let own = models.filter(|(_, model)| model.domain == *domain);
                parked.extend(own.map(|(number, _)| (number, reason.clone())));
            }
            for lane in report.pace.iter().flat_map(|pace| &pace.lanes) {
                if let LaneState::Parked { reason } = &lane.state
                    && let Some(model) = self.plan.model_number(&lane.model)
                {
                    parked.push((model, reason.clone()));
                }
            }
        }
        parked
    }

    fn reports(&self) -> impl Iterator<Item = (&DomainId, &DomainReport)> {
        self.workers
            .values()
            .flat_map(|(_, heartbeat)| &heartbeat.domains)
    }

    /// Returns what workers did since they started, all models together.
    pub(super) fn live_total(&self) -> Tally {
        let mut total = Tally::default();
        self.live().iter().for_each(|tally| total.add(tally));
        total
    }

    /// Returns whether a worker holds samples of a domain that it can still ask.
    pub(super) fn holds(&self, domain: &DomainId) -> bool {
        self.reports().any(|(id, report)| {
            id == domain && (report.waiting_for.is_some() || report.queued + report.in_flight > 0)
        })
    }

    /// Returns the domains that a worker waits for and does not own.
    pub(super) fn unowned(&self) -> Vec<DomainId> {
        let waiting = self
            .reports()
            .filter(|(_, report)| report.waiting_for.is_some());
        waiting.map(|(domain, _)| domain.clone()).collect()
    }

    /// Returns what workers did since they started, per model in the plan's order.
    fn live(&self) -> Vec<Tally> {
        let mut live = vec![Tally::default(); self.plan.model_count()];
        if self.shared {
            return live;
        }
        for (_, report) in self.reports() {
            for (model, tally) in &report.models {
                if let Some(number) = self.plan.model_number(model) {
                    live[number].add(tally);
                }
            }
        }
        live
    }

    fn rate_per_minute(&self, model: usize) -> f64 {
        let (Some((from, first)), Some((to, last))) = (self.history.front(), self.history.back())
        else {
            return 0.0;
        };
        let seconds = to.saturating_duration_since(*from).as_secs_f64();
        let (before, after) = (
            first.get(model).copied().unwrap_or(0),
            last.get(model).copied().unwrap_or(0),
        );
        if seconds < 0.4 {
            0.0
        } else {
            after.saturating_sub(before) as f64 * 60.0 / seconds
        }
    }

    /// Returns the status of a campaign.
    pub(super) fn status(&self, campaign: &CampaignState, state: State, now: Timestamp) -> Status {
        let live = matches!(state, State::Asking | State::Waiting | State::Paused);
        let models = self.models(campaign, live);
        let ended = campaign.ended();
        let waiting = self.waiting(campaign, now);
        let reason = match state {
            State::Waiting => waiting.as_ref().map(|waiting| waiting.reason.clone()),
            State::Asking
            | State::Paused
            | State::ClosingOut
            | State::Sealing
            | State::Sealed
            | State::Interrupted => ended.map(str::to_owned).or_else(|| {
                let parked = models.iter().find_map(|model| model.parked.as_ref());
                parked.map(|reason| format!("parked: {reason}"))
            }),
        };
        let rate: f64 = models.iter().map(|model| model.rate_per_minute).sum();
        let ended: u64 = models.iter().map(|model| model.tally.ended()).sum();
        let open = self.plan.len().saturating_sub(ended);
        let seconds_left = (rate > 0.0 && open > 0)
            .then(|| Duration::try_from_secs_f64(open as f64 * 60.0 / rate).ok())
            .flatten()
            .map(|left| left.as_secs() + 1);
        let spent = campaign.spent();
        Status {
            schema: STATUS_SCHEMA.to_owned(),
            campaign: self.plan.campaign().id.clone(),
            state,
            reason,
            until: waiting
                .filter(|_| state == State::Waiting)
                .and_then(|waiting| waiting.until),
            planned: self.plan.len(),
            done: campaign.done(),
            missing: campaign.missing(),
            models,
            domains: self.domains(campaign),
            writer: self
                .workers
                .values()
                .next_back()
                .map(|(_, heartbeat)| heartbeat.writer.clone()),
            cost_usd: spent.usd,
            requests: spent.requests,
            seconds_left,
            started_at: self.started_at,
            updated_at: now,
            process: std::process::id(),
            snapshot: None,
        }
    }

    fn models(&self, campaign: &CampaignState, live: bool) -> Vec<ModelStatus> {
        let lanes = self.lane_waits();
        let told = self.live();
        let models = self.plan.document().models.iter().enumerate();
        models
            .map(|(number, model)| ModelStatus {
                model: model.name.clone(),
                domain: model.domain.clone(),
                planned: self.planned[number],
                tally: self.shown(number, &told, campaign),
                rate_per_minute: if live {
                    self.rate_per_minute(number)
                } else {
                    0.0
                },
                parked: campaign.parked(number).map(str::to_owned),
                waiting: lanes.get(&number).cloned(),
            })
            .collect()
    }

    /// Returns what is shown of a model: what workers told, which is ahead of the receipts, or what
    /// receipts told, where the coordinator ended samples itself.
    fn shown(&self, model: usize, told: &[Tally], campaign: &CampaignState) -> Tally {
        let mut shown = self.earlier.get(model).cloned().unwrap_or_default();
        shown.add(&told[model]);
        let durable = &campaign.tallies()[model];
        if durable.ended() > shown.ended() {
            durable.clone()
        } else {
            shown
        }
    }

    fn lane_waits(&self) -> BTreeMap<usize, Waiting> {
        let mut waits = BTreeMap::new();
        for (domain, report) in self.reports() {
            let whole = report.waiting_for.clone().map(|reason| Waiting {
                until: None,
                reason,
            });
            let whole = whole.or_else(|| {
                let blocked = report.pace.as_ref()?.blocked.as_ref()?;
                Some(Waiting {
                    until: Some(blocked.until),
                    reason: blocked.reason.clone(),
                })
            });
            if let Some(waiting) = whole {
                let models = self
                    .plan
                    .document()
                    .models
                    .iter()
                    .enumerate()
                    .filter(|(_, model)| model.domain == *domain);
                waits.extend(models.map(|(number, _)| (number, waiting.clone())));
            }
            for lane in report.pace.iter().flat_map(|pace| &pace.lanes) {
                if let LaneState::Blocked { until, reason } = &lane.state
                    && let Some(number) = self.plan.model_number(&lane.model)
                {
                    waits.insert(
                        number,
                        Waiting {
                            until: Some(*until),
                            reason: reason.clone(),
                        },
                    );
                }
            }
        }
        waits
    }

    /// Returns what the campaign as a whole waits for: the first thing to come.
    fn waiting(&self, campaign: &CampaignState, now: Timestamp) -> Option<Waiting> {
        let round = campaign.next_round(now).map(|at| Waiting {
            until: Some(at),
            reason: "the next round".to_owned(),
        });
        let lanes = self.lane_waits().into_values();
        lanes
            .chain(round)
            .min_by_key(|waiting| waiting.until.unwrap_or(Timestamp::from_micros(i64::MAX)))
    }

    fn domains(&self, campaign: &CampaignState) -> Vec<DomainProgress> {
        let mut reports: BTreeMap<&DomainId, &DomainReport> = BTreeMap::new();
        let holds = |report: &DomainReport| report.queued + report.in_flight;
        for (domain, report) in self.reports() {
            let kept = reports.entry(domain).or_insert(report);
            if holds(report) > holds(kept) {
                *kept = report;
            }
        }
        let windows = campaign.windows().iter();
        windows
            .map(|window| {
                let report = reports.get(&window.spec.id);
                DomainProgress {
                    domain: window.spec.id.clone(),
                    window: window.outstanding.len() as u64,
                    in_flight: report.map_or(0, |report| report.in_flight),
                    pace: report.and_then(|report| report.pace.clone()),
                    waiting_for: report.and_then(|report| report.waiting_for.clone()),
                }
            })
            .collect()
    }
}
