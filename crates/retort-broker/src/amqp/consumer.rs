//! Consumers, the task behind each, and what settles their deliveries.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::Channel;
use lapin::message::Delivery as Received;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicQosOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fence::{LEASE, Lease, PROBE_EVERY, SILENT_MAX};
use super::session::{CLOSE_MAX, Session};
use super::{AmqpBroker, incoming};
use crate::{AckError, Acker, Consumer, DeadLetter, Delivery, Fence, Live, Message, Queue, Settle};

const REPLY_SUCCESS: u16 = 200;

/// One consumer's standing with the broker.
#[derive(Debug)]
struct Standing {
    session: Arc<Session>,
    channel: Channel,
    prefetch: u16,
    ended: AtomicBool,
    /// Deliveries that are not settled. Only while there are any is the broker asked for signs.
    held: AtomicUsize,
    lease: Lease,
    fenced: bool,
}

impl Standing {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn holds_work(&self) -> bool {
        self.held.load(Ordering::Acquire) > 0
    }

    /// Asks the broker for a sign on the very channel that consumes. What is asked for is what is
    /// already so.
    fn probe(&self) -> BoxFuture<'static, lapin::Result<Instant>> {
        let channel = self.channel.clone();
        let prefetch = self.prefetch;
        let sent = Instant::now();
        async move {
            channel
                .basic_qos(prefetch, BasicQosOptions::default())
                .await?;
            Ok(sent)
        }
        .boxed()
    }
}

impl Live for Standing {
    fn is_live(&self) -> bool {
        if !self.fenced {
            return true;
        }
        if self.has_ended() {
            return false;
        }
        let fresh = !self.holds_work() || self.lease.age(Instant::now()) <= LEASE;
        fresh && self.session.is_live() && self.channel.status().connected()
    }
}

#[derive(Debug)]
pub(super) struct AmqpConsumer {
    standing: Arc<Standing>,
    deliveries: mpsc::Receiver<Delivery>,
    /// Dropping it ends the task.
    stop: Option<mpsc::Sender<()>>,
    task: JoinHandle<()>,
}

impl AmqpConsumer {
    /// Starts the task behind a consumer that is registered on `channel`.
    pub(super) fn start(
        broker: AmqpBroker,
        session: Arc<Session>,
        (channel, consumer): (Channel, lapin::Consumer),
        queue: Queue,
        (prefetch, registered): (u16, Instant),
    ) -> Self {
        let standing = Arc::new(Standing {
            session,
            channel,
            prefetch,
            ended: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            lease: Lease::new(registered),
            fenced: !broker.settings().unfenced,
        });
        // The broker delivers no more than this without a settlement.
        let (sender, deliveries) = mpsc::channel(usize::from(prefetch).max(1));
        let (stop, stopped) = mpsc::channel(1);
        let pump = Pump {
            broker,
            queue,
            standing: Arc::clone(&standing),
            deliveries: sender,
            stopped,
        };
        let task = tokio::spawn(pump.run(consumer));
        Self {
            standing,
            deliveries,
            stop: Some(stop),
            task,
        }
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        if self.standing.fenced && self.standing.has_ended() {
            return None;
        }
        let delivery = self.deliveries.recv().await;
        // What was waiting when the session ended is someone else's by now.
        delivery.filter(|_| !self.standing.fenced || !self.standing.has_ended())
    }

    async fn close(mut self: Box<Self>) {
        self.standing.ended.store(true, Ordering::Release);
        self.stop = None;
        // The task panics nowhere; if it did, its channel would be closed all the same.
        drop((&mut self.task).await);
    }

    fn is_live(&self) -> bool {
        self.standing.is_live()
    }

    fn fence(&self) -> Fence {
        Fence::new(Arc::clone(&self.standing) as Arc<dyn Live>)
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        self.standing.ended.store(true, Ordering::Release);
    }
}

/// Moves deliveries from the connection to the consumer and keeps its lease fresh.
struct Pump {
    broker: AmqpBroker,
    queue: Queue,
    standing: Arc<Standing>,
    deliveries: mpsc::Sender<Delivery>,
    stopped: mpsc::Receiver<()>,
}

impl Pump {
    async fn run(mut self, consumer: lapin::Consumer) {
        // Dropping the library's consumer cancels it, after which the broker serves the next one
        // while this one still holds deliveries. So it is dropped only when its channel is closed:
        // if this task is dropped half way, never.
        let mut consumer = ManuallyDrop::new(consumer);
        self.work(&mut consumer).await;
        self.standing.ended.store(true, Ordering::Release);
        let closing = self.standing.channel.close(REPLY_SUCCESS, "done".into());
        drop(timeout(CLOSE_MAX, closing).await);
        drop(ManuallyDrop::into_inner(consumer));
    }

