//! What a plan will take: tokens, money and time, by rules that are stated with the numbers.

use std::time::Duration;

use retort_types::catalog::Price;
use retort_types::{DomainId, DomainSpec, Limits, ModelName, Params, PromptInput};
use serde::Serialize;

use crate::Plan;
use crate::document::PlanDocument;
use crate::limits::default_limits;

/// The rules behind every estimate, for people who read one.
pub const ESTIMATE_RULES: &str = "input: one token per four ASCII characters and one per other \
    character, and four per message; output: `max_tokens`, else 1024; low cost: an eighth of the \
    output; time: full use of the limits, answers of five seconds, no refusals";

/// Tokens that the chat template adds to a message: role, start and end, as most templates do.
const TOKENS_PER_MESSAGE: u64 = 4;

/// Tokens of an answer when `max_tokens` is unset: a page. Reasoning models take more.
const UNSET_OUTPUT_TOKENS: u64 = 1_024;

/// The low cost counts on one part in eight of the allowed output: a paragraph of a page.
const LOW_OUTPUT_SHARE: u64 = 8;

/// Length of an answer in seconds, for limits on requests at the same time.
const ANSWER_SECONDS: f64 = 5.0;

const MINUTE_SECONDS: f64 = 60.0;
const DAY_SECONDS: f64 = 86_400.0;

/// Returns the tokens that a sample will take, as (input, output), by [`ESTIMATE_RULES`].
pub fn estimate_tokens(input: &PromptInput, system: Option<&str>, params: &Params) -> (u64, u64) {
    let (system, output) = arm_tokens(system, params);
    (input_tokens(input) + system, output)
}

/// Tokens of every prompt and arm, counted once.
#[derive(Debug)]
pub(crate) struct TokenCounts {
    prompts: Vec<u64>,
    /// Input and output tokens of each arm: its system text, its bound.
    arms: Vec<(u64, u64)>,
}

impl TokenCounts {
    pub(crate) fn of(document: &PlanDocument) -> Self {
        let prompts = document.prompts.iter();
        let arms = document.arms.iter();
        Self {
            prompts: prompts.map(|prompt| input_tokens(&prompt.input)).collect(),
            arms: arms
                .map(|arm| arm_tokens(arm.system.as_deref(), &arm.params))
                .collect(),
        }
    }

    /// Returns input and output tokens of one sample.
    pub(crate) fn of_cell(&self, prompt: usize, arm: usize) -> (u64, u64) {
        let (system, output) = self.arms[arm];
        (self.prompts[prompt] + system, output)
    }

    /// Returns what one model takes over the whole plan, without money.
    fn of_model(&self, document: &PlanDocument) -> Usage {
        let arms = self.arms.len() as u64;
        let system: u64 = self.arms.iter().map(|(system, _)| system).sum();
        let output: u64 = self.arms.iter().map(|(_, output)| output).sum();
        let mut sum = Usage::default();
        let mut prompts = self.prompts.iter();
        for suite in &document.suites {
            let count = u64::from(suite.prompts);
            let draws = u64::from(suite.samples) * u64::from(document.campaign.rounds());
            let texts: u64 = prompts.by_ref().take(suite.prompts as usize).sum();
            sum.samples += count * arms * draws;
            sum.input_tokens += (texts * arms + count * system) * draws;
            sum.output_tokens += count * output * draws;
        }
        sum
    }
}

fn arm_tokens(system: Option<&str>, params: &Params) -> (u64, u64) {
    let output = params.max_tokens.map_or(UNSET_OUTPUT_TOKENS, u64::from);
    (system.map_or(0, message_tokens), output)
}

fn text_tokens(text: &str) -> u64 {
    let (mut ascii, mut other) = (0_u64, 0_u64);
    for c in text.chars() {
        if c.is_ascii() {
            ascii += 1;
        } else {
            other += 1;
        }
    }
    (ascii.div_ceil(4) + other).max(1)
}

fn message_tokens(text: &str) -> u64 {
    text_tokens(text) + TOKENS_PER_MESSAGE
}

fn input_tokens(input: &PromptInput) -> u64 {
    match input {
        PromptInput::Text(text) => text_tokens(text),
        PromptInput::Messages(messages) => messages
            .iter()
            .map(|message| message_tokens(&message.content))
            .sum(),
    }
}

