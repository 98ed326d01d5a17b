//! Estimates against sums done by hand.

use super::*;
use crate::fixtures::{CAMPAIGN, campaign_with, catalog, plan_from};

fn estimate(campaign: &str) -> Estimate {
    let plan = plan_from(campaign);
    let resolved = crate::resolve(&catalog(), &plan.campaign().models).expect("resolves");
    plan.estimate(&resolved.domains)
}

#[test]
fn texts_are_counted_by_the_stated_rule() {
    assert_eq!(text_tokens(""), 1);
    assert_eq!(text_tokens("abcd"), 1);
    assert_eq!(text_tokens("abcde"), 2);
    assert_eq!(text_tokens("你好"), 2);
    assert_eq!(text_tokens("año"), 2);
    assert_eq!(message_tokens("abcd"), 5);
    for number in ["four", "1024", "eighth", "five seconds"] {
        assert!(ESTIMATE_RULES.contains(number), "{number}");
    }
}

#[test]
fn totals_are_the_sums_of_samples() {
    let text = campaign_with(
        "- name: plain",
        "- {name: plain, system: Be brief., params: {max_tokens: 7}}",
    );
    let plan = plan_from(&text);
    let estimate = estimate(&text);
    let (mut input, mut output) = (0, 0);
    for index in 0..plan.len() {
        let tokens = plan.estimated_tokens(index);
        let sample = plan.sample(index).unwrap();
        let by_hand = estimate_tokens(&sample.input, sample.system.as_deref(), &sample.params);
        assert_eq!(tokens, by_hand);
        input += tokens.0;
        output += tokens.1;
    }
    assert_eq!(estimate.samples, plan.len());
    assert_eq!(
        (estimate.input_tokens, estimate.output_tokens),
        (input, output)
    );
    assert_eq!(plan.estimated_tokens(plan.len()), (0, 0));
}

#[test]
fn money_is_counted_by_the_catalogs_prices() {
    let estimate = estimate(CAMPAIGN);
    // Each model: 24 samples of 100 output tokens. Prompts: "Say hello." is 3 + 4 tokens,
    // "Say goodbye." 3 + 4, the conversation 1 + 2 + 2 + 3 × 4; each in 2 arms, draws and rounds.
    let input = (7 + 7 + 17) * 8;
    let large = &estimate.models[0];
    assert_eq!(
        (large.samples, large.input_tokens, large.output_tokens),
        (24, input, 2_400)
    );
    let usd = |output: f64| (input as f64 * 2.0 + output * 8.0) / 1e6;
    assert_eq!(
        (large.cost_usd_low, large.cost_usd_high),
        (Some(usd(300.0)), Some(usd(2_400.0)))
    );
    assert_eq!(large.price_as_of.as_deref(), Some("2026-01-02"));
    let high: f64 = estimate.models.iter().filter_map(|m| m.cost_usd_high).sum();
    assert_eq!(estimate.cost_usd_high, Some(high));
    assert!(estimate.unpriced.is_empty());
}

#[test]
fn a_model_without_price_leaves_the_total_open() {
    let estimate = estimate(&campaign_with(
        "[alpha-large, alpha-small]",
        "[alpha-large, alpha-small, beta-one]",
    ));
    assert!(estimate.models[0].cost_usd_high.is_some());
    assert_eq!(estimate.models[2].cost_usd_high, None);
    assert_eq!(
        (estimate.cost_usd_low, estimate.cost_usd_high),
        (None, None)
    );
    assert_eq!(estimate.unpriced.len(), 1);
}

#[test]
fn the_limit_that_takes_longest_binds() {
    let all = "[alpha-large, alpha-small, beta-one, beta-two]";
    let estimate = estimate(&campaign_with("[alpha-large, alpha-small]", all));
    let [alpha, one, two] = &estimate.domains[..] else {
        panic!("three domains");
    };
    // 48 requests at 120 a minute are 24 s; the small model's 24 at 30 a minute are 48 s.
    assert_eq!(
        (alpha.seconds, &*alpha.bound_by),
        (Some(48.0), "requests_per_minute of group alpha-small")
    );
    assert!(!alpha.default_limits);
    // 24 requests: 24 s at 60 a minute; 30 s at four in parallel and five seconds each.
    assert_eq!(
        (one.seconds, &*one.bound_by),
        (Some(30.0), "concurrency (default)")
    );
    assert!(one.default_limits);
    // 24 of 100 requests a day need no night.
    assert_eq!(
        (two.seconds, &*two.bound_by),
        (Some(0.0), "requests_per_day")
    );
    // The second round begins a day after the first.
    assert!((estimate.seconds - 86_400.0).abs() < 1e-9);
}

#[test]
fn days_are_counted_by_the_nights_between() {
    let limits = Limits {
        requests_per_day: std::num::NonZeroU32::new(100),
        ..Limits::default()
    };
    let seconds = |samples| {
        let usage = Usage {
            samples,
            ..Usage::default()
        };
        times(&limits, usage)[0].1
    };
    assert!((seconds(100) - 0.0).abs() < 1e-9);
    assert!((seconds(101) - DAY_SECONDS).abs() < 1e-9);
    assert!((seconds(1_000) - 9.0 * DAY_SECONDS).abs() < 1e-9);
}

#[test]
fn tokens_bind_when_answers_are_long() {
    let text = campaign_with("max_tokens: 100", "max_tokens: 4000")
        .replace("alpha-large, alpha-small]", "alpha-large]")
        .replace(
            "roles: {suspects: [alpha-small], candidates: [alpha-large]}\n",
            "",
        );
    let estimate = estimate(&text);
    assert_eq!(estimate.domains[0].bound_by, "tokens_per_minute");
    let tokens = (estimate.input_tokens + estimate.output_tokens) as f64;
    assert!((estimate.domains[0].seconds.unwrap() - tokens / 1_000.0).abs() < 1e-6);
}

#[test]
fn a_domain_nobody_describes_is_unlimited() {
    let estimate = plan_from(CAMPAIGN).estimate(&[]);
    assert_eq!(
        (estimate.domains[0].seconds, &*estimate.domains[0].bound_by),
        (None, "nothing")
    );
}

#[test]
fn budgets_that_will_not_do_are_named() {
    let beyond = |budget: &str| {
        estimate(&campaign_with("seed: 7", &format!("budget: {budget}"))).beyond_budget
    };
    assert_eq!(
        beyond("{usd: 100, requests: 48, tokens: 100000}"),
        Vec::<&str>::new()
    );
    assert_eq!(
        beyond("{usd: 0.001, requests: 47, tokens: 100}"),
        ["usd", "requests", "tokens"]
    );
}
