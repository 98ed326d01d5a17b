//! Known answers of the allele test, on made-up families.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use retort_fingerprint::Reply;

use super::*;
use crate::analysis::Finding;
use crate::fixtures::{Builder, ks_distance};

const PROMPTS: usize = 64;

/// A made-up model: the base it was trained from, and how much of its answering is its own.
#[derive(Clone, Copy)]
struct Made {
    base: u64,
    own: f64,
    id: u64,
}

fn base(id: u64) -> Made {
    Made {
        base: id,
        own: 0.0,
        id,
    }
}

/// What all models have in common, as if it were one.
const COMMON: u64 = 1 << 40;

/// Returns a number that says nothing of its neighbours' (the finaliser of `SplitMix64`).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Returns one completion: common to all models, or a favourite of the base, or of the model.
fn completion(made: Made, prompt: usize, stream: &mut ChaCha8Rng) -> String {
    let favourite = |of: u64, rank: u64| mixed((of * 100_000 + prompt as u64) * 8 + rank);
    let of = if stream.random_bool(made.own) {
        made.id
    } else {
        made.base
    };
    let word = match stream.random_range(0..10) {
        0..3 => favourite(COMMON, stream.random_range(0..3)) % 30,
        3..6 => favourite(of, 0) % 30,
        6..8 => favourite(of, 1) % 30,
        _ => stream.random_range(0..30),
    };
    format!("  w{word:02}x and more")
}

/// A corpus of models with these names, in order, and draws of each prompt.
fn world(models: &[(String, Made)], prompts: usize, draws: u32, seed: u64) -> Corpus {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    let names: Vec<&str> = models.iter().map(|(name, _)| name.as_str()).collect();
    let mut builder = Builder::new(&names, prompts);
    for (name, made) in models {
        for prompt in 0..prompts {
            for _ in 0..draws {
                builder.add(name, prompt, &completion(*made, prompt, &mut stream));
            }
        }
    }
    builder.done()
}

/// Controls `c00`…, the candidate `t` and the suspect `s` tuned from it by the share `own`, or from
/// its own base when `own` is nothing.
fn family(controls: u64, own: Option<f64>, seed: u64) -> Vec<(String, Made)> {
    let first = seed * 1_000;
    let mut models: Vec<(String, Made)> = (0..controls)
        .map(|number| (format!("c{number:02}"), base(first + number)))
        .collect();
    let candidate = base(first + 900);
    let suspect = match own {
        Some(own) => Made {
            base: candidate.id,
            own,
            id: first + 901,
        },
        None => base(first + 901),
    };
    models.push(("s".to_owned(), suspect));
    models.push(("t".to_owned(), candidate));
    models
}

fn controls(models: &[(String, Made)]) -> Vec<String> {
    let names = models.iter().map(|(name, _)| name.clone());
    names.filter(|name| name.starts_with('c')).collect()
}

fn settings() -> GenesSettings {
    GenesSettings {
        bootstrap: 40,
        ..GenesSettings::default()
    }
}

fn statement(models: &[(String, Made)], prompts: usize, draws: u32, seed: u64) -> Statement {
    let corpus = world(models, prompts, draws, seed);
    Genes::measure(&corpus, settings()).statement("s", "t", &controls(models))
}

#[test]
fn similarity_is_unbiased_for_few_draws() {
    // The same model twice: 1 whatever the number of draws; plug-in estimates would fall below.
    let models = [("a".to_owned(), base(1)), ("b".to_owned(), base(1))];
    for draws in [2, 4, 32] {
        let mut sum = 0.0;
        for seed in 0..30 {
            let genes = Genes::measure(&world(&models, PROMPTS, draws, seed), settings());
            assert!(genes.is_unbiased());
            sum += genes.similarity("a", "b").unwrap() / 30.0;
        }
        assert!((0.93..1.07).contains(&sum), "{draws} draws: {sum}");
    }
    let single = Genes::measure(&world(&models, PROMPTS, 1, 1), settings());
    assert!(!single.is_unbiased());
    assert!(single.similarity("a", "b").unwrap() < 0.6);
}

#[test]
fn p_values_are_uniform_over_families_without_relation() {
    let values: Vec<f64> = (0..400)
        .map(|seed| {
            statement(&family(19, None, seed + 1), 32, 4, seed)
                .p
                .unwrap()
        })
        .collect();
    // p comes in steps of 1/20; 1.95 / √n is passed once in a thousand seeds.
    let distance = ks_distance(&values);
    assert!(distance <= 1.95 / 400_f64.sqrt() + 1.0 / 20.0, "{distance}");
    let rejected = values.iter().filter(|p| **p <= 0.05).count();
    assert!((6..=36).contains(&rejected), "{rejected} of 400 at 5 %");
}

