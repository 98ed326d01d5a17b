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
use crate::message::Tally;
use crate::settings::CoordinatorSettings;

const CATALOG: &str = r#"
providers: { p: { wire: openai-chat, base_url: "http://127.0.0.1:1/v1" }, q: { wire: openai-chat, base_url: "http://127.0.0.1:1/v1" } }
accounts: { p: { provider: p, limits: { concurrency: 1 } }, q: { provider: q, limits: { concurrency: 1 } } }
models: { a: { account: p, model: a }, b: { account: q, model: b } }
"#;

fn plan(catalog: &str, more: &str) -> Plan {
    let text = format!(
        "id: t\npurpose: p\nmodels: [a, b]\nsuites: [{{ inline: {{ name: s, prompts: [one, two, three, four] }}, samples: 5 }}]\n{more}"
    );
    let campaign = parse_campaign(&text, "test").unwrap();
    Plan::build(campaign, &parse_catalog(catalog, "test").unwrap()).unwrap()
}

struct World {
    state: CampaignState,
    plan: Arc<Plan>,
    now: Instant,
    wall: Timestamp,
}

fn world(more: &str, settings: CoordinatorSettings) -> World {
    world_of(CATALOG, more, settings)
}

fn world_of(catalog: &str, more: &str, settings: CoordinatorSettings) -> World {
    let plan = Arc::new(plan(catalog, more));
    let catalog = parse_catalog(catalog, "test").unwrap();
    let domains = resolve(&catalog, &plan.campaign().models).unwrap().domains;
    let (now, wall) = (Instant::now(), Timestamp::from_micros(1_000_000));
    let ledger = Ledger::new(plan.len());
    let state = CampaignState::new(Arc::clone(&plan), ledger, &domains, settings, (now, wall));
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
    assert_eq!(world.state.next(), Next::Complete);
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
fn aligned_blocks_leave_room_for_receipts_under_way() {
    let mut world = world(
        "schedule: { align: blocks }",
        CoordinatorSettings {
            align_lead: 2,
            window_min: 80,
            ..small()
        },
    );
    let mut ahead = 0;
    for _ in 0..50 {
        for sample in world.fill() {
            if sample.model.as_str() == "a" {
                ahead = ahead.max(sample.block_id);
                world.end(&sample, Outcome::Answered);
            }
        }
    }
    // An eighth of the window of domain `b`, which holds block 0.
    assert_eq!(ahead, 10);
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
    assert!(world.state.stalled(world.now, |_| false).is_empty());
    world.now += Duration::from_mins(15);
    let again: BTreeSet<_> = world
        .state
        .stalled(world.now, |_| false)
        .iter()
        .map(|sample| sample.sample_id)
        .collect();
    assert_eq!(first, again);
    assert!(
        world.state.stalled(world.now, |_| false).is_empty(),
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
    let Next::Close(groups) = world.state.next() else {
        panic!("held samples must be ended")
    };
    let (models, reason) = &groups[0];
    assert_eq!(
        (models[0].as_str(), reason.as_str()),
        ("a", "parked: unauthorized")
    );
    held.iter()
        .filter(|sample| sample.model.as_str() == "a")
        .for_each(|sample| world.end(sample, Outcome::NotAsked));
    assert_eq!(world.state.next(), Next::CloseOut);
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
    assert!(
        !world.state.waits_for_round(world.wall),
        "nothing was asked yet"
    );
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

/// Both models on one account: they share a domain and its window.
const SHARED: &str = r#"
providers: { p: { wire: openai-chat, base_url: "http://127.0.0.1:1/v1" } }
accounts: { p: { provider: p, limits: { concurrency: 1 } } }
models: { a: { account: p, model: a }, b: { account: p, model: b } }
"#;

#[test]
fn a_model_that_never_answers_leaves_room_for_its_neighbour() {
    let mut world = world_of(
        SHARED,
        "",
        CoordinatorSettings {
            window_min: 4,
            window_max: 4,
            ..small()
        },
    );
    let mut answered = 0;
    for _ in 0..100 {
        for sample in world.fill() {
            if sample.model.as_str() == "b" {
                answered += 1;
                world.end(&sample, Outcome::Answered);
            }
        }
    }
    assert_eq!(answered, 20);
    world.state.park(0, "connect_failed".to_owned());
    assert!(world.fill().is_empty());
    let Next::Close(groups) = world.state.next() else {
        panic!("held samples must be ended")
    };
    assert_eq!(groups[0].1, "parked: connect_failed");
}

#[test]
fn parked_models_do_not_wait_for_later_rounds() {
    let more = "schedule: { rounds: 30, every: 24h }";
    let mut world = world(
        more,
        CoordinatorSettings {
            window_min: 100,
            ..CoordinatorSettings::default()
        },
    );
    let held = world.fill();
    for model in 0..2 {
        assert!(
            world.state.park(model, "unauthorized".to_owned()),
            "a park is news once"
        );
        assert!(!world.state.park(model, "unauthorized".to_owned()));
    }
    for sample in &held {
        world.end(sample, Outcome::NotAsked);
    }
    assert_eq!(world.state.next(), Next::CloseOut);
}

#[test]
fn a_deadline_ends_a_paused_campaign() {
    let mut world = world("budget: { deadline: \"2026-01-01T00:00:00Z\" }", small());
    world.state.paused = true;
    assert!(world.fill().is_empty());
    assert_eq!(world.state.next(), Next::Wait);
    world.wall = "2026-01-02T00:00:00Z".parse().unwrap();
    assert!(world.fill().is_empty());
    assert_eq!(world.state.next(), Next::CloseOut);
}

#[test]
fn what_workers_used_ends_a_budget_before_receipts_tell() {
    let mut world = world("budget: { requests: 20 }", small());
    let held = world.fill();
    let live = Tally {
        requests: 19,
        ..Tally::default()
    };
    world.state.check_spent(&live);
    assert_eq!(world.state.next(), Next::Wait);
    world.state.check_spent(&Tally {
        requests: 20,
        ..live
    });
    let Next::Close(groups) = world.state.next() else {
        panic!("held samples must be ended")
    };
    assert_eq!(groups[0].1, "the budget of 20 requests is used up");
    assert!(!held.is_empty());
}

#[test]
fn a_cancellation_can_be_taken_back() {
    let mut world = world("", small());
    world.state.end("cancelled".to_owned());
    assert!(world.fill().is_empty());
    world.state.unend("cancelled");
    assert!(!world.fill().is_empty());
    world.state.end("the budget is used up".to_owned());
    world.state.unend("cancelled");
    assert!(world.state.ended().is_some());
}

#[test]
fn a_queue_that_nobody_owns_is_given_up() {
    let mut world = world("", small());
    let before = world.fill().len();
    world.state.end("cancelled".to_owned());
    for domain in ["p", "q"] {
        world.state.drop_outstanding(&domain.parse().unwrap());
    }
    assert!(before > 0);
    assert_eq!(world.state.next(), Next::CloseOut);
}