/// What a plan will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// By model, in the plan's order.
    pub models: Vec<ModelEstimate>,
    /// By rate-limit domain, in the plan's order.
    pub domains: Vec<DomainEstimate>,
    /// All samples.
    pub samples: u64,
    /// Tokens of all prompts.
    pub input_tokens: u64,
    /// Tokens of all answers.
    pub output_tokens: u64,
    /// US dollars when answers are short; nothing when a model has no price.
    pub cost_usd_low: Option<f64>,
    /// US dollars when answers use their allowance; nothing when a model has no price.
    pub cost_usd_high: Option<f64>,
    /// Models without a price.
    pub unpriced: Vec<ModelName>,
    /// Least time until the slowest domain is done, in seconds; at least the schedule's.
    pub seconds: f64,
    /// Bounds of the campaign's budget that the estimate is beyond, as `usd`, `requests`,
    /// `tokens`.
    pub beyond_budget: Vec<&'static str>,
    /// How these numbers were made.
    pub rules: &'static str,
}

/// What one model will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelEstimate {
    /// The model.
    pub model: ModelName,
    /// The domain that pays.
    pub domain: DomainId,
    /// Its samples.
    pub samples: u64,
    /// Tokens of its prompts.
    pub input_tokens: u64,
    /// Tokens of its answers.
    pub output_tokens: u64,
    /// US dollars when answers are short; nothing without a price.
    pub cost_usd_low: Option<f64>,
    /// US dollars when answers use their allowance; nothing without a price.
    pub cost_usd_high: Option<f64>,
    /// Day of the price, as `YYYY-MM-DD`.
    pub price_as_of: Option<String>,
}

/// What one domain will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainEstimate {
    /// The domain.
    pub domain: DomainId,
    /// Its models' samples.
    pub samples: u64,
    /// Tokens of their prompts.
    pub input_tokens: u64,
    /// Tokens of their answers.
    pub output_tokens: u64,
    /// Least time by its limits, in seconds; nothing when it is not limited.
    pub seconds: Option<f64>,
    /// The limit that takes longest, as `requests_per_minute`, `concurrency of group small` or
    /// `requests_per_minute (default)`; `nothing` when it is not limited.
    pub bound_by: String,
    /// Whether these are the limits that apply where nobody states any.
    pub default_limits: bool,
}

/// Samples and tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    samples: u64,
    input_tokens: u64,
    output_tokens: u64,
}

impl Usage {
    fn of<'a>(models: impl IntoIterator<Item = &'a ModelEstimate>) -> Self {
        let mut sum = Self::default();
        for model in models {
            sum.samples += model.samples;
            sum.input_tokens += model.input_tokens;
            sum.output_tokens += model.output_tokens;
        }
        sum
    }
}

impl Estimate {
    pub(crate) fn of(plan: &Plan, specs: &[DomainSpec]) -> Self {
        let models = model_estimates(plan);
        let domains: Vec<_> = plan
            .domain_ids()
            .iter()
            .map(|id| {
                let spec = specs.iter().find(|spec| spec.id == *id);
                domain_estimate(id, spec, &models)
            })
            .collect();
        let slowest = domains
            .iter()
            .filter_map(|domain| domain.seconds)
            .fold(0.0, f64::max);
        let unpriced = models
            .iter()
            .filter(|model| model.cost_usd_high.is_none())
            .map(|model| model.model.clone())
            .collect();
        let total = Usage::of(&models);
        let cost_usd_high = models.iter().map(|model| model.cost_usd_high).sum();
        Self {
            samples: total.samples,
            input_tokens: total.input_tokens,
            output_tokens: total.output_tokens,
            cost_usd_low: models.iter().map(|model| model.cost_usd_low).sum(),
            cost_usd_high,
            unpriced,
            seconds: slowest.max(schedule_seconds(plan)),
            beyond_budget: beyond_budget(plan, total, cost_usd_high),
            models,
            domains,
            rules: ESTIMATE_RULES,
        }
    }
}

fn model_estimates(plan: &Plan) -> Vec<ModelEstimate> {
    let document = plan.document();
    let usage = plan.tokens().of_model(document);
    let Usage {
        samples,
        input_tokens,
        output_tokens,
    } = usage;
    let cost = |price: &Price, share: u64| price.cost_usd(input_tokens, output_tokens / share);
    document
        .models
        .iter()
        .map(|model| ModelEstimate {
            model: model.name.clone(),
            domain: model.domain.clone(),
            samples,
            input_tokens,
            output_tokens,
            cost_usd_low: model.price.as_ref().map(|p| cost(p, LOW_OUTPUT_SHARE)),
            cost_usd_high: model.price.as_ref().map(|p| cost(p, 1)),
            price_as_of: model.price.as_ref().map(|price| price.as_of.clone()),
        })
        .collect()
}

