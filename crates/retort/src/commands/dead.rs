//! `retort dead`: messages that nobody could use.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use retort_broker::{Broker, ConsumeOptions, Consumer, DeadLetter, Delivery, Queue};
use serde::Serialize;
use tokio::time::timeout;

use super::{Context, fleet};
use crate::cli::{DeadCommand, Which};
use crate::failure::Failure;
use crate::output::{self, Table, line};

/// Most letters looked at: AMQP hands out no more at the same time.
const LETTERS_MAX: u32 = 65_535;

/// How long the next letter may take: they are all there already.
const NEXT_PATIENCE: Duration = Duration::from_secs(3);

/// Longest reason within a table.
const SHOWN_CHARS: usize = 100;

/// A dead letter as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    queue: String,
    kind: String,
    size_bytes: usize,
    reason: String,
}

/// Carries out a command on dead letters.
pub(crate) async fn dead(context: &Context, command: &DeadCommand) -> Result<u8, Failure> {
    let broker = fleet::broker(context, "dead").await?;
    broker.declare(&Queue::Dead).await.map_err(fleet::explain)?;
    let done = match command {
        DeadCommand::List { most, json } => list(&broker, *most, *json).await,
        DeadCommand::Requeue(which) => settle(&broker, which, true).await,
        DeadCommand::Drop(which) => settle(&broker, which, false).await,
    };
    broker.close().await;
    done
}

/// Takes letters out until the queue is empty or `most` are taken. They go back when the consumer
/// ends, unless they are settled.
async fn taken(
    broker: &dyn Broker,
    most: u32,
) -> Result<(Box<dyn Consumer>, Vec<Delivery>), Failure> {
    let most = most.clamp(1, LETTERS_MAX);
    let options = ConsumeOptions {
        prefetch: NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN),
        priority: 0,
    };
    let waiting = broker.depth(&Queue::Dead).await.map_err(fleet::explain)?;
    let consumer = broker.consume(&Queue::Dead, options).await;
    let mut consumer = consumer.map_err(fleet::explain)?;
    let mut letters = Vec::new();
    let wanted = waiting.unwrap_or(u64::from(most)).min(u64::from(most));
    while (letters.len() as u64) < wanted {
        match timeout(NEXT_PATIENCE, consumer.next()).await {
            Ok(Some(letter)) => letters.push(letter),
            Ok(None) => return Err(Failure::new("the session with the broker ended")),
            // Someone else looks at them, or took them.
            Err(_) => break,
        }
    }
    Ok((consumer, letters))
}

/// Returns what is told of a letter. One that the broker itself gave up is no envelope.
fn shown(delivery: &Delivery) -> Shown {
    let message = &delivery.message;
    match DeadLetter::from_message(message) {
        Ok(letter) => Shown {
            id: output::visible(&letter.message.id),
            queue: letter.queue.to_string(),
            kind: output::visible(&letter.message.kind),
            size_bytes: letter.message.body.bytes_at_most(),
            reason: output::visible(&letter.reason),
        },
        Err(error) => Shown {
            id: output::visible(&message.id),
            queue: String::new(),
            kind: output::visible(&message.kind),
            size_bytes: message.body.bytes_at_most(),
            reason: error.to_string(),
        },
    }
}

async fn list(broker: &dyn Broker, most: u32, json: bool) -> Result<u8, Failure> {
    let (consumer, letters) = taken(broker, most).await?;
    let letters: Vec<Shown> = letters.iter().map(shown).collect();
    consumer.close().await;
    if json {
        output::json(&letters)?;
        return Ok(0);
    }
    if letters.is_empty() {
        line("no dead letters");
        return Ok(0);
    }
    let mut table = Table::new("lllrl", &["id", "queue", "kind", "bytes", "reason"]);
    for letter in letters {
        table.row(vec![
            letter.id,
            letter.queue,
            letter.kind,
            output::count(letter.size_bytes as u64),
            letter.reason.chars().take(SHOWN_CHARS).collect(),
        ]);
    }
    line(&table.to_string());
    Ok(0)
}

async fn settle(broker: &dyn Broker, which: &Which, requeue: bool) -> Result<u8, Failure> {
    let wanted: BTreeSet<&str> = which.ids.iter().map(String::as_str).collect();
    let (consumer, letters) = taken(broker, LETTERS_MAX).await?;
    let mut found = BTreeSet::new();
    let (mut done, mut kept) = (0_u64, 0_u64);
    for delivery in letters {
        let id = shown(&delivery).id;
        if !which.all && !wanted.contains(id.as_str()) {
            continue;
        }
        found.insert(id);
        if requeue {
            let Ok(letter) = DeadLetter::from_message(&delivery.message) else {
                kept += 1;
                continue;
            };
            broker
                .declare(&letter.queue)
                .await
                .map_err(fleet::explain)?;
            let published = broker.publish(&letter.queue, letter.message).await;
            published.map_err(fleet::explain)?;
        }
        delivery.acknowledge().await?;
        done += 1;
    }
    consumer.close().await;
    let word = if requeue { "requeued" } else { "dropped" };
    line(&format!("{} dead letters {word}", output::count(done)));
    if kept > 0 {
        return Err(Failure::new(format!(
            "{kept} letters do not say which queue they came from"
        ))
        .hint("drop them: retort dead drop ID"));
    }
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|id| !found.contains(*id))
        .collect();
    if missing.is_empty() {
        return Ok(0);
    }
    Err(
        Failure::new(format!("no dead letter `{}`", missing.join("`, `")))
            .hint("see them with `retort dead list`"),
    )
}
