//! Keeps a session: builds it, watches over it, and builds the next one.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::session::{Session, Unopened};
use super::settings::AmqpSettings;
use super::topics::unique;
use crate::{BrokerError, Health, Queue};

/// Wait before the second attempt; doubles with each one.
const WAIT_MIN: Duration = Duration::from_millis(200);

/// Longest wait between two attempts: a broker that comes back is used again within this time.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A session that lasted this long was a good one: the next wait is short again.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// What the supervisor knows.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// There is no session yet, or no more.
    Down(Option<Arc<dyn Error + Send + Sync>>),
    /// There is one, which may be lost without the supervisor having noticed yet.
    Up(Arc<Session>),
    /// The broker refuses this user, this virtual host, or this side its certificate.
    Refused {
        reason: String,
        /// Whether it ever was different: then someone may be about to set it right.
        before: bool,
    },
    /// Closed on request.
    Closed,
}

/// An error that several callers are told of.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Shared(Arc<dyn Error + Send + Sync>);

impl State {
    /// Tells whether there is nothing to wait for.
    pub(super) fn is_settled(&self) -> bool {
        match self {
            Self::Down(_) => false,
            Self::Up(session) => session.is_up(),
            Self::Refused { before, .. } => !before,
            Self::Closed => true,
        }
    }

    pub(super) fn session(&self, attempted: &str) -> Result<Arc<Session>, BrokerError> {
        match self {
            Self::Up(session) => Ok(Arc::clone(session)),
            Self::Down(_) | Self::Refused { .. } | Self::Closed => Err(self.error(attempted)),
        }
    }

    /// Returns the error of an attempt that found no session.
    pub(super) fn error(&self, attempted: &str) -> BrokerError {
        let attempted = attempted.to_owned();
        let source: Option<Box<dyn Error + Send + Sync>> = match self {
            Self::Refused {
                reason,
                before: false,
            } => {
                let reason = reason.clone();
                return BrokerError::Refused { attempted, reason };
            }
            Self::Refused {
                reason,
                before: true,
            } => Some(reason.clone().into()),
            Self::Down(Some(error)) => Some(Box::new(Shared(Arc::clone(error)))),
            Self::Down(None) | Self::Up(_) => None,
            Self::Closed => Some("the connection was closed".into()),
        };
        BrokerError::Unavailable { attempted, source }
    }

    pub(super) fn has_priorities(&self) -> bool {
        matches!(self, Self::Up(session) if session.priority_handoff)
    }

    pub(super) fn health(&self) -> Health {
        match self {
            Self::Up(session) if !session.is_up() => Health::Down,
            Self::Up(session) if session.is_blocked() => Health::Blocked,
            Self::Up(_) => Health::Up,
            Self::Down(_) | Self::Closed => Health::Down,
            Self::Refused { .. } => Health::Refused,
        }
    }
}

type Declared = Arc<Mutex<BTreeSet<Queue>>>;

/// Starts the task. It ends when `closing` says so or is dropped.
pub(super) fn start(
    settings: AmqpSettings,
    declared: &Declared,
    closing: &watch::Sender<bool>,
) -> watch::Receiver<State> {
    let (sender, receiver) = watch::channel(State::Down(None));
    let supervisor = Supervisor {
        settings,
        declared: Arc::downgrade(declared),
        state: sender,
        failures: 0,
        before: false,
    };
    tokio::spawn(supervisor.run(closing.subscribe()));
    receiver
}

struct Supervisor {
    settings: AmqpSettings,
    declared: Weak<Mutex<BTreeSet<Queue>>>,
    state: watch::Sender<State>,
    /// Sessions that failed, or did not last, since a good one.
    failures: u32,
    /// Whether there ever was a session.
    before: bool,
}

impl Supervisor {
    async fn run(mut self, mut closing: watch::Receiver<bool>) {
        // Also when the sender is dropped.
        let closed = async move { drop(closing.wait_for(|closing| *closing).await) };
        let mut closed = std::pin::pin!(closed);
        loop {
            tokio::select! {
                () = &mut closed => break,
                () = self.serve() => {}
            }
            let wait = wait(self.failures, unique());
            self.failures = self.failures.saturating_add(1);
            tokio::select! {
                () = &mut closed => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        let last = self.state.send_replace(State::Closed);
        if let State::Up(session) = last {
            session.close().await;
        }
    }

    /// Builds a session and stays with it to its end.
    async fn serve(&mut self) {
        let known = match self.declared.upgrade() {
            Some(known) => known.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => return,
        };
        let opened = Session::open(&self.settings, &known).await;
        let session = match opened {
            Ok(session) => session,
            Err(unopened) => return self.failed(unopened),
        };
        let begun = Instant::now();
        self.before = true;
        tracing::info!(url = %self.settings.url, "connected to the broker");
        self.state.send_replace(State::Up(Arc::clone(&session)));
        session.watch().await;
        tracing::warn!(url = %self.settings.url, "lost the broker");
        self.state.send_replace(State::Down(None));
        session.close().await;
        if begun.elapsed() >= GOOD_AFTER {
            self.failures = 0;
        }
    }

    fn failed(&self, unopened: Unopened) {
        let url = &self.settings.url;
        let state = match unopened {
            Unopened::Refused(reason) => {
                tracing::error!(%url, reason, "the broker refuses this user");
                let before = self.before;
                State::Refused { reason, before }
            }
            Unopened::Failed(error) => {
                tracing::warn!(%url, error, "failed to reach the broker");
                State::Down(Some(error.into()))
            }
        };
        self.state.send_replace(state);
    }
}

/// Returns how long to wait after so many failures: between half and all of a time that doubles, so
/// that a fleet does not come back in one moment.
fn wait(failures: u32, random: u64) -> Duration {
    let full = WAIT_MIN.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    let full = full.min(WAIT_MAX);
    let share = f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    full / 2 + (full / 2).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_limit() {
        for (failures, full_ms) in [(0, 200), (1, 400), (5, 6_400), (6, 10_000), (99, 10_000)] {
            let full = Duration::from_millis(full_ms);
            assert_eq!(wait(failures, 0), full / 2, "{failures}");
            assert_eq!(wait(failures, u64::MAX), full, "{failures}");
        }
    }
}
