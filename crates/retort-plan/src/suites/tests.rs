//! What every built-in suite and profile keeps.

use std::collections::BTreeSet;

use retort_types::{Message, PromptInput};

use super::*;
use crate::fixtures::{attempt, campaign_with, list};
use crate::{Plan, fixtures};

/// Name, open prompts, drawn prompts.
const COUNTS: [(&str, usize, usize); 9] = [
    ("boundary", 50, 50),
    ("genes", 64, 64),
    ("identity", 24, 0),
    ("nulls", 16, 16),
    ("random", 40, 0),
    ("reason", 16, 16),
    ("refusal", 24, 24),
    ("style", 64, 0),
    ("tokens", 32, 32),
];

fn all() -> impl Iterator<Item = &'static Suite> {
    names().iter().map(|name| get(name).unwrap())
}

#[test]
fn each_suite_has_its_prompts() {
    assert_eq!(names(), COUNTS.map(|(name, ..)| name));
    for (name, open, drawn) in COUNTS {
        let suite = get(name).expect("a built-in suite");
        assert_eq!(suite.name.as_str(), name);
        assert_eq!(suite.prompts.len(), open, "{name}");
        assert_eq!(suite.len(), open + drawn, "{name}");
        assert_eq!(suite.prompts_for(7).len(), open + drawn, "{name}");
        assert!(suite.version >= 1);
        assert!(suite.purpose.ends_with('.'), "{name}");
    }
    assert!(get("nothing").is_none());
    assert!(known().is_sorted());
}

#[test]
fn ids_and_prompts_are_unique_and_clean() {
    for seed in 0..40 {
        let mut digests = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for suite in all() {
            let open = suite.prompts.len();
            for (prompt, place) in suite.prompts_for(seed).iter().zip(1..) {
                let id = format!("{}-{place:03}", suite.name);
                if place <= open {
                    assert_eq!(prompt.id, id);
                } else {
                    let (front, digest) = prompt.id.rsplit_once('-').unwrap();
                    assert_eq!((front, digest.len()), (id.as_str(), 8), "{}", prompt.id);
                }
                assert!(ids.insert(prompt.id.clone()));
                assert!(!prompt.text.ends_with(char::is_whitespace), "{}", prompt.id);
                assert!(!prompt.text.is_empty());
                let is_code = ["genes", "tokens"].contains(&suite.name.as_str());
                let is_odd = |c: char| c.is_control() && !(is_code && ['\n', '\t'].contains(&c));
                assert!(!prompt.text.chars().any(is_odd), "{}", prompt.id);
                assert!(is_code || !prompt.text.contains("  "), "{}", prompt.id);
                let input = PromptInput::Messages(vec![Message {
                    role: "user".to_owned(),
                    content: prompt.text.clone(),
                }]);
                assert!(
                    digests.insert(input.digest()),
                    "{}: {}",
                    prompt.id,
                    prompt.text
                );
            }
        }
    }
}

#[test]
fn the_drawn_half_follows_from_the_seed_alone() {
    for suite in all().filter(|suite| suite.generator.is_some()) {
        let open = suite.prompts.len();
        assert_eq!(suite.prompts_for(3), suite.prompts_for(3));
        let [one, other] = [3, 4].map(|seed| suite.prompts_for(seed).split_off(open));
        let same = one.iter().filter(|prompt| other.contains(prompt)).count();
        assert!(
            same * 5 < one.len(),
            "{}: {same} of {}",
            suite.name,
            one.len()
        );
    }
    let first = |name: &str| get(name).unwrap().prompts_for(0);
    let drawn: Vec<String> = ["genes", "reason", "boundary", "tokens"]
        .iter()
        .map(|name| {
            let prompts = first(name);
            let prompt = &prompts[get(name).unwrap().prompts.len()];
            format!("{} {}\n", prompt.id, prompt.text)
        })
        .collect();
    fixtures::check("drawn_prompts", &drawn.concat());
}

