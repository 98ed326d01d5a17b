//! Which worker a domain falls to: each claims every domain, and claims differ by worker and domain.

use std::time::Duration;

use retort_types::DomainId;
use xxhash_rust::xxh3::xxh3_64;

/// How strongly a worker claims a domain: the highest of all workers owns it, so that each domain
/// has an owner nobody had to agree on, and one more worker moves only what falls to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim(u64);

impl Claim {
    /// Returns the claim of a worker on a domain: always the same for the same two names.
    pub(super) fn new(worker_id: &str, domain: &DomainId) -> Self {
        // No name holds a zero byte, so that no two pairs are one text.
        Self(xxh3_64(format!("{worker_id}\0{domain}").as_bytes()))
    }

    /// Returns the priority of the consumer. AMQP takes any signed 32-bit number.
    pub(super) fn priority(self) -> i32 {
        i32::try_from(self.0 >> 33).unwrap_or(i32::MAX)
    }

    /// Returns how long to wait before the claim is made, up to `spread`: the strongest come first,
    /// where the broker gives a domain to whoever does.
    pub(super) fn delay(self, spread: Duration) -> Duration {
        let weakness = 1.0 - f64::from(self.priority()) / f64::from(i32::MAX);
        spread.mul_f64(weakness.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_stable_and_spread_domains_evenly() {
        let domain = |n: u32| DomainId::new(&format!("account-{n}")).unwrap();
        assert_eq!(Claim::new("a", &domain(0)), Claim::new("a", &domain(0)));
        let workers = ["worker-0", "worker-1", "worker-2", "worker-3"];
        let owner = |n| {
            workers
                .iter()
                .max_by_key(|w| Claim::new(w, &domain(n)).priority())
        };
        for worker in &workers {
            let owned = (0..2_000).filter(|n| owner(*n) == Some(worker)).count();
            assert!((400..600).contains(&owned), "{worker} owns {owned} of 2000");
        }
    }

    #[test]
    fn stronger_claims_are_made_earlier() {
        let claims = (0..100).map(|n| Claim::new("w", &DomainId::new(&format!("d{n}")).unwrap()));
        let mut claims: Vec<Claim> = claims.collect();
        claims.sort_by_key(|claim| claim.priority());
        let delays: Vec<Duration> = claims
            .iter()
            .map(|c| c.delay(Duration::from_secs(2)))
            .collect();
        assert!(delays.is_sorted_by(|a, b| a >= b));
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(2)));
    }
}
