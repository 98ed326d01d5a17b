//! One session: two connections that stand and fall together, and what is published through them.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::time::timeout;

use super::failure::Failure;
use super::fence::{Outstanding, SILENT_MAX};
use super::greeting::greet;
use super::publisher::{IN_FLIGHT_MAX, Publication, Publisher, Unpublished};
use super::settings::{AmqpSettings, Login};
use super::topology::{self, Exchange};
use crate::{BrokerError, QUEUE_LENGTH_MAX, Queue, RETRY_TIERS};

/// Longest time a connection may take to open, TLS and login included.
const OPEN_MAX: Duration = Duration::from_secs(15);

/// Longest wait for the broker's word that a connection or channel is closed.
pub(super) const CLOSE_MAX: Duration = Duration::from_secs(2);

/// How often a session is looked at for a loss that nothing told of.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The first version of `RabbitMQ` whose quorum queues hand over to a higher priority.
const HANDOFF_SINCE: (u32, u32) = (4, 0);

const REPLY_SUCCESS: u16 = 200;

/// Why no session came to be.
#[derive(Debug)]
pub(super) enum Unopened {
    /// A person must act.
    Refused(String),
    /// It may go better next time.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl From<lapin::Error> for Unopened {
    fn from(error: lapin::Error) -> Self {
        match Failure::from(error) {
            Failure::Refused(reason) => Self::Refused(reason),
            Failure::NotFound(reason) => Self::Failed(reason.into()),
            Failure::Lost(error) => Self::Failed(Box::new(error)),
            Failure::Ended => Self::Failed("it ended at once".into()),
        }
    }
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        // What TLS calls a certificate that is not believed, or no TLS at all.
        if error.kind() == io::ErrorKind::InvalidData {
            return Self::Refused(error.to_string());
        }
        Self::Failed(Box::new(error))
    }
}

/// Two connections: what consumes must not be held up by what publishes, since a broker short of
/// memory or disk reads nothing more from a connection that publishes.
#[derive(Debug)]
pub(super) struct Session {
    consuming: Connection,
    publishing: Arc<Connection>,
    publisher: Publisher,
    outstanding: Arc<Outstanding>,
    exchanges: Mutex<BTreeSet<Exchange>>,
    /// Queues that are known to be there: thousands of consumers declare theirs at once.
    queues: Mutex<BTreeSet<Queue>>,
    lost: watch::Sender<bool>,
    /// Whether priorities of consumers count.
    pub(super) priority_handoff: bool,
}

impl Session {
    /// Connects twice and declares the queues that were declared before.
    pub(super) async fn open(
        settings: &AmqpSettings,
        known: &BTreeSet<Queue>,
    ) -> Result<Arc<Self>, Unopened> {
        let login = settings.login().await;
        let login = login.map_err(|error| Unopened::Failed(Box::new(error)))?;
        let version = greet(&login).await?;
        let consuming = connect(&login, &format!("{} consumes", settings.name)).await?;
        let publishing = connect(&login, &format!("{} publishes", settings.name)).await?;
        let publishing = Arc::new(publishing);
        let outstanding = Arc::new(Outstanding::default());
        let lost = watch::Sender::new(false);
        let told = lost.clone();
        let publisher = Publisher::start(Arc::clone(&publishing), Arc::clone(&outstanding), told);
        let Ok(publisher) = timeout(OPEN_MAX, publisher).await else {
            let problem = format!("no channel was opened in {} s", OPEN_MAX.as_secs());
            return Err(Unopened::Failed(problem.into()));
        };
        let publisher = publisher?;
        let session = Arc::new(Self {
            consuming,
            publishing,
            publisher,
            outstanding,
            exchanges: Mutex::default(),
            queues: Mutex::default(),
            lost,
            priority_handoff: version.is_some_and(|version| version >= HANDOFF_SINCE),
        });
        for queue in known {
            if let Err(error) = session.declare(queue).await {
                tracing::warn!(%queue, %error, "failed to declare a queue again");
            }
        }
        Ok(session)
    }

    /// Tells whether both connections stand.
    pub(super) fn is_up(&self) -> bool {
        !*self.lost.borrow()
            && self.consuming.status().connected()
            && self.publishing.status().connected()
    }

    /// Tells whether the broker takes no publications now.
    pub(super) fn is_blocked(&self) -> bool {
        self.publishing.status().blocked()
    }

    /// Tells whether new work may be begun as far as the whole session goes.
    pub(super) fn is_live(&self) -> bool {
        self.is_up() && !self.is_blocked() && !self.outstanding.is_stalled(Instant::now())
    }

    /// Ends the session for everybody who uses it.
    pub(super) fn give_up(&self) {
        self.lost.send_replace(true);
    }

