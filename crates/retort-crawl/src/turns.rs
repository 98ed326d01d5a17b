//! Waits for several things without leaving the choice between them to chance.

/// Waits like `tokio::select!` for two groups of events, each in its order, and gives either group the
/// first say in turn: as fair as a random choice, and the same in every run of a simulated fleet.
macro_rules! in_turn {
    ($first:expr, { $($these:tt)* }, { $($those:tt)* }) => {
        if $first {
            tokio::select! { biased; $($these)* $($those)* }
        } else {
            tokio::select! { biased; $($those)* $($these)* }
        }
    };
}

pub(crate) use in_turn;
