//! Small corpora for tests, and the distance that calibration is judged by.

use retort_fingerprint::{Corpus, Prompt, Reply};
use retort_types::{Mode, Outcome};

/// A corpus in the making.
pub(crate) struct Builder {
    corpus: Corpus,
    draws: std::collections::BTreeMap<(usize, usize), u32>,
}

impl Builder {
    /// Begins with these models, which are sorted, and prompts to be continued.
    pub(crate) fn new(models: &[&str], prompts: usize) -> Self {
        assert!(models.is_sorted());
        let prompt = |number: usize| Prompt {
            suite: "test".to_owned(),
            id: format!("test-{number:04}"),
            arm: "default".to_owned(),
            mode: Mode::Completion,
        };
        Self {
            corpus: Corpus {
                models: models.iter().map(|name| (*name).to_owned()).collect(),
                prompts: (0..prompts).map(prompt).collect(),
                replies: Vec::new(),
            },
            draws: std::collections::BTreeMap::new(),
        }
    }

    /// Adds the next draw of a model and prompt.
    pub(crate) fn add(&mut self, model: &str, prompt: usize, text: &str) {
        let find = |name: &String| name == model;
        let model = self.corpus.models.iter().position(find).expect("a model");
        let next = self.draws.entry((model, prompt)).or_default();
        let draw = *next;
        *next += 1;
        self.corpus.replies.push(Reply {
            model,
            prompt,
            draw,
            outcome: Outcome::Answered,
            text: text.to_owned(),
            reasoning: None,
            input_tokens: None,
            output_tokens: None,
            row: format!("{model}-{prompt}-{draw}"),
        });
    }

    /// Returns the corpus in its canonical order.
    pub(crate) fn done(mut self) -> Corpus {
        let key = |reply: &Reply| (reply.model, reply.prompt, reply.draw);
        self.corpus.replies.sort_by_key(key);
        self.corpus
    }
}

/// Returns the largest distance between the distribution of `values` and the uniform one (the
/// statistic of Kolmogorov and Smirnov).
pub(crate) fn ks_distance(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let mut most = 0.0_f64;
    for (place, value) in sorted.iter().enumerate() {
        let [below, above] = [place as f64 / count, (place + 1) as f64 / count];
        most = most.max((value - below).abs()).max((above - value).abs());
    }
    most
}
