//! Measures the test of `same` at its full size: 250 and 250 replies of 1,000 characters, 1,000
//! permutations, once all of one prompt and once of 25 prompts.
//!
//! ```text
//! cargo run --release -p retort-detect --example mmd
//! ```

#![expect(clippy::print_stdout, reason = "what it measures is printed")]

use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use retort_detect::same::{Against, Kernel, SameSettings, test};
use retort_fingerprint::{Corpus, Prompt, Reply};
use retort_types::{Mode, Outcome};

const REPLIES: usize = 250;
const CHARS: usize = 1_000;

fn main() {
    for prompts in [1, 25] {
        let corpus = corpus(prompts);
        for kernel in [Kernel::Hamming, Kernel::Grams(3)] {
            let settings = SameSettings {
                kernel,
                ..SameSettings::default()
            };
            let begun = Instant::now();
            let said = test(&corpus, "a", "b", Against::default(), &settings);
            println!(
                "{prompts:2} prompts, {kernel:?}: {:.3} s (p {:?})",
                begun.elapsed().as_secs_f64(),
                said.p
            );
        }
    }
}

/// Two endpoints that answer alike, in random letters.
fn corpus(prompts: usize) -> Corpus {
    let mut stream = ChaCha8Rng::seed_from_u64(1);
    let mut replies = Vec::new();
    for model in 0..2 {
        for number in 0..REPLIES {
            let letter = |_| char::from(stream.random_range(b'a'..=b'z'));
            replies.push(Reply {
                model,
                prompt: number * prompts / REPLIES,
                draw: 0,
                outcome: Outcome::Answered,
                text: (0..CHARS).map(letter).collect(),
                reasoning: None,
                input_tokens: None,
                output_tokens: None,
                row: String::new(),
            });
        }
    }
    let prompt = |number: usize| Prompt {
        suite: "speed".to_owned(),
        id: format!("{number:03}"),
        arm: "default".to_owned(),
        mode: Mode::Chat,
    };
    Corpus {
        models: vec!["a".to_owned(), "b".to_owned()],
        prompts: (0..prompts).map(prompt).collect(),
        replies,
    }
}
