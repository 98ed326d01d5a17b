//! What a coordinator hears of workers: from its own queue, or from whoever reads it for many.

use std::sync::Arc;

use retort_broker::{Consumer, Delivery, Fence};
use tokio::sync::mpsc;

use crate::fleet::Share;
use crate::message::{HEARTBEAT_KIND, Heartbeat, PING_KIND, RECEIPT_KIND, Receipt, carried};

/// What a worker told.
#[derive(Debug, Clone)]
pub enum Note {
    /// Rows are durable.
    Receipt(Arc<Receipt>),
    /// How it is doing.
    Heartbeat(Arc<Heartbeat>),
}

impl Note {
    /// Reads a message of the receipts queue; what is unreadable is told in the log and is nothing.
    pub(crate) fn of(delivery: &Delivery) -> Option<Self> {
        let message = &delivery.message;
        let read = match message.kind.as_str() {
            RECEIPT_KIND => carried(message).map(Self::Receipt),
            HEARTBEAT_KIND => carried(message).map(Self::Heartbeat),
            PING_KIND => return None,
            other => {
                tracing::warn!(kind = other, "a message of unknown kind among the receipts");
                return None;
            }
        };
        match read {
            Ok(note) => Some(note),
            Err(error) => {
                tracing::warn!(error = %error, "a message of a worker is unreadable");
                None
            }
        }
    }
}

/// What a coordinator of one campaign among several is given.
#[derive(Debug)]
pub struct Membership {
    /// What workers tell.
    pub notes: mpsc::Receiver<Note>,
    /// Whether its samples may have been published before, so that others may be asking them.
    pub resumed: bool,
    /// Its part of the domains.
    pub share: Share,
    /// Why what is open ends unasked, when publishing it again and again led nowhere.
    pub given_up: Option<String>,
    /// Whether its process is still the one that carries campaigns out, for all it knows.
    pub fence: Fence,
}

/// Where notes come from.
#[derive(Debug)]
pub(super) enum Hearing {
    Own(Box<dyn Consumer>),
    Shared(mpsc::Receiver<Note>),
}

/// One thing that was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// To be acknowledged once it is taken in.
    Delivery(Delivery),
    Note(Note),
}

impl Hearing {
    /// Returns what is heard next, waiting for it; nothing once there will be no more.
    ///
    /// Cancel safe: a future dropped early takes nothing with it.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        match self {
            Self::Own(consumer) => consumer.next().await.map(Heard::Delivery),
            Self::Shared(notes) => notes.recv().await.map(Heard::Note),
        }
    }
}
