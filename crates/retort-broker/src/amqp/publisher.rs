//! One task that publishes everything of a session and tells each publisher what became of it.
//!
//! A single task keeps the order in which messages were handed in, bounds what is in flight, and
//! sorts returned messages: the client library hands a returned message to whichever confirmation
//! comes next, which under load is another publication's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{mpsc, oneshot, watch};

use super::failure::Failure;
use super::fence::Outstanding;
use super::topology::Exchange;
use crate::Message;

/// Most publications without a confirmation. Beyond some hundreds a quorum queue gets no faster.
pub(super) const IN_FLIGHT_MAX: usize = 500;

/// Most bytes in flight: eight of the largest messages.
const IN_FLIGHT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Publications that wait for the task: as many again, so that it never waits for publishers.
const WAITING_MAX: usize = IN_FLIGHT_MAX;

const PERSISTENT: u8 = 2;

/// What to publish where.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) exchange: Exchange,
    pub(super) key: String,
    /// Whether it must reach a queue.
    pub(super) mandatory: bool,
    pub(super) message: Message,
}

/// Why a publication was not stored for certain.
#[derive(Debug)]
pub(super) enum Unpublished {
    /// There is no queue for it.
    Returned,
    /// The broker did not store it: the queue takes no more, or has no leader now.
    Nacked,
    /// The user has no right to publish there.
    Refused(String),
    /// It may have been stored or not.
    Lost(Option<lapin::Error>),
}

struct Job {
    publication: Publication,
    reply: oneshot::Sender<Result<(), Unpublished>>,
}

/// Hands publications to the task.
#[derive(Debug, Clone)]
pub(super) struct Publisher(mpsc::Sender<Job>);

impl Publisher {
    /// Opens a channel that confirms and starts the task. It ends with the session: when the last
    /// publisher is dropped, when `lost` says that the session is, or when publishing fails; then it
    /// says so by `lost` itself, before any publisher is told.
    pub(super) async fn start(
        connection: Arc<Connection>,
        outstanding: Arc<Outstanding>,
        lost: watch::Sender<bool>,
    ) -> lapin::Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let task = Task {
            channel: open(&connection).await?,
            connection,
            lost,
            outstanding,
            last: 0,
            bytes: 0,
            flights: FuturesUnordered::new(),
            pending: BTreeMap::new(),
            returned: BTreeSet::new(),
        };
        tokio::spawn(task.run(waiting));
        Ok(Self(jobs))
    }

    /// Hands a publication in; what is returned waits for its end. Publications are sent in the
    /// order in which this returns.
    pub(super) async fn begin(
        &self,
        publication: Publication,
    ) -> oneshot::Receiver<Result<(), Unpublished>> {
        let (reply, receiver) = oneshot::channel();
        // A task that has ended drops the reply, which says that the publication is lost.
        drop(self.0.send(Job { publication, reply }).await);
        receiver
    }

    pub(super) async fn publish(&self, publication: Publication) -> Result<(), Unpublished> {
        let ended = self.begin(publication).await.await;
        ended.unwrap_or(Err(Unpublished::Lost(None)))
    }
}

/// A publication on its way.
struct Flight {
    reply: oneshot::Sender<Result<(), Unpublished>>,
    exchange: Exchange,
    bytes: usize,
}

type Landing = (u64, lapin::Result<Confirmation>);

struct Task {
    channel: Channel,
    connection: Arc<Connection>,
    lost: watch::Sender<bool>,
    outstanding: Arc<Outstanding>,
    last: u64,
    bytes: usize,
    flights: FuturesUnordered<BoxFuture<'static, Landing>>,
    pending: BTreeMap<u64, Flight>,
    // Numbers of returned messages whose own confirmation has not come yet.
    returned: BTreeSet<u64>,
}

impl Task {
    /// Works until the session ends. Whoever waits for a publication then hears that it is lost: the
    /// client library does not end every one that was in flight when its connection failed.
    async fn run(mut self, waiting: mpsc::Receiver<Job>) {
        let mut lost = self.lost.subscribe();
        tokio::select! {
            () = self.work(waiting) => {}
            _ = lost.wait_for(|lost| *lost) => {}
        }
    }

    async fn work(&mut self, mut waiting: mpsc::Receiver<Job>) {
        loop {
            let room = self.pending.len() < IN_FLIGHT_MAX
                && (self.bytes < IN_FLIGHT_MAX_BYTES || self.pending.is_empty());
            tokio::select! {
                biased;
                Some(landing) = self.flights.next() => {
                    if !self.land(landing).await {
                        return;
                    }
                }
                job = waiting.recv(), if room => match job {
                    Some(job) => self.depart(job),
                    None => break,
                },
            }
        }
        // Nobody else can come: only what is in flight is waited for.
        while let Some(landing) = self.flights.next().await {
            if !self.land(landing).await {
                break;
            }
        }
    }

