//! One queue: what waits, what is held, and who consumes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::{AckError, ConsumeOptions, Message};

/// Number of a consumer, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConsumerId(pub(super) u64);

/// Number of a stored message, never used twice; ascending in the order of publication.
pub(super) type Number = u64;

/// A stored message and how often it came back.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) returns: u32,
}

/// What a consumer finds when it asks for a delivery.
#[derive(Debug)]
pub(super) enum Taken {
    Delivery {
        number: Number,
        message: Message,
        returns: u32,
    },
    Nothing,
    Ended,
}

struct Member {
    id: ConsumerId,
    options: ConsumeOptions,
    changed: Arc<Notify>,
}

/// A queue with a single active consumer.
pub(super) struct WorkQueue {
    // How often a message may come back.
    returns_max: u32,
    // Ordered by number, so that whatever returns is in its old place, which is the head.
    waiting: BTreeMap<Number, Entry>,
    // All of the active consumer: it loses them when it ends, and hands over only without any.
    held: BTreeMap<Number, Entry>,
    // In the order of registration.
    members: Vec<Member>,
    active: Option<ConsumerId>,
}

impl WorkQueue {
    /// Returns a queue whose messages may come back so often.
    pub(super) fn new(returns_max: u32) -> Self {
        Self {
            returns_max,
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            members: Vec::new(),
            active: None,
        }
    }

    /// Returns how many messages wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many messages wait or are held.
    pub(super) fn stored(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    pub(super) fn push(&mut self, number: Number, message: Message) {
        let entry = Entry {
            message,
            returns: 0,
        };
        self.waiting.insert(number, entry);
        self.wake();
    }

    /// Drops the oldest message that waits; tells whether there was one.
    pub(super) fn drop_oldest(&mut self) -> bool {
        self.waiting.pop_first().is_some()
    }

    /// Drops what waits and returns how many.
    pub(super) fn purge(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }

    pub(super) fn join(&mut self, id: ConsumerId, options: ConsumeOptions) -> Arc<Notify> {
        let changed = Arc::new(Notify::new());
        self.members.push(Member {
            id,
            options,
            changed: Arc::clone(&changed),
        });
        self.elect();
        changed
    }

    pub(super) fn has(&self, id: ConsumerId) -> bool {
        self.members.iter().any(|member| member.id == id)
    }

    /// Ends a session at the wish of its consumer, which waits no more. Returns what came back once too often.
    pub(super) fn leave(&mut self, id: ConsumerId) -> Vec<Entry> {
        let Some(position) = self.members.iter().position(|member| member.id == id) else {
            return Vec::new();
        };
        self.members.remove(position);
        if self.active != Some(id) {
            return Vec::new();
        }
        self.active = None;
        let exhausted = self.return_held();
        self.elect();
        exhausted
    }

    /// Ends every session. Returns what came back once too often.
    pub(super) fn cut(&mut self) -> Vec<Entry> {
        for member in self.members.drain(..) {
            member.changed.notify_one();
        }
        self.active = None;
        self.return_held()
    }

    /// Gives the head of the queue to a consumer when it is its turn.
    pub(super) fn take(&mut self, id: ConsumerId) -> Taken {
        let Some(member) = self.members.iter().find(|member| member.id == id) else {
            return Taken::Ended;
        };
        let room = self.held.len() < member.options.prefetch.get() as usize;
        if self.active != Some(id) || !room || self.heir().is_some() {
            return Taken::Nothing;
        }
        let Some((number, entry)) = self.waiting.pop_first() else {
            return Taken::Nothing;
        };
        let message = entry.message.clone();
        let returns = entry.returns;
        self.held.insert(number, entry);
        Taken::Delivery {
            number,
            message,
            returns,
        }
    }

    /// Takes a held message out of the queue.
    pub(super) fn settle(&mut self, id: ConsumerId, number: Number) -> Result<Entry, AckError> {
        if self.active != Some(id) {
            return Err(AckError::Stale);
        }
        let entry = self.held.remove(&number).ok_or(AckError::Stale)?;
        self.elect();
        self.wake();
        Ok(entry)
    }

    /// Puts a message back in its place; returns it when it came back once too often.
    pub(super) fn put_back(&mut self, number: Number, mut entry: Entry) -> Option<Entry> {
        entry.returns = entry.returns.saturating_add(1);
        if entry.returns > self.returns_max {
            return Some(entry);
        }
        // Nobody to wake: settling has done it, and after a session ended electing does.
        self.waiting.insert(number, entry);
        None
    }

    fn return_held(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.held)
            .into_iter()
            .filter_map(|(number, entry)| self.put_back(number, entry))
            .collect()
    }

    fn active(&self) -> Option<&Member> {
        let active = self.active?;
        self.members.iter().find(|member| member.id == active)
    }

    /// Returns the earliest of the members with the highest priority.
    fn best(&self) -> Option<&Member> {
        // Of equals `max_by_key` returns the last, hence the reversal.
        let members = self.members.iter().rev();
        members.max_by_key(|member| member.options.priority)
    }

    /// Returns who takes over once the active consumer holds nothing.
    fn heir(&self) -> Option<ConsumerId> {
        let best = self.best()?;
        let outranks = best.options.priority > self.active()?.options.priority;
        outranks.then_some(best.id)
    }

    fn elect(&mut self) {
        let elected = match self.active {
            None => self.best().map(|member| member.id),
            Some(_) if self.held.is_empty() => self.heir(),
            Some(_) => None,
        };
        if elected.is_some() {
            self.active = elected;
            self.wake();
        }
    }

    /// Makes every consumer look again.
    pub(super) fn wake_all(&self) {
        for member in &self.members {
            member.changed.notify_one();
        }
    }

    fn wake(&self) {
        if let Some(member) = self.active() {
            member.changed.notify_one();
        }
    }
}

impl fmt::Debug for WorkQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkQueue")
            .field("waiting", &self.waiting.len())
            .field("held", &self.held.len())
            .field("consumers", &self.members.len())
            .finish_non_exhaustive()
    }
}
