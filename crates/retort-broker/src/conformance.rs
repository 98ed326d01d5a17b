//! The properties every twin must have, each a function that panics when it does not hold.
//!
//! They use the trait alone, wait without sleeping and rely on nothing a real server does not
//! give: priorities are looked at only where [`Capabilities`](crate::Capabilities) has them, and
//! the delivery limit is reached by ending sessions, not by requeueing. Since receipts,
//! submissions, dead letters and topics have one name each, the suite needs a broker (a virtual
//! host) to itself; domains are new for each run, so that nothing is left over from an earlier one.

pub mod dead;
pub mod ownership;
pub mod queues;
pub mod settling;
pub mod topics;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub use self::trial::Trial;
use crate::Broker;

/// Longest time one property may take: a minute is far beyond the slowest on a busy machine.
const PROPERTY_MAX: Duration = Duration::from_mins(1);

macro_rules! check_all {
    ($run:expr, $make:expr, $($property:path),+ $(,)?) => {{
        let mut number = 0_u32;
        $(
            number += 1;
            let trial = Trial::new($make().await, &format!("{}.{number}", $run));
            let checked = timeout(PROPERTY_MAX, Box::pin($property(&trial))).await;
            assert!(checked.is_ok(), "{} takes too long", stringify!($property));
        )+
    }};
}

/// Checks every property one after the other, each with a broker of its own from `make`.
///
/// `run` becomes part of the names of domains: at most 48 characters out of `a-z 0-9 . _ -`,
/// beginning with a letter or a digit, not used before on the same server.
///
/// # Panics
/// When a property does not hold.
pub async fn run_all(run: &str, make: impl AsyncFn() -> Arc<dyn Broker>) {
    check_all!(
        run,
        make,
        queues::declaring_again_changes_nothing,
        queues::undeclared_queues_are_errors,
        queues::messages_arrive_whole_and_in_order,
        queues::publishers_keep_their_order,
        queues::queues_do_not_mix,
        queues::many_at_once_keep_their_order,
        queues::oversized_messages_are_refused,
        queues::later_messages_come_later,
        queues::purging_leaves_what_is_held,
        queues::depth_counts_what_waits,
        settling::acknowledged_never_returns,
        settling::any_task_settles_in_any_order,
        settling::many_are_acknowledged_at_a_time,
        settling::prefetch_is_respected,
        settling::dropping_an_acker_settles_nothing,
        settling::late_settlements_are_stale,
        settling::requeued_messages_return,
        settling::waiting_ends_when_there_is_work,
        settling::waiting_can_be_cancelled,
        settling::a_fence_opens_and_closes_with_its_session,
        ownership::one_consumer_is_active,
        ownership::held_messages_return_to_the_head,
        ownership::dropping_a_consumer_ends_it,
        ownership::equals_follow_in_order_of_registration,
        ownership::waiting_ends_with_promotion,
        ownership::the_highest_priority_follows,
        ownership::a_higher_priority_waits_until_the_active_is_drained,
        dead::rejected_messages_are_kept_with_their_reason,
        dead::the_delivery_limit_ends_a_poison_message,
        dead::dead_letters_do_not_die,
        topics::each_subscriber_gets_its_own_copy,
        topics::subscribers_hear_what_comes_after_them,
        topics::topics_do_not_mix,
        topics::slow_subscribers_are_told_what_they_missed,
    );
}
