//! Known answers of the e-process.

use proptest::prelude::{any, prop, prop_assert, proptest};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::fixtures::Builder;

proptest! {
    #[test]
    fn whatever_the_replies_wealth_is_a_number_and_p_a_share(
        replies in prop::collection::vec((any::<String>(), any::<String>(), any::<bool>(), 0_u64..3), 1..40),
    ) {
        let mut watch = Watch::new(WatchSettings::default());
        // One bet costs at most a factor of 10, and the expert that never bets keeps a tenth.
        for (first, second, suspect_first, prompt) in &replies {
            watch.observe(&Pair {
                prompt: *prompt,
                first,
                second,
                suspect_first: *suspect_first,
            });
            prop_assert!(watch.log10_e().is_finite() && watch.log10_e() > -1.1);
            prop_assert!(watch.p() > 0.0 && watch.p() <= 1.0);
        }
    }
}

const PROMPTS: u64 = 40;
const WORDS: [&str; 12] = [
    "amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "inlet", "juniper",
    "karst", "lagoon",
];

/// Returns one random choice of a made-up model: it has two favourites for each prompt, as models
/// have, which say little about another's.
fn choice(model: u64, prompt: u64, stream: &mut ChaCha8Rng) -> &'static str {
    let mixed = |salt: u64| {
        let seed = (model * 1_000 + prompt) * 10 + salt;
        let hash = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from(hash % WORDS.len() as u64).unwrap()
    };
    match stream.random_range(0..10) {
        0..4 => WORDS[mixed(0)],
        4..6 => WORDS[mixed(1)],
        _ => WORDS[stream.random_range(0..WORDS.len())],
    }
}

/// How a simulated endpoint differs from the reference.
#[derive(Clone, Copy)]
struct World {
    /// Share of the suspect's replies that another model gives.
    routed: f64,
    /// Whether both change to a third model as time goes on.
    drifts: bool,
    /// Whether whoever is asked second answers in another way, as a cache would make it.
    second_differs: bool,
}

const STILL: World = World {
    routed: 0.0,
    drifts: false,
    second_differs: false,
};

/// Watches `pairs` pairs, or until the alarm.
fn watch(world: World, pairs: u64, seed: u64) -> Watch {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    let mut watch = Watch::new(WatchSettings { alpha: 0.01 });
    for number in 0..pairs {
        let prompt = stream.random_range(0..PROMPTS);
        let suspect_first = stream.random_bool(0.5);
        let texts: [&str; 2] = std::array::from_fn(|slot| {
            let is_suspect = (slot == 0) == suspect_first;
            let drift = world.drifts && stream.random_bool(number as f64 / pairs as f64);
            let second = world.second_differs && slot == 1 && stream.random_bool(0.5);
            let model = if is_suspect && stream.random_bool(world.routed) {
                9
            } else if drift {
                5
            } else if second {
                3
            } else {
                1
            };
            choice(model, prompt, &mut stream)
        });
        watch.observe(&Pair {
            prompt,
            first: texts[0],
            second: texts[1],
            suspect_first,
        });
        if watch.alarmed_at().is_some() {
            break;
        }
    }
    watch
}

#[test]
fn ten_thousand_watches_of_the_same_model_alarm_as_seldom_as_promised() {
    let worlds = [
        STILL,
        World {
            drifts: true,
            ..STILL
        },
        World {
            second_differs: true,
            ..STILL
        },
        World {
            drifts: true,
            second_differs: true,
            ..STILL
        },
    ];
    let mut below = [0_u32; 3];
    for seed in 0..10_000_u64 {
        let world = worlds[usize::try_from(seed % 4).unwrap()];
        let p = watch(world, 200, seed).p();
        for (count, level) in below.iter_mut().zip([0.01, 0.05, 0.2]) {
            *count += u32::from(p <= level);
        }
    }
    println!("of 10,000 watches of 200 pairs, p at most 1 %, 5 %, 20 %: {below:?}");
    // Expected at most, and 3.1 standard deviations of a binomial count above: passed once in a
    // thousand even if the bound were met exactly.
    assert!(below[0] <= 100 + 31 && below[1] <= 500 + 68 && below[2] <= 2_000 + 124);
}

