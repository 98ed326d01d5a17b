//! The coordinator's decisions, without a broker, a store or a clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use retort_dataset::Ledger;
use retort_dataset::writer::CommittedRecord;
use retort_plan::{Plan, parse_campaign, parse_catalog, resolve};
use retort_types::{Outcome, Sample, Timestamp};
use tokio::time::Instant;

use super::campaign::{CampaignState, Next};
use crate::settings::CoordinatorSettings;

const CATALOG: &str = r#"
providers: { p: { wire: openai-chat, base_url: "http://127.0.0.1:1/v1" }, q: { wire: openai-chat, base_url: "http://127.0.0.1:1/v1" } }
accounts: { p: { provider: p, limits: { concurrency: 1 } }, q: { provider: q, limits: { concurrency: 1 } } }
models: { a: { account: p, model: a }, b: { account: q, model: b } }
"#;

fn plan(more: &str) -> Plan {
    let text = format!(
        "id: t\npurpose: p\nmodels: [a, b]\nsuites: [{{ inline: {{ name: s, prompts: [one, two, three, four] }}, samples: 5 }}]\n{more}"
    );
    let campaign = parse_campaign(&text, "test").unwrap();
    Plan::build(campaign, &parse_catalog(CATALOG, "test").unwrap()).unwrap()
}

struct World {
    state: CampaignState,
    plan: Arc<Plan>,
    now: Instant,
    wall: Timestamp,
}

fn world(more: &str, settings: CoordinatorSettings) -> World {
    let plan = Arc::new(plan(more));
    let catalog = parse_catalog(CATALOG, "test").unwrap();
    let domains = resolve(&catalog, &plan.campaign().models).unwrap().domains;
    let (now, wall) = (Instant::now(), Timestamp::from_micros(1_000_000));
    let ledger = Ledger::new(plan.len());
    let state = CampaignState::new(Arc::clone(&plan), ledger, domains, settings, (now, wall));
    World {
        state,
        plan,
        now,
        wall,
    }
}

impl World {
    fn fill(&mut self) -> Vec<Sample> {
        self.state.fill(self.now, self.wall)
    }

    fn end(&mut self, sample: &Sample, outcome: Outcome) {
        let record = CommittedRecord {
            campaign: sample.campaign.clone(),
            plan_hash: self.plan.hash(),
            sample_id: sample.sample_id,
            index: sample.index,
            attempt_id: "x".to_owned(),
            attempt_no: 1,
            model: sample.model.clone(),
            domain: sample.domain.clone(),
            outcome,
            final_outcome: Some(outcome),
            cost_usd: None,
            input_tokens: Some(1),
            output_tokens: Some(1),
        };
        self.state.count(&record, self.now);
    }
}

fn small() -> CoordinatorSettings {
    CoordinatorSettings {
        window_min: 3,
        window_max: 3,
        ..CoordinatorSettings::default()
    }
}

#[test]
fn every_sample_is_published_once_and_windows_bound_what_is_out() {
    let mut world = world("", small());
    let mut seen = BTreeSet::new();
    loop {
        let samples = world.fill();
        if samples.is_empty() {
            break;
        }
        for sample in &samples {
            assert!(seen.insert(sample.sample_id), "published twice");
        }
        assert!(
            world
                .state
                .windows()
                .iter()
                .all(|window| window.outstanding.len() <= 3)
        );
        for sample in &samples {
            world.end(sample, Outcome::Answered);
        }
    }
    assert_eq!(seen.len(), 40);
    assert_eq!(world.state.next(world.wall), Next::Complete);
}

#[test]
fn aligned_blocks_bound_the_lead_of_a_fast_domain() {
    let mut world = world(
        "schedule: { align: blocks }",
        CoordinatorSettings {
            align_lead: 2,
            ..small()
        },
    );
    let mut fast_ahead = 0;
    for _ in 0..50 {
        let samples = world.fill();
        for sample in samples.iter().filter(|sample| sample.model.as_str() == "a") {
            fast_ahead = fast_ahead.max(sample.block_id);
            world.end(sample, Outcome::Answered);
        }
    }
    // Domain `b` never answers and holds block 0.
    assert_eq!(fast_ahead, 2);
    world.now += Duration::from_mins(2);
    let samples = world.fill();
    assert!(
        samples.iter().any(|sample| sample.block_id > 2),
        "a silent domain holds others for ever"
    );
}

#[test]
fn free_domains_do_not_wait() {
    let mut world = world(
        "schedule: { align: free }",
        CoordinatorSettings {
            align_lead: 2,
            ..small()
        },
    );
    let mut ended = 0;
    for _ in 0..50 {
        for sample in world
            .fill()
            .iter()
            .filter(|sample| sample.model.as_str() == "a")
        {
            ended += 1;
            world.end(sample, Outcome::Answered);
        }
    }
    assert_eq!(ended, 20);
}

#[test]
fn samples_without_a_receipt_are_published_again() {
    let mut world = world("", small());
    let first: BTreeSet<_> = world.fill().iter().map(|sample| sample.sample_id).collect();
    assert!(world.state.stalled(world.now).is_empty());
    world.now += Duration::from_mins(15);
    let again: BTreeSet<_> = world
        .state
        .stalled(world.now)
        .iter()
        .map(|sample| sample.sample_id)
        .collect();
    assert_eq!(first, again);
    assert!(
        world.state.stalled(world.now).is_empty(),
        "published again at once"
    );
}

#[test]
fn a_receipt_twice_counts_once() {
    let mut world = world("", small());
    let sample = world.fill().remove(0);
    world.end(&sample, Outcome::Answered);
    world.end(&sample, Outcome::Answered);
    assert_eq!(world.state.done(), 1);
}

#[test]
fn parked_models_end_when_nothing_else_is_left() {
    let mut world = world("schedule: { align: free }", small());
    let held = world.fill();
    world.state.park(0, "unauthorized".to_owned());
    loop {
        let open: Vec<Sample> = world.fill();
        let live: Vec<&Sample> = held
            .iter()
            .chain(&open)
            .filter(|sample| sample.model.as_str() == "b")
            .collect();
        let before = world.state.done();
        for sample in live {
            world.end(sample, Outcome::Answered);
        }
        if world.state.done() == before {
            break;
        }
    }
    let Next::Close(models, reason) = world.state.next(world.wall) else {
        panic!("held samples must be ended")
    };
    assert_eq!(
        (models[0].as_str(), reason.as_str()),
        ("a", "parked: unauthorized")
    );
    held.iter()
        .filter(|sample| sample.model.as_str() == "a")
        .for_each(|sample| world.end(sample, Outcome::NotAsked));
    assert_eq!(world.state.next(world.wall), Next::CloseOut);
    assert_eq!(world.state.open_from(0, 100).len(), 17);
}

#[test]
fn a_pause_publishes_nothing_and_rounds_wait() {
    let mut world = world(
        "schedule: { rounds: 2, every: 1h }",
        CoordinatorSettings {
            window_min: 100,
            ..CoordinatorSettings::default()
        },
    );
    world.state.paused = true;
    assert!(world.fill().is_empty());
    world.state.paused = false;
    let first = world.fill();
    assert_eq!(
        (
            first.len(),
            first.iter().filter(|sample| sample.round > 0).count()
        ),
        (40, 0)
    );
    assert_eq!(
        world.state.next_round(world.wall),
        Some(world.wall.after(Duration::from_hours(1)))
    );
    world.wall = world.wall.after(Duration::from_hours(1));
    assert_eq!(world.fill().len(), 40);
    assert_eq!(world.state.next_round(world.wall), None);
}
