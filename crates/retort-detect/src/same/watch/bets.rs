//! How the e-process bets: several experts learn from the past, and wealth moves to those that win.

use std::collections::BTreeMap;

use super::Pair;

/// Kinds of evidence: whole replies by prompt, first characters by prompt, habits of all prompts.
const VIEWS: usize = 3;

/// How boldly each view's odds are taken: learned odds promise too much.
const BOLDNESS: [f64; 3] = [0.25, 0.5, 1.0];

/// One expert for each view and boldness, and one that never bets.
const EXPERTS: usize = VIEWS * BOLDNESS.len() + 1;

/// Share of every expert's wealth that is dealt out anew after each pair, so that one which begins
/// to win late is not ruined before (Herbster and Warmuth 1998).
const SHARED: f64 = 0.001;

/// No bet stakes more than this chance of ruin: one wrong bet costs at most a factor of 10.
const LEAST_CHANCE: f64 = 0.05;

/// First characters of a reply, as in `genes`.
const OPENING_CHARS: usize = 4;

/// Characters of a reply whose habits are learned.
const HABIT_CHARS: usize = 1_000;

/// Draws that the pooled distribution counts as.
const PRIOR_DRAWS: f64 = 2.0;

/// Most different replies that are remembered; later ones count as new each time.
const REMEMBERED_MAX: usize = 1 << 20;

/// Weights of habits. Hashed, so that memory does not grow with the vocabulary.
const WEIGHTS: usize = 1 << 12;

/// Step of the learner of habits, the customary one of `AdaGrad` for features of unit length.
const STEP: f64 = 0.5;

/// The experts with their wealth.
#[derive(Debug, Clone)]
pub(super) struct Bettor {
    /// Natural logarithm of the whole wealth.
    log_wealth: f64,
    /// Shares of it; they add up to 1.
    shares: [f64; EXPERTS],
    whole: Counts,
    opening: Counts,
    habits: Habits,
}

impl Bettor {
    pub(super) fn new() -> Self {
        Self {
            log_wealth: 0.0,
            shares: [1.0 / EXPERTS as f64; EXPERTS],
            whole: Counts::default(),
            opening: Counts::default(),
            habits: Habits::new(),
        }
    }

    pub(super) fn log_wealth(&self) -> f64 {
        self.log_wealth
    }

    /// Bets on one pair's coin, is paid, and learns. Two equal replies tell nothing.
    pub(super) fn bet(&mut self, pair: &Pair<'_>) {
        let texts = [pair.first, pair.second];
        let wholes = texts.map(|text| hash(text.trim().chars()));
        let openings = texts.map(|text| hash(text.trim_start().chars().take(OPENING_CHARS)));
        let difference = (pair.first != pair.second).then(|| difference(texts));
        let odds = [
            self.whole.odds(pair.prompt, wholes),
            self.opening.odds(pair.prompt, openings),
            difference.as_ref().map_or(0.0, |d| self.habits.odds(d)),
        ];
        if difference.is_some() {
            self.pay(odds, pair.suspect_first);
        }
        let suspect = usize::from(!pair.suspect_first);
        self.whole.learn(pair.prompt, wholes, suspect);
        self.opening.learn(pair.prompt, openings, suspect);
        if let Some(difference) = difference {
            self.habits.learn(&difference, pair.suspect_first);
        }
    }

    /// Pays every expert: twice the chance it gave to what the coin shows.
    fn pay(&mut self, odds: [f64; VIEWS], suspect_first: bool) {
        let mut paid = self.shares;
        for (view, odds) in odds.iter().enumerate() {
            for (place, boldness) in BOLDNESS.iter().enumerate() {
                let chance = logistic(boldness * odds).clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE);
                let given = if suspect_first { chance } else { 1.0 - chance };
                paid[view * BOLDNESS.len() + place] *= 2.0 * given;
            }
        }
        let whole: f64 = paid.iter().sum();
        self.log_wealth += whole.ln();
        for (share, paid) in self.shares.iter_mut().zip(paid) {
            *share = (1.0 - SHARED) * paid / whole + SHARED / EXPERTS as f64;
        }
    }
}