    /// Returns when the session was given up or is seen to be lost. Cancel safe.
    pub(super) async fn wait_lost(&self) {
        let mut lost = self.lost.subscribe();
        let ended = lost.wait_for(|lost| *lost).await;
        drop(ended);
    }

    /// Watches over both connections until one fails, then gives the session up.
    pub(super) async fn watch(&self) {
        let mut events = futures_util::stream::select(
            self.consuming.events_listener(),
            self.publishing.events_listener(),
        );
        let mut stalled_since: Option<Instant> = None;
        while self.is_up() {
            // A broker may take its time in an alarm, and says so.
            if self.is_blocked() || !self.outstanding.is_stalled(Instant::now()) {
                stalled_since = None;
            } else if stalled_since.get_or_insert_with(Instant::now).elapsed() >= SILENT_MAX {
                tracing::warn!("the broker confirms nothing; its session is given up");
                break;
            }
            tokio::select! {
                () = self.wait_lost() => {}
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "the broker takes no publications until its alarm ends");
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!("the broker takes publications again");
                    }
                    // Also told when a single channel failed, which whoever used it handles.
                    Some(Event::Error(error)) => {
                        tracing::debug!(%error, "a channel or a connection failed");
                    }
                    Some(_) | None => {}
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        self.give_up();
    }

    /// Closes both connections; what consumers hold returns to its queue.
    pub(super) async fn close(&self) {
        self.give_up();
        for connection in [self.publishing.as_ref(), &self.consuming] {
            let closing = connection.close(REPLY_SUCCESS, "done".into());
            // A connection that is lost already needs no goodbye.
            drop(timeout(CLOSE_MAX, closing).await);
        }
    }

    /// Tells whether a queue has reached its fuse. The broker counts late while publications come in a
    /// stream, so what is in flight does not count.
    pub(super) async fn is_full(&self, queue: &Queue) -> bool {
        const FULL: usize = QUEUE_LENGTH_MAX - IN_FLIGHT_MAX;
        let name = queue.to_string();
        let found = self
            .scoped(async |channel| topology::look(channel, &name).await)
            .await;
        found.is_ok_and(|(messages, _)| messages as usize >= FULL)
    }

    /// Makes the next publication declare an exchange, and what belongs to it, again.
    pub(super) fn forget(&self, exchange: Exchange) {
        self.lock_exchanges().remove(&exchange);
    }

    /// Opens a channel on the connection that is never blocked.
    async fn channel(&self) -> Result<Channel, Failure> {
        Ok(self.consuming.create_channel().await?)
    }

