//! Known answers of the fixed test.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::fixtures::{Builder, ks_distance};

const CELLS: usize = 25;

/// Returns one short reply of a made-up model: which of eight words it says depends on the model
/// and the prompt, with one favourite.
fn reply(model: u64, prompt: usize, stream: &mut ChaCha8Rng) -> String {
    let favourite = (model * 31 + prompt as u64 * 17 + model * prompt as u64) % 8;
    let said = if stream.random_bool(0.5) {
        favourite
    } else {
        stream.random_range(0..8)
    };
    [
        "amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath",
    ][usize::try_from(said).unwrap()]
    .to_owned()
}

/// Two endpoints, the first of which has `share` of its replies from elsewhere, and another model.
fn endpoints(draws: u32, share: f64, seed: u64) -> Corpus {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    let mut corpus = Builder::new(&["a", "b", "other"], CELLS);
    for prompt in 0..CELLS {
        for _ in 0..draws {
            let routed = stream.random_bool(share);
            corpus.add(
                "a",
                prompt,
                &reply(if routed { 5 } else { 1 }, prompt, &mut stream),
            );
            corpus.add("b", prompt, &reply(1, prompt, &mut stream));
            corpus.add("other", prompt, &reply(5, prompt, &mut stream));
        }
    }
    corpus.done()
}

fn quick(seed: u64) -> SameSettings {
    SameSettings {
        permutations: 199,
        seed,
        ..SameSettings::default()
    }
}

fn p(corpus: &Corpus, seed: u64) -> f64 {
    test(corpus, "a", "b", Against::default(), &quick(seed))
        .p
        .unwrap()
}

#[test]
fn p_values_are_uniform_when_nothing_differs() {
    let values: Vec<f64> = (0..400)
        .map(|seed| p(&endpoints(4, 0.0, seed), seed))
        .collect();
    // 1.95 / √n is passed once in a thousand seeds; p comes in steps of 1/200.
    let distance = ks_distance(&values);
    assert!(distance < 1.95 / 400_f64.sqrt() + 1.0 / 200.0, "{distance}");
    let rejected = values.iter().filter(|p| **p <= 0.05).count();
    // 20 expected; 35 is passed once in a thousand.
    assert!((7..=35).contains(&rejected), "{rejected}");
}

#[test]
fn power_grows_with_share_and_draws() {
    let power = |draws: u32, share: f64| {
        let found = (0..60).filter(|seed| p(&endpoints(draws, share, 1_000 + seed), *seed) <= 0.05);
        found.count() as f64 / 60.0
    };
    println!("draws of each of {CELLS} prompts: power at 5 % for 10 %, 30 %, 100 % from elsewhere");
    let mut rows = Vec::new();
    for draws in [2, 4, 10, 20] {
        let row = [0.1, 0.3, 1.0].map(|share| power(draws, share));
        println!("{draws:5}: {row:.2?}");
        rows.push(row);
    }
    for row in &rows {
        assert!(row[0] <= row[1] + 0.1 && row[1] <= row[2], "{rows:?}");
    }
    assert!(rows[0][2] > 0.25 && rows[1][2] > 0.9, "{rows:?}");
    assert!(rows[2][2] > 0.95 && rows[3][2] > 0.95, "{rows:?}");
    assert!(rows[3][1] > 0.4 && rows[0][1] < 0.4, "{rows:?}");
    assert!(rows[3][0] < 0.35, "{rows:?}");
}

#[test]
fn findings_name_what_they_rest_on() {
    let same = endpoints(40, 0.0, 3);
    let others = ["other".to_owned()];
    let against = Against {
        others: &others,
        band: None,
    };
    let settings = quick(1);
    let statement = test(&same, "a", "b", against, &settings);
    assert_eq!(statement.finding, Finding::Supported, "{statement:#?}");
    assert_eq!(statement.controls, ["other"]);
    assert_eq!(statement.prompts, CELLS);
    let swapped = test(&endpoints(20, 1.0, 3), "a", "b", against, &settings);
    assert_eq!(swapped.finding, Finding::NotSupported);
    assert!(swapped.effect.unwrap().low > 10.0, "{swapped:#?}");
    let few = test(&endpoints(2, 0.0, 3), "a", "b", against, &settings);
    assert!(matches!(few.finding, Finding::Underpowered(_)), "{few:#?}");
    let single = test(&endpoints(1, 1.0, 3), "a", "b", against, &settings);
    assert!(matches!(&single.finding, Finding::Underpowered(why) if why.contains("two draws")));
    for (one, other) in [("a", "a"), ("a", "nobody"), ("nobody", "b")] {
        let statement = test(&same, one, other, against, &settings);
        assert!(matches!(statement.finding, Finding::NotMeasured(_)));
    }
}

#[test]
fn a_difference_within_the_tolerance_is_not_held_against_an_endpoint() {
    let corpus = endpoints(20, 0.6, 9);
    let settings = quick(2);
    let pairs = [("a".to_owned(), "b".to_owned())];
    let band = tolerance(&corpus, &pairs, &settings).unwrap();
    assert!(band.mmd2 > 0.0);
    let statement = |band| {
        let against = Against { others: &[], band };
        test(&corpus, "a", "b", against, &settings)
    };
    assert_eq!(statement(None).finding, Finding::NotSupported);
    let within = statement(Some(&band));
    assert!(
        matches!(within.finding, Finding::Inconclusive(_)),
        "{within:#?}"
    );
    let nobody = [("a".to_owned(), "nobody".to_owned())];
    assert_eq!(tolerance(&corpus, &nobody, &settings), None);
}

#[test]
fn the_same_for_any_number_of_threads() {
    let corpus = endpoints(4, 0.3, 5);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let settings = quick(4);
        let run = || test(&corpus, "a", "b", Against::default(), &settings);
        pool.build().unwrap().install(run)
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn degenerate_replies_make_no_number_that_is_none() {
    let long = "word ".repeat(1 << 18);
    let cases: [(&str, Vec<&str>); 4] = [
        ("all empty", vec![""; 8]),
        ("all equal", vec!["yes"; 8]),
        ("a megabyte", vec![&long; 8]),
        (
            "marks only",
            vec!["\u{0}", "\u{202e}", "é", "日本", "", " ", "\n", "🜂"],
        ),
    ];
    for (what, texts) in cases {
        for prompts in [1, 3] {
            let mut corpus = Builder::new(&["a", "b"], prompts);
            for prompt in 0..prompts {
                for (place, text) in texts.iter().enumerate() {
                    corpus.add(if place % 2 == 0 { "a" } else { "b" }, prompt, text);
                }
            }
            let corpus = corpus.done();
            for kernel in [Kernel::Hamming, Kernel::Grams(3)] {
                let settings = SameSettings { kernel, ..quick(1) };
                let said = test(&corpus, "a", "b", Against::default(), &settings);
                let json = serde_json::to_string(&said).unwrap();
                assert!(said.statistic.unwrap().is_finite(), "{what}: {json}");
                let p = said.p.unwrap();
                assert!(p > 0.01 && p <= 1.0, "{what}: {json}");
                if prompts == 1 {
                    assert!(
                        matches!(said.finding, Finding::Underpowered(_)),
                        "{what}: {json}"
                    );
                }
                if let Some(effect) = said.effect {
                    assert!(effect.low.is_finite() && effect.high.is_finite(), "{what}");
                }
            }
        }
    }
}