#[test]
fn relatives_are_found_and_the_nearer_the_surer() {
    println!("share of its own: supported of 20, mean effect");
    let mut found = Vec::new();
    for own in [0.2, 0.5, 0.9] {
        let mut supported = 0;
        let mut effects = 0.0;
        for seed in 0..20 {
            let said = statement(&family(24, Some(own), 500 + seed), PROMPTS, 4, seed);
            supported += u32::from(said.finding == Finding::Supported);
            effects += said.effect.unwrap().value / 20.0;
        }
        println!("{own}: {supported} {effects:.1}");
        found.push((supported, effects));
    }
    assert!(
        found[0].0 >= 19 && found[0].1 > found[1].1 && found[1].1 > found[2].1,
        "{found:?}"
    );
    assert!(found[0].0 >= found[2].0);
}

#[test]
fn the_curves_of_power_are_those_of_these_families() {
    println!("prompts, draws: area under the curve, and that of `power`");
    let mut told_apart: Vec<(usize, u32, f64, f64)> = Vec::new();
    for prompts in [16, 32, 64, 128] {
        for draws in [1, 4, 16] {
            let mut above = 0.0;
            for seed in 0..40 {
                let models = family(24, Some(0.8), 900 + seed);
                let any = GenesSettings {
                    prompts_min: 1,
                    ..settings()
                };
                let genes = Genes::measure(&world(&models, prompts, draws, seed), any);
                let names = controls(&models);
                let (own, others) = statement::scores(&genes, "s", "t", &names).unwrap();
                let below = others.iter().filter(|other| **other < own).count();
                above += below as f64 / others.len() as f64 / 40.0;
            }
            let count = u32::try_from(prompts).unwrap();
            let curve = crate::power::curve(Detector::Genes, draws);
            let (_, told) = curve.points.iter().find(|(n, _)| *n == count).unwrap();
            println!("{prompts:4} {draws:3}: {above:.3} {told}");
            told_apart.push((prompts, draws, above, *told));
        }
    }
    // 40 suspects among 24 controls: a standard error of about 0.04 where the area is 0.7.
    for (prompts, draws, above, told) in told_apart {
        assert!(
            (above - told).abs() < 0.06,
            "{prompts} {draws}: {above} {told}"
        );
    }
}

#[test]
fn the_tree_joins_relatives_with_support() {
    let mut models = vec![
        ("a1".to_owned(), base(1)),
        (
            "a2".to_owned(),
            Made {
                base: 1,
                own: 0.3,
                id: 2,
            },
        ),
        ("b1".to_owned(), base(3)),
        (
            "b2".to_owned(),
            Made {
                base: 3,
                own: 0.3,
                id: 4,
            },
        ),
        ("c'1".to_owned(), base(5)),
    ];
    models.sort_by(|one, other| one.0.cmp(&other.0));
    let genes = Genes::measure(&world(&models, PROMPTS, 8, 1), settings());
    let tree = genes.tree().unwrap();
    let joined = |one: &str, other: &str| {
        let newick = &tree.newick;
        [(one, other), (other, one)].iter().any(|(one, other)| {
            let Some((_, rest)) = newick.split_once(&format!("('{one}':")) else {
                return false;
            };
            let Some((_, rest)) = rest.split_once(&format!(",'{other}':")) else {
                return false;
            };
            let label = rest.split_once(')').map_or("", |(_, rest)| rest);
            label.starts_with("100:")
        })
    };
    // One of the two cherries may lie at the last join, where it has no label of its own.
    assert!(joined("a1", "a2") || joined("b1", "b2"), "{}", tree.newick);
    assert!(tree.newick.contains("'c''1'"));
    let matrix = genes.matrix();
    assert_eq!(
        matrix.models.len() * matrix.models.len(),
        matrix.values.len()
    );
    assert_eq!(matrix.values[0], None);
    assert_eq!(matrix.values[1], matrix.values[5]);
}

