//! One consumer's session over a link, with an end at the broker and an end at the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use retort_broker::{
    AckError, Acker, Consumer, Delivery, Fence, Live, Message, Queue, Settle, Subscription,
};
use retort_types::SampleId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::journal::Journal;

/// How long a process goes on without a word from its broker: what the twin over AMQP does.
const LEASE: Duration = Duration::from_secs(5);

/// Deliveries on their way to the process: as many as a prefetch may be.
const BUFFER: usize = 65_535;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    lost_at: Option<Instant>,
    gone_at_broker: bool,
    gone_at_process: bool,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    number: u64,
    by: String,
    journal: Arc<Journal>,
    state: watch::Sender<State>,
    /// Acknowledgements on their way through a connection that is lost.
    under_way: Mutex<Vec<(Acker, Option<SampleId>)>>,
}

impl Session {
    pub(crate) fn new(number: u64, by: &str, journal: Arc<Journal>) -> Self {
        Self {
            number,
            by: by.to_owned(),
            journal,
            state: watch::channel(State::default()).0,
            under_way: Mutex::default(),
        }
    }

    fn state(&self) -> State {
        *self.state.borrow()
    }

    pub(crate) fn is_over(&self) -> bool {
        let state = self.state();
        state.gone_at_broker && state.gone_at_process
    }

    pub(crate) fn lose(&self) {
        self.state
            .send_modify(|state| state.lost_at = state.lost_at.or(Some(Instant::now())));
    }

    pub(crate) fn drop_by_broker(&self) {
        self.under_way().clear();
        self.state.send_modify(|state| state.gone_at_broker = true);
    }

    pub(crate) fn drop_by_process(&self) {
        self.state.send_modify(|state| state.gone_at_process = true);
    }

    /// Lets pass what waited, or tells either end that the other one is gone.
    pub(crate) async fn heal(&self) {
        let state = self.state();
        if state.gone_at_broker || state.gone_at_process {
            self.drop_by_broker();
            self.drop_by_process();
            return;
        }
        let under_way = std::mem::take(&mut *self.under_way());
        for (acker, sample) in under_way {
            self.acknowledge(acker, sample).await.unwrap_or_default();
        }
        self.state.send_modify(|state| state.lost_at = None);
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<(Acker, Option<SampleId>)>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn acknowledge(&self, acker: Acker, sample: Option<SampleId>) -> Result<(), AckError> {
        acker.acknowledge().await?;
        if let Some(sample) = sample {
            self.journal.acknowledged(sample, &self.by);
        }
        Ok(())
    }
}

/// What tells whether a session stands, as its process sees it.
#[derive(Debug)]
struct Standing {
    session: Arc<Session>,
    inner: Fence,
}

impl Live for Standing {
    fn is_live(&self) -> bool {
        let state = self.session.state();
        if state.gone_at_process {
            return false;
        }
        match state.lost_at {
            Some(lost_at) => lost_at.elapsed() < LEASE,
            None => self.inner.is_live(),
        }
    }
}

/// A consumer: what the broker hands out goes to the process as long as the connection carries it.
#[derive(Debug)]
pub(crate) struct Consuming {
    session: Arc<Session>,
    deliveries: mpsc::Receiver<Delivery>,
    fence: Fence,
    state: watch::Receiver<State>,
    pump: JoinHandle<()>,
}

impl Consuming {
    pub(crate) fn new(session: Arc<Session>, queue: &Queue, inner: Box<dyn Consumer>) -> Self {
        let (sender, deliveries) = mpsc::channel(BUFFER);
        let fence = Fence::new(Arc::new(Standing {
            session: Arc::clone(&session),
            inner: inner.fence(),
        }));
        let state = session.state.subscribe();
        let pump = tokio::spawn(pump(Arc::clone(&session), queue.clone(), inner, sender));
        Self {
            session,
            deliveries,
            fence,
            state,
            pump,
        }
    }
}

async fn pump(
    session: Arc<Session>,
    queue: Queue,
    mut inner: Box<dyn Consumer>,
    sender: mpsc::Sender<Delivery>,
) {
    let mut state = session.state.subscribe();
    loop {
        let now = *state.borrow_and_update();
        if now.gone_at_broker {
            return;
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return },
            delivery = inner.next(), if now.lost_at.is_none() => {
                let Some(delivery) = delivery else { break };
                let delivery = through(&session, &queue, delivery);
                if sender.send(delivery).await.is_err() {
                    return;
                }
            }
        }
    }
    // The broker ended the session, and says so to whoever can hear it.
    drop(inner);
    session.drop_by_broker();
    while session.state().lost_at.is_some() {
        if state.changed().await.is_err() {
            return;
        }
    }
    session.drop_by_process();
}

