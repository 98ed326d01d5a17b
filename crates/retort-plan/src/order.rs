//! The random order of a plan: `retort.order.v1`.
//!
//! Everything is written out here, from the key to the shuffle, so that no other library's choice
//! can change the order of a plan that was made earlier. Keys are SHA-256 digests of canonical
//! JSON; the numbers are the 32-bit words of the `ChaCha8` stream under that key.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use retort_types::{CampaignId, Digest};

/// Name and version of the algorithm, as plans state it.
pub const ORDER_ALGORITHM: &str = "retort.order.v1";

/// The order of one campaign's plan.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    campaign: CampaignId,
    seed: u64,
    models_key: [u8; 32],
}

impl Order {
    pub(crate) fn new(campaign: &CampaignId, seed: u64) -> Self {
        let models_key = key(campaign, seed, "models", None);
        Self {
            campaign: campaign.clone(),
            seed,
            models_key,
        }
    }

    /// Returns the numbers from 0 to `cells` - 1 in the order in which `round` asks them.
    pub(crate) fn cells(&self, round: u32, cells: u32) -> Vec<u32> {
        let key = key(&self.campaign, self.seed, "cells", Some(round));
        let mut order: Vec<u32> = (0..cells).collect();
        shuffle(&mut order, &mut ChaCha8Rng::from_seed(key));
        order
    }

    /// Returns the numbers from 0 to `models` - 1 in the order in which block `block` asks them.
    pub(crate) fn models(&self, block: u32, models: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..models).collect();
        if models > 1 {
            let mut stream = ChaCha8Rng::from_seed(self.models_key);
            stream.set_stream(u64::from(block));
            shuffle(&mut order, &mut stream);
        }
        order
    }
}

/// Returns the SHA-256 of the canonical JSON `[algorithm, campaign, seed, what]`, or of the same
/// with the round behind. Names of campaigns need no escaping, and seeds are below 2^53.
fn key(campaign: &CampaignId, seed: u64, what: &str, round: Option<u32>) -> [u8; 32] {
    let round = round.map_or_else(String::new, |round| format!(",{round}"));
    let text = format!("[\"{ORDER_ALGORITHM}\",\"{campaign}\",{seed},\"{what}\"{round}]");
    *Digest::of(text.as_bytes()).as_bytes()
}

/// Shuffles `items` so that every order is equally likely (Fisher and Yates, from the end).
fn shuffle(items: &mut [u32], stream: &mut ChaCha8Rng) {
    let mut rest = u32::try_from(items.len()).unwrap_or(u32::MAX);
    while rest > 1 {
        let chosen = below(rest, stream);
        rest -= 1;
        items.swap(rest as usize, chosen as usize);
    }
}

/// Returns a number from 0 to `bound` - 1, each equally likely (Lemire, doi:10.1145/3230636): the
/// high half of a product, drawn again where the low half would favour some numbers.
pub(crate) fn below(bound: u32, stream: &mut ChaCha8Rng) -> u32 {
    let unfair = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(stream.next_u32()) * u64::from(bound);
        let [high, low] = [product >> 32, product & u64::from(u32::MAX)];
        if low >= u64::from(unfair) {
            return u32::try_from(high).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Order {
        Order::new(&CampaignId::new("known-answer").unwrap(), seed)
    }

    #[test]
    fn a_draw_below_a_bound_is_unbiased() {
        // 3 does not divide 2^32: one word in 2^32 is drawn again, and the rest are fair.
        let mut stream = ChaCha8Rng::from_seed([7; 32]);
        let mut counts = [0_u32; 3];
        for _ in 0..30_000 {
            counts[below(3, &mut stream) as usize] += 1;
        }
        // Chi-square with 2 degrees of freedom; 13.8 is passed once in a thousand seeds.
        let chi_square: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0)
            .sum();
        assert!(chi_square < 13.8, "{counts:?}");
        assert_eq!(below(1, &mut stream), 0);
    }

    #[test]
    fn rounds_blocks_and_seeds_have_orders_of_their_own() {
        let one = order(1);
        assert_ne!(one.cells(0, 50), one.cells(1, 50));
        assert_ne!(one.cells(0, 50), order(2).cells(0, 50));
        assert_ne!(one.models(0, 50), one.models(1, 50));
        assert_ne!(one.models(0, 50), order(2).models(0, 50));
        assert_ne!(one.cells(0, 50), one.models(0, 50));
    }
}
