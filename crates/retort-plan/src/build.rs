//! From a checked campaign and a catalog to the document of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use retort_types::campaign::PromptSpec;
use retort_types::catalog::{Catalog, Endpoint, host_and_port, is_loopback_host};
use retort_types::{
    AccountName, Campaign, Digest, Message, Mode, Params, Prompt, PromptInput, ProviderName,
    SuiteName,
};

use crate::check::{self, prompt_id};
use crate::document::{PLAN_SCHEMA, PlanDocument, PlannedArm, PlannedModel, PlannedSuite};
use crate::error::{SpecError, Step, steps};
use crate::order::ORDER_ALGORITHM;
use crate::suites::Suite;
use crate::{limits, resolve, suites};

/// Returns the document of the plan for `campaign`.
pub(crate) fn document(campaign: Campaign, catalog: &Catalog) -> Result<PlanDocument, SpecError> {
    check::campaign(&campaign)?;
    let resolved = resolve(catalog, &campaign.models)?;
    let (suites, prompts) = suites_and_prompts(&campaign)?;
    let arms = arms(&campaign)?;
    one_account_per_provider(&resolved.endpoints)?;
    modes(&campaign, &resolved.endpoints)?;
    prices(&campaign, &resolved.endpoints)?;
    logprobs(&campaign, &arms, &resolved.endpoints)?;
    let models: Vec<_> = resolved
        .endpoints
        .iter()
        .map(|endpoint| planned_model(endpoint, catalog))
        .collect();
    let total = total(&suites, arms.len(), models.len(), campaign.rounds())?;
    Ok(PlanDocument {
        schema: PLAN_SCHEMA.to_owned(),
        software: "retort".to_owned(),
        campaign_digest: campaign.digest(),
        order: ORDER_ALGORITHM.to_owned(),
        campaign,
        suites,
        prompts,
        arms,
        models,
        total,
    })
}

fn suites_and_prompts(campaign: &Campaign) -> Result<(Vec<PlannedSuite>, Vec<Prompt>), SpecError> {
    let mut planned = Vec::new();
    let mut prompts: Vec<Prompt> = Vec::new();
    let mut seen: BTreeMap<Digest, usize> = BTreeMap::new();
    for (index, entry) in campaign.suites.iter().enumerate() {
        let start = prompts.len();
        if let Some(name) = &entry.suite {
            // The check before has seen that the suite or profile exists.
            for (suite, draws) in suites::meant(name.as_str()) {
                let own = builtin_prompts(suite, campaign.seed, entry.mode);
                planned.push(PlannedSuite {
                    name: suite.name.clone(),
                    version: Some(suite.version),
                    mode: entry.mode,
                    samples: entry.samples.get().saturating_mul(draws),
                    prompts: u32::try_from(own.len()).unwrap_or(u32::MAX),
                });
                prompts.extend(own);
            }
        } else if let Some(inline) = &entry.inline {
            for (number, spec) in inline.prompts.iter().enumerate() {
                let input = input(spec, entry.mode);
                prompts.push(planned_prompt(&inline.name, prompt_id(spec, number), input));
            }
            planned.push(PlannedSuite {
                name: inline.name.clone(),
                version: None,
                mode: entry.mode,
                samples: entry.samples.get(),
                prompts: u32::try_from(prompts.len() - start).unwrap_or(u32::MAX),
            });
        } else {
            return Err(SpecError::campaign(
                steps!["suites", index, "file"],
                "the prompts of this file are not part of the campaign",
            )
            .with_hint("a file is read by the client that submits; write the prompts `inline`"));
        }
        for position in start..prompts.len() {
            if let Some(earlier) = seen.insert(prompts[position].digest, position) {
                let place = place_of_prompt(index, entry.inline.is_some(), position - start);
                return Err(duplicate(&prompts[earlier], &prompts[position], place));
            }
        }
    }
    Ok((planned, prompts))
}

/// Returns the prompts of a built-in suite, those of its generator drawn from the seed.
fn builtin_prompts(suite: &Suite, seed: u64, mode: Mode) -> Vec<Prompt> {
    let prompts = suite.prompts_for(seed).into_iter();
    prompts
        .map(|prompt| planned_prompt(&suite.name, prompt.id, text_input(&prompt.text, mode)))
        .collect()
}

fn place_of_prompt(suite: usize, inline: bool, prompt: usize) -> Vec<Step> {
    if inline {
        steps!["suites", suite, "inline", "prompts", prompt]
    } else {
        steps!["suites", suite]
    }
}