#[test]
fn power_grows_with_the_share_that_comes_from_elsewhere() {
    println!("share from elsewhere: alarms of 20 at 1 %, median pairs of those");
    let mut found = Vec::new();
    for (routed, pairs) in [(1.0, 500), (0.3, 3_000), (0.1, 3_000)] {
        let world = World { routed, ..STILL };
        let mut alarms: Vec<u64> = (0..20)
            .filter_map(|seed| watch(world, pairs, 50_000 + seed).alarmed_at())
            .collect();
        alarms.sort_unstable();
        let median = alarms.get(alarms.len() / 2).copied();
        println!(
            "{routed:5.1}: {} {median:?} (of at most {pairs})",
            alarms.len()
        );
        found.push((alarms.len(), median.unwrap_or(u64::MAX)));
    }
    assert_eq!(found[0].0, 20);
    assert!(found[0].1 <= 200, "{found:?}");
    assert!(found[1].0 >= 10 && found[1].0 >= found[2].0, "{found:?}");
    assert!(found[1].1 > 2 * found[0].1, "{found:?}");
}

#[test]
fn habits_of_long_replies_are_learned_across_prompts() {
    let sentence = |model: u64, stream: &mut ChaCha8Rng| {
        let words = (0..40).map(|_| {
            let place = stream.random_range(0..20);
            match (model, place) {
                (9, 0) => "moreover",
                (_, 0) => "also",
                (_, word) => WORDS[word % WORDS.len()],
            }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let run = |other: u64| {
        let mut stream = ChaCha8Rng::seed_from_u64(11);
        let mut watch = Watch::new(WatchSettings::default());
        for prompt in 0..300 {
            let suspect_first = stream.random_bool(0.5);
            let own = sentence(other, &mut stream);
            let reference = sentence(1, &mut stream);
            let (first, second) = if suspect_first {
                (&own, &reference)
            } else {
                (&reference, &own)
            };
            // Every prompt is new: nothing is learned by prompt.
            watch.observe(&Pair {
                prompt,
                first,
                second,
                suspect_first,
            });
        }
        watch
    };
    assert!(run(9).alarmed_at().is_some_and(|pairs| pairs < 300));
    assert_eq!(run(1).alarmed_at(), None);
}

#[test]
fn a_corpus_is_watched_in_the_order_of_its_blocks() {
    let mut builder = Builder::new(&["a", "b"], 4);
    let mut stream = ChaCha8Rng::seed_from_u64(1);
    for prompt in 0..4 {
        for _ in 0..60 {
            builder.add("a", prompt, choice(9, prompt as u64, &mut stream));
            builder.add("b", prompt, choice(1, prompt as u64, &mut stream));
        }
    }
    let corpus = builder.done();
    let mut places = Places::new();
    for prompt in 0..4_u32 {
        for draw in 0..60 {
            let first = u32::from(stream.random_bool(0.5));
            let block = draw * 4 + prompt;
            places.insert(format!("0-{prompt}-{draw}"), (block, first));
            places.insert(format!("1-{prompt}-{draw}"), (block, 1 - first));
        }
    }
    let settings = WatchSettings::default();
    let say = |places: &Places| statement(&corpus, "a", "b", places, &settings);
    let found = say(&places);
    assert_eq!(found.finding, Finding::NotSupported, "{found:#?}");
    assert!(found.p.unwrap() <= 0.01 && found.prompts == 4);
    let order: Vec<bool> = pairs(&corpus, "a", "b", &places)
        .iter()
        .map(|pair| pair.suspect_first)
        .collect();
    assert_eq!(order.len(), 240);
    let swapped = pairs(&corpus, "b", "a", &places);
    assert!(
        swapped
            .iter()
            .zip(order)
            .all(|(pair, first)| pair.suspect_first != first)
    );
    let unplaced = say(&Places::new());
    assert!(matches!(unplaced.finding, Finding::NotMeasured(_)));
    assert_eq!((unplaced.p, unplaced.statistic), (None, None));
    let itself = statement(&corpus, "a", "a", &places, &settings);
    assert!(matches!(itself.finding, Finding::NotMeasured(_)));
}

#[test]
fn degenerate_replies_never_win_a_bet() {
    let long = "x y ".repeat(1 << 18);
    for texts in [
        ["", ""],
        ["same", "same"],
        [&long, &long],
        ["\u{0}", "\u{0}"],
    ] {
        let mut watch = Watch::new(WatchSettings::default());
        for number in 0..20 {
            watch.observe(&Pair {
                prompt: u64::MAX,
                first: texts[0],
                second: texts[1],
                suspect_first: number % 3 == 0,
            });
        }
        assert_eq!((watch.log10_e(), watch.p()), (0.0, 1.0));
    }
    let mut watch = Watch::new(WatchSettings::default());
    for number in 0..50_u32 {
        let texts = if number % 2 == 0 {
            ["", &long]
        } else {
            [&long, ""]
        };
        watch.observe(&Pair {
            prompt: 0,
            first: texts[0],
            second: texts[1],
            suspect_first: number % 2 == 0,
        });
    }
    assert!(watch.log10_e().is_finite() && watch.alarmed_at().is_some());
}