#[test]
fn slots_are_filled_and_differ() {
    for suite in all() {
        for seed in 0..20 {
            for prompt in suite.prompts_for(seed).iter().skip(suite.prompts.len()) {
                let has_slot = ["{person", "{coined", "{number", "{thing", "}}", "{{"];
                let left = has_slot.iter().find(|slot| prompt.text.contains(**slot));
                assert_eq!(left, None, "{}", prompt.text);
            }
        }
    }
    let generator = Generator {
        count: 6,
        templates: vec!["{pair}/{pair2}/{pair} {{x}} }".to_owned()],
        words: [(
            "pair".to_owned(),
            ["a", "b", "c"].map(str::to_owned).to_vec(),
        )]
        .into(),
    };
    let suite = Suite {
        prompts: Vec::new(),
        generator: Some(generator),
        ..get("nulls").unwrap().clone()
    };
    let texts: BTreeSet<String> = suite.prompts_for(1).into_iter().map(|p| p.text).collect();
    let all = ["a/b/a", "a/c/a", "b/a/b", "b/c/b", "c/a/c", "c/b/c"];
    assert_eq!(texts, all.map(|pair| format!("{pair} {{x}} }}")).into());
}

#[test]
fn pairs_of_nulls_are_of_one_kind() {
    let nulls = get("nulls").unwrap();
    let templates = &nulls.generator.as_ref().unwrap().templates;
    for pair in templates.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
}

/// The fixture's campaign, asking `suites`.
fn asking(suites: &str) -> Result<Plan, crate::SpecError> {
    let (front, rest) = fixtures::CAMPAIGN.split_once("suites:\n").unwrap();
    let (_, back) = rest.split_once("arms:\n").unwrap();
    let text = format!("{front}suites: {suites}\narms:\n{back}");
    attempt(&text, fixtures::CATALOG)
}

#[test]
fn a_profile_is_all_suites_drawn_as_often_as_it_says() {
    for profile in profiles() {
        let mut parts: Vec<&str> = profile.suites.iter().map(|(name, _)| *name).collect();
        parts.sort_unstable();
        assert_eq!(parts, names(), "{}", profile.name);
        let plan = asking(&format!("[{{suite: {}, samples: 3}}]", profile.name)).unwrap();
        let planned: Vec<(&str, u32, Option<u32>)> = plan
            .document()
            .suites
            .iter()
            .map(|suite| (suite.name.as_str(), suite.samples, suite.version))
            .collect();
        let told: Vec<(&str, u32, Option<u32>)> = profile
            .suites
            .iter()
            .map(|(name, draws)| (*name, 3 * draws, Some(get(name).unwrap().version)))
            .collect();
        assert_eq!(planned, told);
        // The plan stands on its own.
        let again = Plan::from_document(plan.document().clone()).unwrap();
        assert_eq!(again.hash(), plan.hash());
    }
    let cells = |name: &str| {
        let parts = profile(name).unwrap().suites.iter();
        parts
            .map(|(part, draws)| get(part).unwrap().len() * *draws as usize)
            .sum::<usize>()
    };
    assert_eq!((cells("quick"), cells("standard")), (564, 2_196));
}

#[test]
fn a_plan_holds_the_prompts_of_its_seed() {
    let texts = |seed: &str| {
        let text = campaign_with("seed: 7", seed);
        let (front, rest) = text.split_once("suites:\n").unwrap();
        let (_, back) = rest.split_once("arms:\n").unwrap();
        let text = format!("{front}suites: [{{suite: reason}}]\narms:\n{back}");
        let plan = attempt(&text, fixtures::CATALOG).unwrap();
        (plan.hash(), plan.document().prompts.clone())
    };
    let [one, again, other] = ["seed: 7", "seed: 7", "seed: 8"].map(texts);
    assert_eq!(one, again);
    assert_ne!(one.0, other.0);
    assert_eq!(one.1[..16], other.1[..16]);
    assert_ne!(one.1[16..], other.1[16..]);
}

#[test]
fn what_is_wrong_with_a_profile_is_said() {
    let cases = vec![
        ("nearly a profile", asking("[{suite: standart}]")),
        ("nearly a new suite", asking("[{suite: bondary}]")),
        (
            "a profile and its suite",
            asking("[{suite: style}, {suite: quick}]"),
        ),
        (
            "a suite and its profile",
            asking("[{suite: quick}, {suite: style}]"),
        ),
        (
            "a profile as raw text",
            asking("[{suite: quick, mode: completion}]"),
        ),
        (
            "the name of a profile",
            asking("[{inline: {name: quick, prompts: [Hello.]}}]"),
        ),
    ];
    fixtures::check("profiles", &list(cases));
}