    /// Works until the consumer is closed, the broker cancels it, or the session is lost.
    async fn work(&mut self, consumer: &mut lapin::Consumer) {
        let mut probe: OptionFuture<_> = None.into();
        // When the question was sent that has no answer yet.
        let mut asked: Option<Instant> = None;
        // A delivery that came when there was no fresh sign, with its place in line.
        let mut waiting: Option<Received> = None;
        loop {
            let due = self.standing.lease.age(Instant::now());
            let due = tokio::time::sleep(PROBE_EVERY.saturating_sub(due));
            let wanted = self.standing.fenced && asked.is_none() && self.standing.holds_work();
            let silent = asked.map_or(Duration::ZERO, |asked| asked.elapsed());
            let silent = tokio::time::sleep(SILENT_MAX.saturating_sub(silent));
            tokio::select! {
                biased;
                _ = self.stopped.recv() => return,
                () = self.standing.session.wait_lost() => return,
                Some(answer) = &mut probe, if asked.is_some() => {
                    asked = None;
                    let Ok(sent) = answer else { return };
                    self.standing.lease.renew(sent);
                    if let Some(received) = waiting.take() {
                        self.deliver(received);
                    }
                }
                () = due, if wanted => {
                    asked = Some(Instant::now());
                    probe = Some(self.standing.probe()).into();
                }
                () = silent, if asked.is_some() => {
                    tracing::warn!(queue = %self.queue, "the broker does not answer; its session is given up");
                    return self.standing.session.give_up();
                }
                received = consumer.next(), if waiting.is_none() => {
                    let Some(Ok(received)) = received else { return };
                    self.standing.held.fetch_add(1, Ordering::AcqRel);
                    let stale = self.standing.lease.age(Instant::now()) > LEASE;
                    if self.standing.fenced && stale {
                        waiting = Some(received);
                    } else {
                        self.deliver(received);
                    }
                }
            }
        }
    }

    fn deliver(&self, received: Received) {
        let incoming = incoming::read(&received, &self.queue);
        let ticket = Ticket {
            broker: self.broker.clone(),
            queue: self.queue.clone(),
            message: incoming.message.clone(),
            standing: Arc::clone(&self.standing),
            acker: received.acker,
        };
        let acker = Acker::new(Box::new(ticket));
        let delivery = Delivery::new(incoming.message, incoming.returns, acker);
        // There is room, and a consumer that went away stops the task next.
        drop(
            self.deliveries
                .try_send(delivery.again(received.redelivered)),
        );
    }
}

/// Settles one delivery.
#[derive(Debug)]
struct Ticket {
    broker: AmqpBroker,
    queue: Queue,
    message: Message,
    standing: Arc<Standing>,
    acker: lapin::Acker,
}

impl Ticket {
    /// Waits until a settlement is sent, while the session stands. The library calls one that came too
    /// late no error, but says that it did nothing.
    async fn settle(
        &self,
        settling: impl Future<Output = lapin::Result<bool>>,
    ) -> Result<(), AckError> {
        let done = tokio::select! {
            biased;
            done = settling => done,
            () = self.standing.session.wait_lost() => return Err(AckError::Stale),
        };
        if !done.unwrap_or(false) {
            return Err(AckError::Stale);
        }
        self.standing.held.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    fn is_stale(&self) -> bool {
        self.standing.has_ended() || !self.acker.usable()
    }

    async fn remove(&self) -> Result<(), AckError> {
        if self.is_stale() {
            return Err(AckError::Stale);
        }
        self.settle(self.acker.ack(BasicAckOptions::default()))
            .await
    }
}

#[async_trait]
impl Settle for Ticket {
    async fn acknowledge(self: Box<Self>) -> Result<(), AckError> {
        self.remove().await
    }

    async fn reject(self: Box<Self>, reason: &str) -> Result<(), AckError> {
        if self.queue == Queue::Dead {
            return self.requeue().await;
        }
        if self.is_stale() {
            return Err(AckError::Stale);
        }
        let letter = DeadLetter::new(self.queue.clone(), reason, self.message.clone());
        let buried = self.broker.bury(&letter).await;
        buried.map_err(AckError::DeadLetter)?;
        self.remove().await
    }

    async fn requeue(self: Box<Self>) -> Result<(), AckError> {
        if self.is_stale() {
            return Err(AckError::Stale);
        }
        let options = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        self.settle(self.acker.nack(options)).await
    }
}