    /// Opens such a channel and does something on it that it is kept for.
    pub(super) async fn kept<T>(
        &self,
        work: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> Result<(Channel, T), Failure> {
        let working = async {
            let channel = self.channel().await?;
            let done = work(&channel).await?;
            Ok((channel, done))
        };
        self.answered(working).await
    }

    /// Publishes once its exchange is known to be there.
    pub(super) async fn publish(
        &self,
        publication: Publication,
        attempted: &str,
    ) -> Result<Result<(), Unpublished>, BrokerError> {
        self.ensure(publication.exchange, attempted).await?;
        Ok(self.publisher.publish(publication).await)
    }

    /// Returns what hands publications in one by one, for an exchange that is known to be there.
    pub(super) async fn publisher(
        &self,
        exchange: Exchange,
        attempted: &str,
    ) -> Result<&Publisher, BrokerError> {
        self.ensure(exchange, attempted).await?;
        Ok(&self.publisher)
    }

    /// Makes sure that an exchange is there, once per session. Who may not declare it can still use
    /// one that others declared.
    async fn ensure(&self, exchange: Exchange, attempted: &str) -> Result<(), BrokerError> {
        if self.lock_exchanges().contains(&exchange) {
            return Ok(());
        }
        let declared = match exchange {
            Exchange::Retry(tier) => {
                self.scoped(async |channel| topology::declare_tier(channel, tier).await)
                    .await
            }
            Exchange::Probes
            | Exchange::Receipts
            | Exchange::Submit
            | Exchange::Dead
            | Exchange::Control
            | Exchange::Events => {
                self.scoped(async |channel| exchange.declare(channel, false).await)
                    .await
            }
        };
        if let Err(Failure::Refused(reason)) = declared {
            let found = self
                .scoped(async |channel| exchange.declare(channel, true).await)
                .await;
            found.map_err(|failure| unfound(failure, reason, attempted))?;
        } else {
            declared.map_err(|failure| failure.while_trying_to(attempted))?;
        }
        self.lock_exchanges().insert(exchange);
        Ok(())
    }

    /// Makes the next declaration of each queue ask the broker: one of them is gone.
    pub(super) fn forget_queues(&self) {
        self.lock_queues().clear();
    }

    /// Declares a queue and everything it needs, once per session while nothing of it is missed. Who
    /// may not declare it can still use one that others declared.
    pub(super) async fn declare(&self, queue: &Queue) -> Result<(), BrokerError> {
        if self.lock_queues().contains(queue) {
            return Ok(());
        }
        let attempted = format!("declare queue `{queue}`");
        self.declare_or_find(queue, &attempted).await?;
        if matches!(queue, Queue::Probes(_)) {
            for tier in RETRY_TIERS {
                // Workers may not: a tier publishes probes. Whoever plans them may.
                match self.ensure(Exchange::Retry(tier), &attempted).await {
                    Ok(()) | Err(BrokerError::Refused { .. } | BrokerError::Absent { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.lock_queues().insert(queue.clone());
        Ok(())
    }

    async fn declare_or_find(&self, queue: &Queue, attempted: &str) -> Result<(), BrokerError> {
        let declared = self
            .scoped(async |channel| topology::declare(channel, queue).await)
            .await;
        match declared {
            Err(Failure::Refused(reason)) if reason.starts_with("ACCESS_REFUSED") => {
                let name = queue.to_string();
                let found = self
                    .scoped(async |channel| topology::look(channel, &name).await)
                    .await;
                found.map_err(|failure| unfound(failure, reason, attempted))?;
                Ok(())
            }
            other => other.map_err(|failure| failure.while_trying_to(attempted)),
        }
    }

    /// Waits for what the broker answers, for as long as the session stands. A broker that does not
    /// answer for long is given up with the session: the client library leaves some of those who wait
    /// for an answer waiting for ever.
    pub(super) async fn answered<T>(
        &self,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answer = asking => answer,
            () = self.wait_lost() => Err(Failure::Ended),
            () = tokio::time::sleep(SILENT_MAX) => {
                tracing::warn!("the broker does not answer; its session is given up");
                self.give_up();
                Err(Failure::Ended)
            }
        }
    }

    /// Does something on a channel of its own, since an error ends its channel.
    pub(super) async fn scoped<T>(
        &self,
        work: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> Result<T, Failure> {
        let (channel, done) = self.kept(work).await?;
        let closing = channel.close(REPLY_SUCCESS, "done".into());
        // The work is done; a channel that does not close ends with its connection.
        drop(timeout(CLOSE_MAX, closing).await);
        Ok(done)
    }

    fn lock_queues(&self) -> std::sync::MutexGuard<'_, BTreeSet<Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_exchanges(&self) -> std::sync::MutexGuard<'_, BTreeSet<Exchange>> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unpublished {
    /// Returns the error of a publication; `full` tells whether its queue is known to be.
    pub(super) fn into_error(
        self,
        queue: Option<&Queue>,
        full: bool,
        attempted: &str,
    ) -> BrokerError {
        match (self, queue) {
            (Self::Returned, Some(queue)) => BrokerError::UnknownQueue(queue.clone()),
            (Self::Nacked, Some(queue)) if full => BrokerError::Full(queue.clone()),
            (Self::Refused(reason), _) => Failure::Refused(reason).while_trying_to(attempted),
            (Self::Lost(Some(error)), _) => Failure::Lost(error).while_trying_to(attempted),
            (Self::Nacked, _) => BrokerError::Unavailable {
                attempted: attempted.to_owned(),
                source: Some("the broker did not store the message".into()),
            },
            (Self::Returned | Self::Lost(None), _) => Failure::Ended.while_trying_to(attempted),
        }
    }
}

/// Returns the error of a thing that may not be made, for this `reason`, and was not found either.
fn unfound(failure: Failure, reason: String, attempted: &str) -> BrokerError {
    match failure {
        Failure::NotFound(_) => {
            tracing::debug!(attempted, reason, "what is not there may not be made");
            BrokerError::Absent {
                attempted: attempted.to_owned(),
            }
        }
        Failure::Refused(_) => Failure::Refused(reason).while_trying_to(attempted),
        Failure::Lost(_) | Failure::Ended => failure.while_trying_to(attempted),
    }
}

async fn connect(login: &Login, name: &str) -> Result<Connection, Unopened> {
    let runtime = lapin::runtime::default_runtime()?;
    let tls = login.tls.clone();
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        login.uri.clone(),
        runtime,
        async move |uri, runtime| {
            let stream = uri.connect_with_config_async(tls.as_ref(), &runtime).await;
            stream.map_err(lapin::Error::from)
        },
        properties,
    );
    let Ok(opened) = timeout(OPEN_MAX, connecting).await else {
        let problem = format!("the login took more than {} s", OPEN_MAX.as_secs());
        return Err(Unopened::Failed(problem.into()));
    };
    Ok(opened?)
}