fn logistic(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// FNV-1a over characters.
fn hash(chars: impl Iterator<Item = char>) -> u64 {
    chars.fold(0xcbf2_9ce4_8422_2325, |hash, c| {
        (hash ^ u64::from(u32::from(c))).wrapping_mul(0x0100_0000_01b3)
    })
}

/// How often each said what, by prompt.
#[derive(Debug, Clone, Default)]
struct Counts {
    /// By prompt and hash of the reply: times the suspect, and times the candidate, said it.
    said: BTreeMap<(u64, u64), [u32; 2]>,
    /// By prompt: draws of each, and different replies.
    prompts: BTreeMap<u64, (u32, u32)>,
}

impl Counts {
    /// Returns the log odds that the suspect said the first reply, given who said what before. The
    /// distribution of each is drawn towards that of both together.
    fn odds(&self, prompt: u64, replies: [u64; 2]) -> f64 {
        let (draws, kinds) = self.prompts.get(&prompt).copied().unwrap_or((0, 0));
        let draws = f64::from(draws);
        // Sides have as many draws each; one more kind stands for what was never said.
        let whole = 2.0 * draws + 0.5 * f64::from(kinds + 1);
        let log_ratio = |reply: u64| {
            let said = self.said.get(&(prompt, reply)).copied().unwrap_or([0, 0]);
            let pooled = (f64::from(said[0] + said[1]) + 0.5) / whole;
            let [suspect, candidate] = said.map(|count| f64::from(count) + PRIOR_DRAWS * pooled);
            (suspect / candidate).ln()
        };
        log_ratio(replies[0]) - log_ratio(replies[1])
    }

    fn learn(&mut self, prompt: u64, replies: [u64; 2], suspect: usize) {
        let remembered = self.said.len();
        let (draws, kinds) = self.prompts.entry(prompt).or_default();
        *draws += 1;
        for (position, reply) in replies.into_iter().enumerate() {
            let key = (prompt, reply);
            if remembered >= REMEMBERED_MAX && !self.said.contains_key(&key) {
                continue;
            }
            let counts = self.said.entry(key).or_insert_with(|| {
                *kinds += 1;
                [0, 0]
            });
            counts[usize::from(position != suspect)] += 1;
        }
    }
}

/// A logistic regression on what the first reply has more of than the second, learned pair by pair
/// (`AdaGrad`, Duchi, Hazan and Singer 2011).
#[derive(Debug, Clone)]
struct Habits {
    /// Weights and their sums of squared gradients; empty until there is something to learn.
    weights: Vec<f64>,
    squares: Vec<f64>,
}

impl Habits {
    const fn new() -> Self {
        Self {
            weights: Vec::new(),
            squares: Vec::new(),
        }
    }

    fn odds(&self, difference: &[(usize, f64)]) -> f64 {
        let weight = |place: usize| self.weights.get(place).copied().unwrap_or(0.0);
        difference
            .iter()
            .map(|(place, value)| weight(*place) * value)
            .sum()
    }

    fn learn(&mut self, difference: &[(usize, f64)], suspect_first: bool) {
        if self.weights.is_empty() {
            self.weights = vec![0.0; WEIGHTS];
            self.squares = vec![0.0; WEIGHTS];
        }
        let error = f64::from(u8::from(suspect_first)) - logistic(self.odds(difference));
        for (place, value) in difference {
            let gradient = error * value;
            self.squares[*place] += gradient * gradient;
            if self.squares[*place] > 0.0 {
                self.weights[*place] += STEP * gradient / self.squares[*place].sqrt();
            }
        }
    }
}

/// Returns which hashed words and runs of three characters the first text has more of than the
/// second, relative to their lengths, by place, in order.
fn difference(texts: [&str; 2]) -> Vec<(usize, f64)> {
    let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
    for (text, sign) in texts.into_iter().zip([1.0, -1.0]) {
        let chars: Vec<char> = text.chars().take(HABIT_CHARS).collect();
        let words = chars.split(|c| c.is_whitespace()).filter(|w| !w.is_empty());
        let runs = chars.windows(3);
        let features: Vec<usize> = words
            .map(|word| (hash(word.iter().copied()), 0))
            .chain(runs.map(|run| (hash(run.iter().copied()), 1)))
            .map(|(hash, salt)| place(hash, salt))
            .collect();
        let share = sign / (features.len().max(1) as f64).sqrt();
        for feature in features {
            *counts.entry(feature).or_default() += share;
        }
    }
    counts.retain(|_, value| *value != 0.0);
    let norm = counts
        .values()
        .map(|value| value * value)
        .sum::<f64>()
        .sqrt();
    counts
        .into_iter()
        .map(|(place, value)| (place, value / norm))
        .collect()
}

fn place(hash: u64, salt: u64) -> usize {
    let mixed = (hash ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed % WEIGHTS as u64).unwrap_or(0)
}