fn duplicate(earlier: &Prompt, later: &Prompt, place: Vec<Step>) -> SpecError {
    let message = format!(
        "prompt `{}` of suite `{}` is the same as `{}` of suite `{}`",
        later.id, later.suite, earlier.id, earlier.suite
    );
    SpecError::campaign(place, message).with_hint("`samples` says how many draws")
}

fn planned_prompt(suite: &SuiteName, id: String, input: PromptInput) -> Prompt {
    Prompt {
        suite: suite.clone(),
        id,
        digest: input.digest(),
        input: Arc::new(input),
    }
}

fn input(spec: &PromptSpec, mode: Mode) -> PromptInput {
    match spec {
        PromptSpec::Text(text) => text_input(text, mode),
        PromptSpec::Named(named) => text_input(&named.text, mode),
        PromptSpec::Conversation(conversation) => {
            PromptInput::Messages(conversation.messages.clone())
        }
    }
}

fn text_input(text: &str, mode: Mode) -> PromptInput {
    match mode {
        Mode::Chat => PromptInput::Messages(vec![Message {
            role: "user".to_owned(),
            content: text.to_owned(),
        }]),
        Mode::Completion => PromptInput::Text(text.to_owned()),
    }
}

fn arms(campaign: &Campaign) -> Result<Vec<PlannedArm>, SpecError> {
    let mut planned: Vec<PlannedArm> = Vec::new();
    for (index, arm) in campaign.arms().into_iter().enumerate() {
        let params = campaign.params.overlaid(&arm.params);
        let digest = PlannedArm::digest_of(arm.system.as_deref(), &params);
        if let Some(twin) = planned.iter().find(|other| other.digest == digest) {
            let message = format!("arm `{}` asks the same as arm `{}`", arm.name, twin.name);
            return Err(SpecError::campaign(steps!["arms", index], message)
                .with_hint("`samples` says how many draws"));
        }
        if arm.system.is_some()
            && let Some(place) = conversation_with_system(campaign)
        {
            let message = format!(
                "a conversation has its own system text, but arm `{}` sets another",
                arm.name
            );
            return Err(SpecError::campaign(place, message)
                .with_hint("leave one of the two system texts out"));
        }
        planned.push(PlannedArm {
            name: arm.name,
            digest,
            system: arm.system.map(Into::into),
            params: Arc::new(params),
        });
    }
    Ok(planned)
}

fn conversation_with_system(campaign: &Campaign) -> Option<Vec<Step>> {
    campaign
        .suites
        .iter()
        .enumerate()
        .find_map(|(suite, entry)| {
            let prompts = &entry.inline.as_ref()?.prompts;
            let index = prompts.iter().position(|prompt| {
                matches!(prompt, PromptSpec::Conversation(conversation)
                if conversation.messages.iter().any(|message| message.role == "system"))
            })?;
            Some(place_of_prompt(suite, true, index))
        })
}

fn one_account_per_provider(endpoints: &[Endpoint]) -> Result<(), SpecError> {
    let mut account_of: BTreeMap<&ProviderName, &AccountName> = BTreeMap::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let first = *account_of
            .entry(&endpoint.provider)
            .or_insert(&endpoint.account);
        if *first != endpoint.account {
            let message = format!(
                "`{}` is paid by account `{}`, but other models of provider `{}` by `{first}`",
                endpoint.name, endpoint.account, endpoint.provider
            );
            return Err(SpecError::campaign(steps!["models", index], message)
                .with_hint("a campaign uses one account per provider, within its own quota"));
        }
    }
    Ok(())
}

fn modes(campaign: &Campaign, endpoints: &[Endpoint]) -> Result<(), SpecError> {
    for (index, entry) in campaign.suites.iter().enumerate() {
        for endpoint in endpoints {
            if endpoint.wire.for_mode(entry.mode).is_none() {
                let message = format!(
                    "`{}` cannot be asked in mode `{}`: its provider speaks {}",
                    endpoint.name,
                    entry.mode.as_str(),
                    endpoint.wire
                );
                return Err(
                    SpecError::campaign(steps!["suites", index, "mode"], message)
                        .with_hint("set `mode: completion`, or leave the model out"),
                );
            }
        }
    }
    Ok(())
}

fn prices(campaign: &Campaign, endpoints: &[Endpoint]) -> Result<(), SpecError> {
    if campaign.budget.usd.is_none() {
        return Ok(());
    }
    match endpoints.iter().find(|endpoint| endpoint.price.is_none()) {
        Some(endpoint) => Err(SpecError::campaign(
            steps!["budget", "usd"],
            format!(
                "`{}` has no price, so money cannot be counted",
                endpoint.name
            ),
        )
        .with_hint("add its price to the catalog, or set `requests` or `tokens` instead")),
        None => Ok(()),
    }
}

