//! How campaigns that are open at the same time share the domains: by their weights.

use std::num::NonZeroU8;

use tokio::sync::watch;

/// Adds up the weights of the campaigns that are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shares(watch::Sender<u64>);

impl Shares {
    /// Counts a campaign in until the share is dropped.
    pub(crate) fn join(&self, weight: NonZeroU8) -> Share {
        let own = u64::from(weight.get());
        self.0.send_modify(|total| *total += own);
        Share {
            own,
            total: self.0.clone(),
        }
    }
}

/// One campaign's share.
#[derive(Debug)]
pub struct Share {
    own: u64,
    total: watch::Sender<u64>,
}

impl Share {
    /// Returns the part of `whole` that is this campaign's, rounded down.
    pub(crate) fn of(&self, whole: usize) -> usize {
        let total = (*self.total.borrow()).max(self.own).max(1);
        let part = u128::from(self.own) * whole as u128 / u128::from(total);
        usize::try_from(part).unwrap_or(whole)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.send_modify(|total| *total -= self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_share_what_there_is() {
        let shares = Shares::default();
        let join = |weight| shares.join(NonZeroU8::new(weight).unwrap());
        let first = join(1);
        assert_eq!(first.of(1_000), 1_000, "alone it has everything");
        let second = join(3);
        assert_eq!((first.of(1_000), second.of(1_000)), (250, 750));
        drop(first);
        assert_eq!(second.of(1_000), 1_000);
    }
}