    fn depart(&mut self, Job { publication, reply }: Job) {
        let Publication {
            exchange,
            key,
            mandatory,
            message,
        } = publication;
        self.last += 1;
        let body = message.body.bytes();
        let (number, bytes) = (self.last, body.len());
        let flight = Flight {
            reply,
            exchange,
            bytes,
        };
        self.bytes += bytes;
        self.pending.insert(number, flight);
        self.outstanding.begin(number, Instant::now());
        let channel = self.channel.clone();
        let mut sending = async move {
            let options = BasicPublishOptions {
                mandatory,
                ..BasicPublishOptions::default()
            };
            let properties = properties(&message, number);
            let sent = channel.basic_publish(
                exchange.name().into(),
                key.into(),
                options,
                &body,
                properties,
            );
            match sent.await {
                Ok(confirmation) => (number, confirmation.await),
                Err(error) => (number, Err(error)),
            }
        }
        .boxed();
        // The first step queues the frames: taken here, it keeps the order.
        match (&mut sending).now_or_never() {
            Some(landing) => self.flights.push(std::future::ready(landing).boxed()),
            None => self.flights.push(sending),
        }
    }

    /// Settles everything that has landed; returns whether publishing can go on.
    ///
    /// Whichever confirmation carries a returned message ends no later than that message's own, so
    /// a look at all that ended tells for certain which were returned.
    async fn land(&mut self, first: Landing) -> bool {
        let mut landed = vec![first];
        while let Some(Some(landing)) = self.flights.next().now_or_never() {
            landed.push(landing);
        }
        if self.channel.status().connected() {
            self.settle_all(landed);
            return true;
        }
        // A channel that ended took everything in flight with it.
        while let Some(landing) = self.flights.next().await {
            landed.push(landing);
        }
        let refused = landed.iter().any(|(_, ended)| match ended {
            Ok(_) => false,
            Err(error) => matches!(Failure::from(error.clone()), Failure::Refused(_)),
        });
        let reopened = if refused {
            open(&self.connection).await.ok()
        } else {
            None
        };
        let goes_on = reopened.is_some();
        match reopened {
            Some(channel) => self.channel = channel,
            None => {
                self.lost.send_replace(true);
            }
        }
        self.settle_all(landed);
        self.returned.clear();
        goes_on
    }

    fn settle_all(&mut self, landed: Vec<Landing>) {
        self.returned.extend(landed.iter().filter_map(carried));
        for (number, confirmation) in landed {
            self.settle(number, confirmation);
        }
    }

    fn settle(&mut self, number: u64, confirmation: lapin::Result<Confirmation>) {
        self.outstanding.end(number);
        let returned = self.returned.remove(&number);
        let Some(flight) = self.pending.remove(&number) else {
            return;
        };
        self.bytes -= flight.bytes;
        let result = match confirmation {
            Ok(_) if returned => Err(Unpublished::Returned),
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_)) => Err(Unpublished::Nacked),
            Ok(Confirmation::NotRequested) => Err(Unpublished::Lost(None)),
            Err(error) => Err(blame(&error, flight.exchange)),
        };
        // A publisher that went away does not want to know.
        drop(flight.reply.send(result));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        for number in self.pending.keys() {
            self.outstanding.end(*number);
        }
    }
}

/// Returns the number of the returned message that a confirmation carries, mostly its own.
fn carried((_, confirmation): &Landing) -> Option<u64> {
    let Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) = confirmation
    else {
        return None;
    };
    let number = returned.properties.correlation_id().as_ref()?;
    number.as_str().parse().ok()
}

async fn open(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

/// The channel's end fails everything in flight; only what used the exchange it is about is refused.
fn blame(error: &lapin::Error, exchange: Exchange) -> Unpublished {
    match Failure::from(error.clone()) {
        Failure::Refused(reason) if reason.contains(&format!("'{}'", exchange.name())) => {
            Unpublished::Refused(reason)
        }
        Failure::Refused(_) | Failure::NotFound(_) | Failure::Lost(_) | Failure::Ended => {
            Unpublished::Lost(Some(error.clone()))
        }
    }
}

fn properties(message: &Message, number: u64) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(message.id.as_str().into())
        .with_type(message.kind.as_str().into())
        .with_correlation_id(number.to_string().into())
}

#[cfg(test)]
mod tests {
    use lapin::message::{BasicReturnMessage, Delivery};

    use super::*;

    fn message() -> Message {
        Message {
            id: "m".to_owned(),
            kind: "k".to_owned(),
            body: "".into(),
        }
    }

    fn returning(number: u64) -> BasicReturnMessage {
        let mut delivery = Delivery::mock(0, "probes".into(), "a".into(), false, Vec::new());
        delivery.properties = properties(&message(), number);
        BasicReturnMessage {
            delivery,
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
        }
    }

    #[test]
    fn a_returned_message_is_told_by_its_number() {
        let own = (3, Ok(Confirmation::Ack(Some(returning(3)))));
        assert_eq!(carried(&own), Some(3));
        // The client library gives it to whichever confirmation it handles next.
        let stored = (5, Ok(Confirmation::Ack(Some(returning(7)))));
        assert_eq!(carried(&stored), Some(7));
        assert_eq!(carried(&(7, Ok(Confirmation::Ack(None)))), None);
    }

    #[test]
    fn only_what_used_the_exchange_is_refused() {
        let reason = "ACCESS_REFUSED - access to exchange 'probes' in vhost 'v' refused";
        let kind = lapin::protocol::AMQPSoftError::ACCESSREFUSED.into();
        let error = lapin::protocol::AMQPError::new(kind, reason.into());
        let error = lapin::Error::from(lapin::ErrorKind::ProtocolError(error));
        let refused = |exchange| matches!(blame(&error, exchange), Unpublished::Refused(_));
        assert!(refused(Exchange::Probes));
        assert!(!refused(Exchange::Receipts));
    }
}
