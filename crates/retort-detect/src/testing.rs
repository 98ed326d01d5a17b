//! Corpora of models whose manners of speaking are mixed as told.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use retort_fingerprint::{Corpus, Fingerprints, Prompt, RawReply, Settings};
use retort_types::{Mode, Outcome};

use crate::evidence::below;

/// A model: its name, and manners with the share of sentences that follow each.
pub(crate) type Speaker = (String, Vec<(u64, f64)>);

/// Sentences per reply, phrases per manner, words of all manners.
const SENTENCES: usize = 5;
const PHRASES: usize = 12;
const WORDS: usize = 400;

/// Words every manner takes for its joints, so that skeletons differ too.
const JOINTS: [&str; 12] = [
    "the", "a", "of", "and", "to", "in", "that", "with", "for", "as", "but", "so",
];

/// Returns one of a manner's phrases.
fn phrase(manner: u64, number: usize) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(manner * 1_000 + number as u64);
    let words: Vec<String> = (0..6)
        .map(|at| {
            if at % 2 == 0 {
                JOINTS[below(&mut random, JOINTS.len())].to_owned()
            } else {
                format!("word{}", below(&mut random, WORDS))
            }
        })
        .collect();
    words.join(" ")
}

/// Returns what a model says: per sentence a phrase of one of its manners, and words of its own.
fn text(speaker: &Speaker, at: usize, prompt: usize) -> String {
    let mut random = ChaCha8Rng::seed_from_u64((at as u64) << 32 | prompt as u64);
    let sentences: Vec<String> = (0..SENTENCES)
        .map(|_| {
            let mut share = f64::from(random.next_u32()) / f64::from(u32::MAX);
            let manner = speaker.1.iter().find(|(_, weight)| {
                share -= weight;
                share <= 0.0
            });
            let manner = manner.map_or(0, |(manner, _)| *manner);
            let said = phrase(manner, below(&mut random, PHRASES));
            let own = below(&mut random, WORDS);
            format!("{said} subject{prompt} word{own}.")
        })
        .collect();
    sentences.join(" ")
}

/// Returns the replies of these models to so many prompts.
pub(crate) fn corpus(speakers: &[Speaker], prompts: usize) -> Corpus {
    let mut replies = Vec::new();
    for (at, speaker) in speakers.iter().enumerate() {
        for prompt in 0..prompts {
            replies.push(reply(&speaker.0, prompt, text(speaker, at, prompt)));
        }
    }
    Corpus::from_replies(replies)
}

/// Returns one reply.
pub(crate) fn reply(model: &str, prompt: usize, text: String) -> RawReply {
    RawReply {
        model: model.to_owned(),
        prompt: Prompt {
            suite: "s".to_owned(),
            id: format!("{prompt:04}"),
            arm: String::new(),
            mode: Mode::Chat,
        },
        order: (0, 0),
        outcome: Outcome::Answered,
        text,
        reasoning: None,
        input_tokens: None,
        output_tokens: None,
        row: String::new(),
    }
}

/// Returns the fingerprints of a corpus.
pub(crate) fn fingerprints(corpus: &Corpus) -> Fingerprints {
    Fingerprints::of(corpus, &Settings::default(), &|_, _| {})
}

/// Returns corpora that have too little of something, with what they lack.
pub(crate) fn degenerate() -> Vec<(&'static str, Corpus)> {
    let some = |models: usize, prompts: usize| {
        let speakers: Vec<Speaker> = (0..models)
            .map(|n| (format!("m{n}"), vec![(n as u64, 1.0)]))
            .collect();
        corpus(&speakers, prompts)
    };
    let all = |text: &str| {
        let one = |n: usize| reply(&format!("m{}", n % 5), n / 5, text.to_owned());
        Corpus::from_replies((0..100).map(one).collect())
    };
    let long = |n: usize| reply(&format!("m{n}"), 0, format!("{n} ").repeat(500_000));
    let apart = |n: usize| reply(&format!("m{n}"), n, format!("reply {n} to its own prompt"));
    vec![
        ("nothing", Corpus::default()),
        ("one model", some(1, 20)),
        ("two controls", some(4, 20)),
        ("one prompt", some(30, 1)),
        ("all empty", all("")),
        ("all equal", all("the very same answer, word for word.")),
        (
            "a megabyte",
            Corpus::from_replies((0..4).map(long).collect()),
        ),
        (
            "no cell in common",
            Corpus::from_replies((0..6).map(apart).collect()),
        ),
    ]
}
