//! What a worker says about itself, and what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use retort_broker::{Broker, Subscription, Topic};
use retort_types::DomainId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::context::Context;
use super::settle::send;
use crate::message::{CONTROL_KIND, Control, DomainReport, HEARTBEAT_KIND, Heartbeat, parse};

/// How often a worker tells how it is doing.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);

/// How often a worker tells that it is there when nothing changed in its domains.
const IDLE_HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// How long to wait before listening again after the session ended.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Tells how the worker is doing, again and again.
pub(super) async fn tell(context: Arc<Context>, broker: Arc<dyn Broker>) {
    let mut every = tokio::time::interval(HEARTBEAT_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told: Option<(Instant, BTreeMap<DomainId, DomainReport>)> = None;
    loop {
        every.tick().await;
        let domains: BTreeMap<DomainId, DomainReport> = context
            .reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((at, last)) = &told
            && *last == domains
            && at.elapsed() < IDLE_HEARTBEAT_EVERY
        {
            continue;
        }
        let heartbeat = Heartbeat {
            worker_id: context.attempter.maker.worker_id.to_string(),
            at: context.clock().now(),
            domains,
            writer: context.writer().status(),
        };
        if send(&context, &*broker, HEARTBEAT_KIND, &heartbeat).await {
            told = Some((Instant::now(), heartbeat.domains));
        }
    }
}

/// Hands control messages to every domain, for as long as the worker works.
pub(super) async fn relay(
    broker: Arc<dyn Broker>,
    mut heard: Box<dyn Subscription>,
    domains: Vec<mpsc::Sender<Control>>,
) {
    loop {
        hand_on(&mut *heard, &domains).await;
        heard = loop {
            tokio::time::sleep(LISTEN_PAUSE).await;
            match broker.subscribe(Topic::Control).await {
                Ok(heard) => break heard,
                Err(error) => tracing::warn!(error = %error, "the control topic cannot be heard"),
            }
        };
    }
}

async fn hand_on(subscription: &mut dyn Subscription, domains: &[mpsc::Sender<Control>]) {
    while let Some(message) = subscription.next().await {
        if message.kind != CONTROL_KIND {
            continue;
        }
        match parse::<Control>(&message) {
            Ok(control) => {
                for domain in domains {
                    if domain.try_send(control.clone()).is_err() {
                        tracing::debug!(
                            "a domain is busy or gone; what it must know is said again"
                        );
                    }
                }
            }
            Err(error) => tracing::warn!(error = %error, "a control message is unreadable"),
        }
    }
}
