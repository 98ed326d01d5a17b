//! `retort submit`: hands a campaign to a fleet.

use std::time::Duration;

use retort_broker::{Broker, BrokerError, Message, Queue, Subscription, Topic};
use retort_crawl::fleet::stored_path;
use retort_crawl::message::{
    ACCEPTED_KIND, Accepted, CAMPAIGN_KIND, REJECTED_KIND, Rejected, Stored, parse,
};
use retort_types::digest::canonical_json;
use retort_types::{Campaign, CampaignId, Digest};
use serde::Serialize;
use tokio::time::timeout;

use super::{Context, fleet};
use crate::cli::Submit;
use crate::failure::Failure;
use crate::files;
use crate::output::{self, count, line, note};

/// Largest campaign that travels within its message, in bytes: half of what a message may hold, as
/// a dead letter wraps it once more.
const INLINE_MAX_BYTES: usize = 4 << 20;

/// How long to wait for what the coordinator says. Planning millions of samples takes seconds.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome {
    campaign: CampaignId,
    /// `accepted`, `rejected` or `waiting`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<Accepted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

enum Answer {
    Accepted(Accepted),
    Rejected(String),
}

/// Submits a campaign.
pub(crate) async fn submit(context: &Context, args: &Submit) -> Result<u8, Failure> {
    let campaign = files::campaign_alone(&args.campaign)?;
    let id = campaign.id.clone();
    let body = body(context, &campaign).await?;
    let broker = fleet::broker(context, "submit").await?;
    // Who may submit may not hear the news for that: then nothing is waited for.
    let mut news = if args.no_wait {
        None
    } else {
        broker.subscribe(Topic::Events).await.ok()
    };
    let message = Message {
        id: format!("{id}-{}", uuid::Uuid::from_u128(unique(context, &body))),
        kind: CAMPAIGN_KIND.to_owned(),
        body: body.into(),
    };
    let message_id = message.id.clone();
    publish(&broker, message).await.map_err(fleet::explain)?;
    let answer = match &mut news {
        Some(news) => {
            let answered = timeout(ANSWER_PATIENCE, answer(&mut **news, &id, &message_id)).await;
            answered.ok().flatten()
        }
        None => None,
    };
    drop(news);
    broker.close().await;
    tell(args.json, id, answer)
}

/// Publishes a submission. Its queue is the coordinator's to make, and made here only when there was
/// none yet: who may submit may not make queues for that.
async fn publish(broker: &dyn Broker, message: Message) -> Result<(), BrokerError> {
    match broker.publish(&Queue::Submissions, message.clone()).await {
        Err(BrokerError::UnknownQueue(queue)) => {
            broker.declare(&queue).await?;
            broker.publish(&queue, message).await
        }
        other => other,
    }
}

/// Returns a number that no other submission has: what is submitted, and when.
fn unique(context: &Context, body: &[u8]) -> u128 {
    let when = context.clock.now().as_micros().to_be_bytes();
    let digest = Digest::of(&[&when, body].concat());
    let (first, _) = digest.as_bytes().split_at(16);
    u128::from_be_bytes(first.try_into().unwrap_or_default())
}

/// Returns what travels: the campaign, or the digest of one that is too large.
async fn body(context: &Context, campaign: &Campaign) -> Result<Vec<u8>, Failure> {
    let text = canonical_json(campaign)?.into_bytes();
    if text.len() <= INLINE_MAX_BYTES {
        return Ok(text);
    }
    let campaign_sha256 = Digest::of(&text);
    note(&format!(
        "the campaign has {} bytes and goes through the store",
        count(text.len() as u64)
    ));
    let store = files::store(context)?;
    store
        .put(&stored_path(campaign_sha256), text.into())
        .await?;
    Ok(serde_json::to_vec(&Stored { campaign_sha256 })?)
}

/// Returns what the coordinator says of this submission; nothing when it will say no more.
async fn answer(news: &mut dyn Subscription, id: &CampaignId, message_id: &str) -> Option<Answer> {
    while let Some(message) = news.next().await {
        if message.kind == ACCEPTED_KIND
            && let Ok(accepted) = parse::<Accepted>(&message)
            && accepted.campaign == *id
        {
            return Some(Answer::Accepted(accepted));
        }
        if message.kind == REJECTED_KIND
            && let Ok(rejected) = parse::<Rejected>(&message)
            && rejected.message == message_id
        {
            return Some(Answer::Rejected(rejected.reason));
        }
    }
    None
}

fn tell(json: bool, campaign: CampaignId, answer: Option<Answer>) -> Result<u8, Failure> {
    let refused = match &answer {
        Some(Answer::Rejected(reason)) => Some(reason.clone()),
        Some(Answer::Accepted(_)) | None => None,
    };
    if json {
        let (result, accepted) = match answer {
            Some(Answer::Accepted(accepted)) => ("accepted", Some(accepted)),
            Some(Answer::Rejected(_)) => ("rejected", None),
            None => ("waiting", None),
        };
        let code = u8::from(refused.is_some());
        output::json(&Outcome {
            campaign,
            result,
            accepted,
            reason: refused,
        })?;
        return Ok(code);
    }
    if let Some(reason) = refused {
        let reason = output::visible(&reason);
        return Err(
            Failure::new(format!("campaign `{campaign}` is refused: {reason}"))
                .hint("the message lies among the dead letters: retort dead list"),
        );
    }
    match answer {
        Some(Answer::Accepted(accepted)) if accepted.existed => line(&format!(
            "campaign `{campaign}` was submitted before; nothing changes"
        )),
        Some(Answer::Accepted(accepted)) => line(&format!(
            "campaign `{campaign}` is taken up: {} samples, plan {}",
            count(accepted.planned),
            accepted.plan_hash.short()
        )),
        Some(Answer::Rejected(_)) | None => line(&format!(
            "campaign `{campaign}` is handed over; no coordinator has answered yet"
        )),
    }
    Ok(0)
}
