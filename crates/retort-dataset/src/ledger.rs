//! Which samples of a plan are done: two bits each, rebuilt from the store at any time.

mod rebuild;
#[cfg(test)]
mod tests;

use retort_types::Outcome;

pub use rebuild::{LedgerRow, rebuild};

/// Samples per word.
const PER_WORD: u64 = 32;
/// The low bit of every pair.
const LOW_BITS: u64 = 0x5555_5555_5555_5555;

const OPEN: u64 = 0b00;
const MEASURED: u64 = 0b01;
const MISSING: u64 = 0b10;

/// The samples of a plan, each open, measured, or ended without a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    words: Vec<u64>,
    total: u64,
    measured: u64,
    missing: u64,
}

impl Ledger {
    /// Returns a ledger of `total` open samples.
    pub fn new(total: u64) -> Self {
        let words = usize::try_from(total.div_ceil(PER_WORD)).unwrap_or(usize::MAX);
        Self {
            words: vec![0; words],
            total,
            measured: 0,
            missing: 0,
        }
    }

    /// Notes that the sample at `index` ended so, and returns whether it was open.
    ///
    /// A measurement replaces the lack of one, never the other way round. An index outside the plan
    /// is no sample of it.
    pub fn record(&mut self, index: u64, outcome: Outcome) -> bool {
        let Some(state) = self.state(index) else {
            return false;
        };
        let new = if outcome.is_missing() {
            MISSING
        } else {
            MEASURED
        };
        match (state, new) {
            (OPEN, MISSING) => self.missing += 1,
            (OPEN, _) => self.measured += 1,
            (MISSING, MEASURED) => {
                self.missing -= 1;
                self.measured += 1;
            }
            _ => return false,
        }
        self.set(index, new);
        state == OPEN
    }

    /// Returns whether the sample at `index` has ended.
    pub fn is_done(&self, index: u64) -> bool {
        self.state(index).is_some_and(|state| state != OPEN)
    }

    /// Returns whether the sample at `index` ended without a measurement.
    pub fn is_missing(&self, index: u64) -> bool {
        self.state(index) == Some(MISSING)
    }

    /// Returns the number of samples.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns how many samples have ended.
    pub const fn done_count(&self) -> u64 {
        self.measured + self.missing
    }

    /// Returns how many samples ended without a measurement.
    pub const fn missing_count(&self) -> u64 {
        self.missing
    }

    /// Returns how many samples have not ended.
    pub const fn open_count(&self) -> u64 {
        self.total - self.done_count()
    }

    /// Returns the first open sample from `index` on.
    pub fn first_open_from(&self, index: u64) -> Option<u64> {
        let start = usize::try_from(index / PER_WORD).ok()?;
        // Samples before `index` in its word count as done.
        let mut before = (1_u64 << (index % PER_WORD * 2)) - 1;
        for (word_index, word) in (index / PER_WORD..).zip(self.words.get(start..)?) {
            let done = (word | word >> 1) | before;
            let open = !done & LOW_BITS;
            if open != 0 {
                let found = word_index * PER_WORD + u64::from(open.trailing_zeros() / 2);
                return (found < self.total).then_some(found);
            }
            before = 0;
        }
        None
    }

    /// Opens every sample that ended without a measurement, and returns how many there were.
    pub fn forget_missing(&mut self) -> u64 {
        for word in &mut self.words {
            *word &= LOW_BITS;
        }
        std::mem::take(&mut self.missing)
    }

    fn state(&self, index: u64) -> Option<u64> {
        if index >= self.total {
            return None;
        }
        let word = self.words.get(usize::try_from(index / PER_WORD).ok()?)?;
        Some(word >> (index % PER_WORD * 2) & 0b11)
    }

    fn set(&mut self, index: u64, state: u64) {
        let shift = index % PER_WORD * 2;
        let word = usize::try_from(index / PER_WORD).unwrap_or(usize::MAX);
        if let Some(word) = self.words.get_mut(word) {
            *word = *word & !(0b11 << shift) | state << shift;
        }
    }
}