fn through(session: &Arc<Session>, queue: &Queue, delivery: Delivery) -> Delivery {
    let is_probe = matches!(queue, Queue::Probes(_));
    let sample = delivery.message.id.parse().ok().filter(|_| is_probe);
    if is_probe {
        session
            .journal
            .delivered(&queue.to_string(), session.number, &session.by);
    }
    let (count, again) = (delivery.delivery_count, delivery.redelivered);
    let (message, inner) = delivery.split();
    let ticket = Ticket {
        session: Arc::clone(session),
        sample,
        inner,
    };
    Delivery::new(message, count, Acker::new(Box::new(ticket))).again(again)
}

#[async_trait]
impl Consumer for Consuming {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if self.state.borrow_and_update().gone_at_process {
                return None;
            }
            tokio::select! {
                biased;
                changed = self.state.changed() => if changed.is_err() { return None },
                delivery = self.deliveries.recv() => match delivery {
                    Some(delivery) => return Some(delivery),
                    // The broker's end is gone; the process hears of it in its time.
                    None => self.state.changed().await.ok()?,
                },
            }
        }
    }

    async fn close(self: Box<Self>) {
        drop(self);
    }

    fn is_live(&self) -> bool {
        self.fence.is_live()
    }

    fn fence(&self) -> Fence {
        self.fence.clone()
    }
}

impl Drop for Consuming {
    fn drop(&mut self) {
        self.session.drop_by_process();
        // A broker hears of a closed session only through a connection that carries it.
        if self.session.state().lost_at.is_none() {
            self.session.drop_by_broker();
            self.pump.abort();
        }
    }
}

/// Settles one delivery through its session.
#[derive(Debug)]
struct Ticket {
    session: Arc<Session>,
    sample: Option<SampleId>,
    inner: Acker,
}

impl Ticket {
    fn check(&self) -> Result<(), AckError> {
        let state = self.session.state();
        if state.gone_at_process || state.lost_at.is_none() && state.gone_at_broker {
            return Err(AckError::Stale);
        }
        Ok(())
    }
}

#[async_trait]
impl Settle for Ticket {
    async fn acknowledge(self: Box<Self>) -> Result<(), AckError> {
        self.check()?;
        let Self {
            session,
            sample,
            inner,
        } = *self;
        if session.state().lost_at.is_some() {
            // It was written to a connection that does not carry it now.
            session
                .journal
                .mishap("acknowledgement into a lost connection");
            if !session.state().gone_at_broker {
                session.under_way().push((inner, sample));
            }
            return Ok(());
        }
        session.acknowledge(inner, sample).await
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), AckError> {
        self.check()?;
        if self.session.state().lost_at.is_some() {
            return Ok(());
        }
        self.session.journal.rejected(&self.session.by, reason);
        self.inner.reject(reason).await
    }

    async fn requeue(self: Box<Self>) -> Result<(), AckError> {
        self.check()?;
        if self.session.state().lost_at.is_some() {
            return Ok(());
        }
        self.inner.requeue().await
    }
}

/// A subscription: what is announced while the connection is lost is lost too.
#[derive(Debug)]
pub(crate) struct Listening {
    session: Arc<Session>,
    state: watch::Receiver<State>,
    inner: Box<dyn Subscription>,
}

impl Listening {
    pub(crate) fn new(session: Arc<Session>, inner: Box<dyn Subscription>) -> Self {
        let state = session.state.subscribe();
        Self {
            session,
            state,
            inner,
        }
    }
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Option<Message> {
        loop {
            if self.state.borrow_and_update().gone_at_process {
                return None;
            }
            tokio::select! {
                biased;
                changed = self.state.changed() => if changed.is_err() { return None },
                message = self.inner.next() => {
                    let message = message?;
                    if self.session.state().lost_at.is_none() {
                        return Some(message);
                    }
                }
            }
        }
    }

    fn take_missed(&mut self) -> u64 {
        self.inner.take_missed()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.session.drop_by_broker();
        self.session.drop_by_process();
    }
}
