//! Announcements: a copy for each subscriber, without acknowledgement.

use super::trial::{self, Trial, check_silent, hear};
use crate::{TOPIC_BACKLOG, Topic};

/// Every subscriber hears everything once, in order.
pub async fn each_subscriber_gets_its_own_copy(trial: &Trial) {
    let mut first = trial.subscribe(Topic::Control).await;
    let mut second = trial.subscribe(Topic::Control).await;
    trial.announce(Topic::Control, 0..5).await;
    hear(&mut first, 0..5).await;
    // One that leaves takes nothing away from the other.
    drop(first);
    trial.announce(Topic::Control, 5..6).await;
    hear(&mut second, 0..6).await;
    check_silent(&mut second).await;
    assert_eq!(second.take_missed(), 0);
}

/// Announcing to nobody is no failure, and nobody hears it later.
pub async fn subscribers_hear_what_comes_after_them(trial: &Trial) {
    trial.announce(Topic::Events, 0..2).await;
    let mut subscription = trial.subscribe(Topic::Events).await;
    trial.announce(Topic::Events, 2..3).await;
    hear(&mut subscription, 2..3).await;
    check_silent(&mut subscription).await;
}

/// A subscriber hears its own topic alone.
pub async fn topics_do_not_mix(trial: &Trial) {
    let mut control = trial.subscribe(Topic::Control).await;
    let mut events = trial.subscribe(Topic::Events).await;
    trial.announce(Topic::Events, 0..1).await;
    trial.announce(Topic::Control, 1..2).await;
    hear(&mut events, 0..1).await;
    hear(&mut control, 1..2).await;
    check_silent(&mut events).await;
    check_silent(&mut control).await;
}

/// A subscriber that lets more than the backlog pile up may lose announcements, but hears the
/// latest, in order, and learns how many it lost.
pub async fn slow_subscribers_are_told_what_they_missed(trial: &Trial) {
    let backlog = u32::try_from(TOPIC_BACKLOG).expect("the backlog is small");
    let announced = backlog + 50;
    let mut subscription = trial.subscribe(Topic::Control).await;
    trial.announce(Topic::Control, 0..announced).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&(announced - 1)) {
        let message = trial::hear_next(&mut subscription).await;
        heard.push(message.id.parse::<u32>().expect("ids are numbers"));
    }
    assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
    let missed = subscription.take_missed();
    assert_eq!(missed + heard.len() as u64, u64::from(announced));
    assert_eq!(subscription.take_missed(), 0);
    check_silent(&mut subscription).await;
}