#[test]
fn findings_name_what_is_missing() {
    let models = family(24, Some(0.1), 9);
    let say = |prompts, draws| statement(&models, prompts, draws, 1);
    assert_eq!(say(PROMPTS, 4).finding, Finding::Supported);
    assert!(matches!(say(8, 4).finding, Finding::Underpowered(_)));
    let single = say(PROMPTS, 1);
    assert!(
        single
            .notes
            .iter()
            .any(|note| note.starts_with("single draws"))
    );
    let corpus = world(&models, PROMPTS, 4, 1);
    let genes = Genes::measure(&corpus, settings());
    let few = genes.statement("s", "t", &["c00".to_owned(), "c01".to_owned()]);
    let told = "2 controls allow no p below 0.333; 19 needed for 0.05";
    assert_eq!(
        few.finding,
        Finding::ControlSetInsufficient(told.to_owned())
    );
    assert_eq!(few.p, Some(1.0 / 3.0));
    let none = genes.statement("s", "t", &["s".to_owned(), "t".to_owned()]);
    assert!(matches!(none.finding, Finding::ControlSetInsufficient(_)));
    for (one, other) in [("s", "s"), ("s", "nobody"), ("nobody", "t")] {
        let said = genes.statement(one, other, &controls(&models));
        assert!(matches!(said.finding, Finding::NotMeasured(_)));
    }
    // A relative among the controls is named.
    let mut contaminated = models.clone();
    contaminated[3].1 = Made {
        base: models[25].1.id,
        own: 0.1,
        id: 77,
    };
    let said = statement(&contaminated, PROMPTS, 4, 1);
    assert!(
        said.notes.iter().any(|note| note.ends_with("would: c03")),
        "{:?}",
        said.notes
    );
    let exhibits = genes.exhibits(&corpus, "s", "t", &controls(&models));
    assert_eq!(exhibits.len(), EXHIBITS);
    for exhibit in exhibits {
        assert_eq!(exhibit.shared[0].chars().count(), 4);
        for text in exhibit.texts {
            assert!(text.trim_start().starts_with(&exhibit.shared[0]));
        }
    }
}

#[test]
fn prompts_of_other_suites_and_modes_do_not_count() {
    let models = family(2, None, 3);
    let mut corpus = world(&models, 4, 2, 1);
    for prompt in &mut corpus.prompts {
        prompt.mode = retort_types::Mode::Chat;
    }
    corpus.prompts[1].suite = "genes".to_owned();
    assert_eq!(Genes::measure(&corpus, settings()).prompts(), 1);
    corpus.prompts[1].suite = "style".to_owned();
    let genes = Genes::measure(&corpus, settings());
    let said = genes.statement("s", "t", &controls(&models));
    assert!(matches!(said.finding, Finding::NotMeasured(_)));
    assert_eq!(genes.tree(), None);
}

#[test]
fn the_same_for_any_number_of_threads() {
    let models = family(19, Some(0.4), 4);
    let corpus = world(&models, 32, 3, 1);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let genes = Genes::measure(&corpus, settings());
            let said = genes.statement("s", "t", &controls(&models));
            (said, genes.tree(), genes.matrix())
        })
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn degenerate_replies_make_no_number_that_is_none() {
    let long = "word ".repeat(1 << 18);
    let models: Vec<(String, Made)> = family(19, None, 1);
    let names: Vec<&str> = models.iter().map(|(name, _)| name.as_str()).collect();
    for (prompts, draws, text) in [(32, 2, ""), (32, 2, "yes"), (1, 1, "yes"), (2, 1, &long)] {
        let mut builder = Builder::new(&names, prompts);
        for name in &names {
            for prompt in 0..prompts {
                for _ in 0..draws {
                    builder.add(name, prompt, text);
                }
            }
        }
        let genes = Genes::measure(&builder.done(), settings());
        let said = genes.statement("s", "t", &controls(&models));
        assert_ne!(said.finding, Finding::Supported);
        assert!(said.p.is_none_or(|p| p > 0.99), "{said:?}");
        assert_eq!(said.effect, None);
        let json = serde_json::to_string(&(said, genes.matrix())).unwrap();
        assert!(!json.contains("NaN"));
        assert!(genes.tree().is_none_or(|tree| !tree.newick.contains("NaN")));
    }
    // Nobody repeats itself: no homozygosity, no similarity.
    let mut builder = Builder::new(&names, 32);
    for (place, name) in names.iter().enumerate() {
        for prompt in 0..32 {
            for draw in 0..2 {
                builder.add(name, prompt, &format!("{place:02}{draw}"));
            }
        }
    }
    let genes = Genes::measure(&builder.done(), settings());
    let said = genes.statement("s", "t", &controls(&models));
    assert!(matches!(said.finding, Finding::NotMeasured(_)), "{said:?}");
    let empty = Genes::measure(&Corpus::default(), settings());
    assert_eq!((empty.prompts(), empty.tree()), (0, None));
    assert!(empty.matrix().values.is_empty());
    // Indices that point nowhere are not followed.
    let mut odd = world(&models, 2, 1, 1);
    odd.replies.push(Reply {
        model: 999,
        prompt: 999,
        ..odd.replies[0].clone()
    });
    assert_eq!(Genes::measure(&odd, settings()).prompts(), 2);
}