fn domain_estimate(
    id: &DomainId,
    spec: Option<&DomainSpec>,
    models: &[ModelEstimate],
) -> DomainEstimate {
    let members: Vec<_> = models.iter().filter(|model| model.domain == *id).collect();
    let usage = Usage::of(members.iter().copied());
    let mut slowest = None;
    if let Some(spec) = spec {
        slower_by(&mut slowest, &spec.limits, usage, None);
        for lane in &spec.lanes {
            let group = spec.lanes.iter().filter(|other| other.group == lane.group);
            let in_group: Vec<_> = group.map(|other| &other.model).collect();
            let part = members.iter().filter(|m| in_group.contains(&&m.model));
            let usage = Usage::of(part.copied());
            slower_by(&mut slowest, &lane.limits, usage, Some(&lane.group));
        }
    }
    let default_limits = spec.is_some_and(|spec| spec.limits == default_limits());
    let bound_by = match &slowest {
        None => "nothing".to_owned(),
        Some((_, limit)) if default_limits => format!("{limit} (default)"),
        Some((_, limit)) if spec.is_some_and(finds_limits) => format!("{limit} (cap)"),
        Some((_, limit)) => limit.clone(),
    };
    DomainEstimate {
        domain: id.clone(),
        samples: usage.samples,
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        seconds: slowest.map(|(seconds, _)| seconds),
        bound_by,
        default_limits,
    }
}

/// Returns whether limits of the domain are found while asking, so that the stated ones are caps.
fn finds_limits(spec: &DomainSpec) -> bool {
    spec.limits.auto || spec.lanes.iter().any(|lane| lane.limits.auto)
}

/// Replaces `slowest` by the limit among `limits` that takes longer for `usage`.
fn slower_by(
    slowest: &mut Option<(f64, String)>,
    limits: &Limits,
    usage: Usage,
    group: Option<&str>,
) {
    for (limit, seconds) in times(limits, usage) {
        if slowest.as_ref().is_none_or(|(most, _)| seconds > *most) {
            let of_group = group.map_or_else(String::new, |group| format!(" of group {group}"));
            *slowest = Some((seconds, format!("{limit}{of_group}")));
        }
    }
}

/// Returns the time that each stated limit takes for `usage`, in seconds.
fn times(limits: &Limits, usage: Usage) -> Vec<(&'static str, f64)> {
    let per_minute = |count: u64, limit: Option<u64>| {
        limit.map(|limit| count as f64 / limit as f64 * MINUTE_SECONDS)
    };
    let requests = usage.samples;
    let tokens = usage.input_tokens + usage.output_tokens;
    // The last day's share needs no waiting: only the midnights in between are counted.
    let midnights = limits
        .requests_per_day
        .map(|limit| requests.saturating_sub(1) / u64::from(limit.get()));
    let at_once = limits.concurrency.map(|limit| f64::from(limit.get()));
    let all = [
        (
            "requests_per_minute",
            per_minute(
                requests,
                limits.requests_per_minute.map(|l| u64::from(l.get())),
            ),
        ),
        (
            "tokens_per_minute",
            per_minute(tokens, limits.tokens_per_minute.map(Into::into)),
        ),
        (
            "input_tokens_per_minute",
            per_minute(
                usage.input_tokens,
                limits.input_tokens_per_minute.map(Into::into),
            ),
        ),
        (
            "output_tokens_per_minute",
            per_minute(
                usage.output_tokens,
                limits.output_tokens_per_minute.map(Into::into),
            ),
        ),
        (
            "requests_per_day",
            midnights.map(|days| days as f64 * DAY_SECONDS),
        ),
        (
            "concurrency",
            at_once.map(|at_once| requests as f64 * ANSWER_SECONDS / at_once),
        ),
    ];
    all.into_iter()
        .filter_map(|(limit, seconds)| Some((limit, seconds?)))
        .collect()
}

/// Returns the time from the start of the first round to the start of the last, in seconds.
fn schedule_seconds(plan: &Plan) -> f64 {
    let campaign = plan.campaign();
    let every = campaign
        .schedule
        .every
        .map_or(Duration::ZERO, |every| every.0);
    every.as_secs_f64() * f64::from(campaign.rounds() - 1)
}

fn beyond_budget(plan: &Plan, total: Usage, cost_usd: Option<f64>) -> Vec<&'static str> {
    let budget = &plan.campaign().budget;
    let mut beyond = Vec::new();
    if budget
        .usd
        .zip(cost_usd)
        .is_some_and(|(most, cost)| cost > most)
    {
        beyond.push("usd");
    }
    if budget.requests.is_some_and(|most| total.samples > most) {
        beyond.push("requests");
    }
    let tokens = total.input_tokens + total.output_tokens;
    if budget.tokens.is_some_and(|most| tokens > most) {
        beyond.push("tokens");
    }
    beyond
}

#[cfg(test)]
mod tests;
