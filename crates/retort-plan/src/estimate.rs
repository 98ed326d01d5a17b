//! What a plan will take: tokens, money and time, by rules that are stated with the numbers.

use std::time::Duration;

use retort_types::{DomainId, DomainSpec, Limits, ModelName, PromptInput};
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

/// Tokens of every prompt and arm, counted once.
#[derive(Debug)]
pub(crate) struct TokenCounts {
    prompts: Vec<u64>,
    /// Input and output tokens of each arm: its system text, its bound.
    arms: Vec<(u64, u64)>,
}

impl TokenCounts {
    pub(crate) fn of(document: &PlanDocument) -> Self {
        let prompts = document.prompts.iter().map(|p| input_tokens(&p.input));
        let arms = document.arms.iter().map(|arm| {
            let system = arm.system.as_deref().map_or(0, message_tokens);
            let output = arm.params.max_tokens.map_or(UNSET_OUTPUT_TOKENS, u64::from);
            (system, output)
        });
        Self {
            prompts: prompts.collect(),
            arms: arms.collect(),
        }
    }

    /// Returns input and output tokens of one sample.
    pub(crate) fn of_cell(&self, prompt: usize, arm: usize) -> (u64, u64) {
        let (system, output) = self.arms[arm];
        (self.prompts[prompt] + system, output)
    }

    /// Returns samples, input and output tokens of one model over the whole plan.
    fn of_model(&self, document: &PlanDocument) -> (u64, u64, u64) {
        let arms = self.arms.len() as u64;
        let system: u64 = self.arms.iter().map(|(system, _)| system).sum();
        let output: u64 = self.arms.iter().map(|(_, output)| output).sum();
        let mut sum = (0, 0, 0);
        let mut prompts = self.prompts.iter();
        for suite in &document.suites {
            let count = u64::from(suite.prompts);
            let draws = u64::from(suite.samples) * u64::from(document.campaign.rounds());
            let texts: u64 = prompts.by_ref().take(suite.prompts as usize).sum();
            sum.0 += count * arms * draws;
            sum.1 += (texts * arms + count * system) * draws;
            sum.2 += count * output * draws;
        }
        sum
    }
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
    /// All together.
    pub total: Usage,
    /// Models without a price: the total leaves their cost out.
    pub unpriced: Vec<ModelName>,
    /// Time until the slowest domain is done, in seconds; at least the time of the schedule.
    pub seconds: f64,
    /// Bounds of the campaign's budget that the estimate is beyond, as `usd`, `requests`,
    /// `tokens`.
    pub beyond_budget: Vec<&'static str>,
    /// How these numbers were made.
    pub rules: &'static str,
}

/// Samples, tokens and money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Samples.
    pub samples: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// US dollars; nothing without a price.
    pub cost_usd: Option<CostRange>,
}

/// Money, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CostRange {
    /// When answers are short.
    pub low: f64,
    /// When answers use their allowance.
    pub high: f64,
}

/// What one model will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelEstimate {
    /// The model.
    pub model: ModelName,
    /// The domain that pays.
    pub domain: DomainId,
    /// Its samples, tokens and money.
    pub usage: Usage,
    /// Day of the price.
    pub price_as_of: Option<String>,
}

/// What one domain will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainEstimate {
    /// The domain.
    pub domain: DomainId,
    /// Its models' samples, tokens and money.
    pub usage: Usage,
    /// Least time by its limits, in seconds.
    pub seconds: f64,
    /// The limit that takes longest; nothing when it is not limited.
    pub binding: Option<Binding>,
    /// Whether these are the limits that apply where nobody states any.
    pub default_limits: bool,
}

/// The limit that decides how long a domain takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// Its name in the catalog, as `requests_per_minute`.
    pub limit: &'static str,
    /// The limit group it belongs to; nothing when it is the whole domain's.
    pub group: Option<String>,
}

impl Usage {
    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_usd = match (self.cost_usd, other.cost_usd) {
            (Some(a), Some(b)) => Some(CostRange {
                low: a.low + b.low,
                high: a.high + b.high,
            }),
            (a, b) => a.or(b),
        };
    }

    fn sum<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for part in parts {
            sum.add(part);
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
        let total = Usage::sum(models.iter().map(|model| &model.usage));
        let slowest = domains
            .iter()
            .fold(0.0, |most: f64, one| most.max(one.seconds));
        let unpriced = models
            .iter()
            .filter(|model| model.usage.cost_usd.is_none())
            .map(|model| model.model.clone())
            .collect();
        Self {
            seconds: slowest.max(schedule_seconds(plan)),
            beyond_budget: beyond_budget(plan, &total),
            models,
            domains,
            total,
            unpriced,
            rules: ESTIMATE_RULES,
        }
    }
}

fn model_estimates(plan: &Plan) -> Vec<ModelEstimate> {
    let document = plan.document();
    let (samples, input_tokens, output_tokens) = plan.tokens().of_model(document);
    document
        .models
        .iter()
        .map(|model| ModelEstimate {
            model: model.name.clone(),
            domain: model.domain.clone(),
            usage: Usage {
                samples,
                input_tokens,
                output_tokens,
                cost_usd: model.price.as_ref().map(|price| CostRange {
                    low: price.cost_usd(input_tokens, output_tokens / LOW_OUTPUT_SHARE),
                    high: price.cost_usd(input_tokens, output_tokens),
                }),
            },
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
    let usage = Usage::sum(members.iter().map(|model| &model.usage));
    let mut slowest: (f64, Option<Binding>) = (0.0, None);
    if let Some(spec) = spec {
        slower_by(&mut slowest, &spec.limits, &usage, None);
        for lane in &spec.lanes {
            let group = spec.lanes.iter().filter(|other| other.group == lane.group);
            let in_group: Vec<_> = group.map(|other| &other.model).collect();
            let part = members.iter().filter(|m| in_group.contains(&&m.model));
            let usage = Usage::sum(part.map(|model| &model.usage));
            slower_by(&mut slowest, &lane.limits, &usage, Some(&lane.group));
        }
    }
    DomainEstimate {
        domain: id.clone(),
        usage,
        seconds: slowest.0,
        binding: slowest.1,
        default_limits: spec.is_some_and(|spec| spec.limits == default_limits()),
    }
}

/// Replaces `slowest` by the limit among `limits` that takes longer for `usage`.
fn slower_by(
    slowest: &mut (f64, Option<Binding>),
    limits: &Limits,
    usage: &Usage,
    group: Option<&str>,
) {
    for (limit, seconds) in times(limits, usage) {
        if seconds > slowest.0 || slowest.1.is_none() {
            let group = group.map(str::to_owned);
            *slowest = (seconds, Some(Binding { limit, group }));
        }
    }
}

/// Returns the time that each stated limit takes for `usage`, in seconds.
fn times(limits: &Limits, usage: &Usage) -> Vec<(&'static str, f64)> {
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

fn beyond_budget(plan: &Plan, total: &Usage) -> Vec<&'static str> {
    let budget = &plan.campaign().budget;
    let mut beyond = Vec::new();
    let high = total.cost_usd.map(|cost| cost.high);
    if budget.usd.zip(high).is_some_and(|(usd, high)| high > usd) {
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