fn logprobs(
    campaign: &Campaign,
    arms: &[PlannedArm],
    endpoints: &[Endpoint],
) -> Result<(), SpecError> {
    for (index, arm) in arms.iter().enumerate() {
        let Some(asked) = arm.params.logprobs else {
            continue;
        };
        let beyond = endpoints.iter().find_map(|endpoint| {
            let most = endpoint.options.logprobs_max?;
            let dropped = endpoint.options.drop_params.contains("logprobs");
            (asked > most && !dropped).then_some((endpoint, most))
        });
        let Some((endpoint, most)) = beyond else {
            continue;
        };
        let own = |params: &Params| params.logprobs.is_some();
        let place = if campaign.arms.get(index).is_some_and(|arm| own(&arm.params)) {
            steps!["arms", index, "params", "logprobs"]
        } else {
            steps!["params", "logprobs"]
        };
        let message = format!(
            "`{}` tells at most {most} alternatives per token, not {asked}",
            endpoint.name
        );
        return Err(SpecError::campaign(place, message)
            .with_hint(format!("ask for {most} or fewer, or leave the model out")));
    }
    Ok(())
}

fn planned_model(endpoint: &Endpoint, catalog: &Catalog) -> PlannedModel {
    let row = catalog.models.get(&endpoint.name);
    let fact = |of: fn(&retort_types::catalog::Model) -> &Option<String>| {
        row.and_then(|row| of(row).clone())
    };
    PlannedModel {
        name: endpoint.name.clone(),
        request_model: endpoint.request_model.clone(),
        provider: endpoint.provider.clone(),
        account: endpoint.account.clone(),
        domain: endpoint.domain.clone(),
        endpoint: endpoint.identity(),
        wire: endpoint.wire,
        host: stable_host(&endpoint.base_url).to_owned(),
        terms: catalog
            .providers
            .get(&endpoint.provider)
            .and_then(|provider| provider.terms.clone()),
        price: endpoint.price.clone(),
        vendor: fact(|row| &row.vendor),
        family: fact(|row| &row.family),
        base: fact(|row| &row.base),
        tokenizer: fact(|row| &row.tokenizer),
        released: fact(|row| &row.released),
        known_relations: row.map_or_else(Vec::new, |row| row.known_relations.clone()),
    }
}

/// Returns host and port of `url`; a loopback host without its port.
fn stable_host(url: &str) -> &str {
    let host = host_and_port(url);
    match host.rsplit_once(':') {
        Some((name, port))
            if is_loopback_host(host) && port.chars().all(|c| c.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

/// Returns the number of cells: prompts × arms × samples, over all suites. Nothing beyond `u64`.
pub(crate) fn cells(suites: &[PlannedSuite], arms: usize) -> Option<u64> {
    let arms = u64::try_from(arms).ok()?;
    suites.iter().try_fold(0_u64, |sum, suite| {
        let draws = u64::from(suite.prompts).checked_mul(u64::from(suite.samples))?;
        sum.checked_add(draws.checked_mul(arms)?)
    })
}

/// Returns the number of samples, when it is within the limits.
pub(crate) fn total(
    suites: &[PlannedSuite],
    arms: usize,
    models: usize,
    rounds: u32,
) -> Result<u64, SpecError> {
    let too_many = |what: String| {
        SpecError::campaign(Vec::new(), format!("the campaign makes {what}"))
            .with_hint("take fewer samples, arms or rounds, or split the campaign")
    };
    if rounds > limits::ROUNDS_MAX {
        return Err(too_many(format!("more than {} rounds", limits::ROUNDS_MAX)));
    }
    let blocks = cells(suites, arms).and_then(|cells| cells.checked_mul(u64::from(rounds)));
    let blocks = match blocks {
        Some(blocks) if blocks <= u64::from(limits::BLOCKS_MAX) => blocks,
        _ => return Err(too_many(format!("more than {} blocks", limits::BLOCKS_MAX))),
    };
    let models = u64::try_from(models).unwrap_or(u64::MAX);
    match blocks.checked_mul(models) {
        Some(total) if total <= limits::SAMPLES_MAX => Ok(total),
        _ => Err(too_many(format!(
            "more than {} samples",
            limits::SAMPLES_MAX
        ))),
    }
}
