//! The rules of a campaign that need no catalog.

use std::collections::BTreeSet;

use retort_types::campaign::{PromptSpec, SuiteEntry};
use retort_types::{Campaign, Message, Mode, ModelName};

use crate::check::{EXACT_MAX, inexact_number, params};
use crate::error::{SpecError, steps, suggest};
use crate::{limits, suites};

/// Longest id of a prompt, in bytes: it becomes a column and part of messages.
const PROMPT_ID_MAX_BYTES: usize = 128;

/// Returns the first rule that `campaign` breaks.
pub(crate) fn campaign(campaign: &Campaign) -> Result<(), SpecError> {
    if campaign.purpose.trim().is_empty() {
        return Err(
            SpecError::campaign(steps!["purpose"], "the purpose is empty").with_hint(
                "say in a sentence what the campaign is for; it goes into the dataset's card",
            ),
        );
    }
    models(campaign)?;
    roles(campaign)?;
    params(&campaign.params).map_err(|error| error.below(steps!["params"]))?;
    arms(campaign)?;
    suite_entries(campaign)?;
    budget_and_schedule(campaign)?;
    exact_numbers(campaign)
}

fn models(campaign: &Campaign) -> Result<(), SpecError> {
    if campaign.models.is_empty() {
        return Err(SpecError::campaign(steps!["models"], "no models")
            .with_hint("list the models to ask, by their names in the catalog"));
    }
    if campaign.models.len() > limits::MODELS_MAX {
        let message = format!("more than {} models", limits::MODELS_MAX);
        return Err(SpecError::campaign(steps!["models"], message)
            .with_hint("split the campaign by models"));
    }
    let mut seen = BTreeSet::new();
    for (index, model) in campaign.models.iter().enumerate() {
        if !seen.insert(model) {
            let message = format!("model `{model}` stands here twice");
            return Err(SpecError::campaign(steps!["models", index], message)
                .with_hint("`samples` says how many draws"));
        }
    }
    Ok(())
}

fn roles(campaign: &Campaign) -> Result<(), SpecError> {
    let lists = [
        ("suspects", &campaign.roles.suspects),
        ("candidates", &campaign.roles.candidates),
        ("controls", &campaign.roles.controls),
    ];
    for (role, members) in lists {
        let mut seen = BTreeSet::new();
        for (index, model) in members.iter().enumerate() {
            let here = || steps!["roles", role, index];
            if !campaign.models.contains(model) {
                let message = format!("`{model}` is not among the campaign's models");
                let known = campaign.models.iter().map(ModelName::as_str);
                return Err(
                    SpecError::campaign(here(), message).with_hint(suggest(model.as_str(), known))
                );
            }
            if !seen.insert(model) {
                let message = format!("`{model}` stands here twice");
                return Err(SpecError::campaign(here(), message).with_hint("name it once"));
            }
        }
    }
    Ok(())
}

fn arms(campaign: &Campaign) -> Result<(), SpecError> {
    let mut names = BTreeSet::new();
    for (index, arm) in campaign.arms.iter().enumerate() {
        if !names.insert(&arm.name) {
            let message = format!("arm `{}` stands here twice", arm.name);
            return Err(SpecError::campaign(steps!["arms", index, "name"], message)
                .with_hint("give each arm its own name"));
        }
        if arm
            .system
            .as_deref()
            .is_some_and(|text| text.trim().is_empty())
        {
            let message = "the system text is empty";
            return Err(
                SpecError::campaign(steps!["arms", index, "system"], message)
                    .with_hint("leave it out to send no system text"),
            );
        }
        params(&arm.params).map_err(|error| error.below(steps!["arms", index, "params"]))?;
    }
    let completion = |entry: &SuiteEntry| entry.mode == Mode::Completion;
    let with_system = campaign.arms.iter().position(|arm| arm.system.is_some());
    if let Some(index) = with_system
        && campaign.suites.iter().any(completion)
    {
        let message = "a raw text to be continued has no place for a system text";
        return Err(
            SpecError::campaign(steps!["arms", index, "system"], message)
                .with_hint("ask `mode: completion` suites in a campaign of their own"),
        );
    }
    parameters_of_modes(campaign)
}

/// Every arm meets every suite, so parameters of one mode exclude suites of the other.
fn parameters_of_modes(campaign: &Campaign) -> Result<(), SpecError> {
    let merged: Vec<_> = campaign
        .arms()
        .iter()
        .map(|arm| campaign.params.overlaid(&arm.params))
        .collect();
    let echo = merged.iter().any(|params| params.echo == Some(true));
    let chat = campaign
        .suites
        .iter()
        .position(|entry| entry.mode == Mode::Chat);
    if let Some(index) = chat
        && echo
    {
        let message = "`echo` repeats raw prompts, but this suite is put as a chat";
        return Err(
            SpecError::campaign(steps!["suites", index, "mode"], message)
                .with_hint("set `mode: completion` or leave `echo` out"),
        );
    }
    if campaign.store.stream_timings && !merged.iter().any(retort_types::Params::streamed) {
        let message = "there are no streams to time";
        return Err(
            SpecError::campaign(steps!["store", "stream_timings"], message)
                .with_hint("set `stream: true` under `params`"),
        );
    }
    Ok(())
}

fn suite_entries(campaign: &Campaign) -> Result<(), SpecError> {
    if campaign.suites.is_empty() {
        return Err(SpecError::campaign(steps!["suites"], "no prompts to ask")
            .with_hint("list what to ask, as in `suites: [{suite: style}]`"));
    }
    let mut seen = BTreeSet::new();
    for (index, entry) in campaign.suites.iter().enumerate() {
        let names = suite_entry(entry).map_err(|error| error.below(steps!["suites", index]))?;
        for name in names {
            if seen.insert((name, entry.mode)) {
                continue;
            }
            let message = format!("suite `{name}` stands here twice");
            return Err(SpecError::campaign(steps!["suites", index], message)
                .with_hint(hint_of_twice(campaign)));
        }
    }
    Ok(())
}

/// Returns what helps where a suite stands twice.
fn hint_of_twice(campaign: &Campaign) -> &'static str {
    let names_profile = |entry: &SuiteEntry| {
        let name = entry.suite.as_ref().map(retort_types::SuiteName::as_str);
        name.is_some_and(|name| suites::profile(name).is_some())
    };
    if campaign.suites.iter().any(names_profile) {
        "a profile holds every built-in suite: name it alone, or the suites without it"
    } else {
        "`samples` says how many draws; other prompts need another name"
    }
}

/// Returns the suites that an entry asks; a file's is known once it is read.
fn suite_entry(entry: &SuiteEntry) -> Result<Vec<&str>, SpecError> {
    match (&entry.suite, &entry.file, &entry.inline) {
        (Some(name), None, None) => {
            let meant = suites::meant(name.as_str());
            if meant.is_empty() {
                let message = format!("unknown suite `{name}`");
                return Err(SpecError::campaign(steps!["suite"], message)
                    .with_hint(suggest(name.as_str(), suites::known())));
            }
            if suites::profile(name.as_str()).is_some() && entry.mode == Mode::Completion {
                let message = format!("profile `{name}` is put as a chat");
                return Err(SpecError::campaign(steps!["mode"], message)
                    .with_hint("leave `mode` out, or name single suites, as in `suite: genes`"));
            }
            Ok(meant.iter().map(|(suite, _)| suite.name.as_str()).collect())
        }
        (None, Some(_), None) => Ok(Vec::new()),
        (None, None, Some(inline)) => {
            if suites::known().contains(&inline.name.as_str()) {
                let message = format!("`{}` is the name of a built-in suite", inline.name);
                return Err(SpecError::campaign(steps!["inline", "name"], message)
                    .with_hint("give these prompts another name"));
            }
            prompts(&inline.prompts, entry.mode)
                .map_err(|error| error.below(steps!["inline", "prompts"]))?;
            Ok(vec![inline.name.as_str()])
        }
        _ => Err(SpecError::campaign(
            Vec::new(),
            "a suite comes from exactly one of `suite`, `file` and `inline`",
        )
        .with_hint("write one entry for each")),
    }
}

fn prompts(prompts: &[PromptSpec], mode: Mode) -> Result<(), SpecError> {
    if prompts.is_empty() {
        return Err(SpecError::campaign(Vec::new(), "no prompts"));
    }
    let mut ids = BTreeSet::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let here = |message: String| SpecError::campaign(steps![index], message);
        let id = prompt_id(prompt, index);
        if id.trim() != id || id.is_empty() || id.len() > PROMPT_ID_MAX_BYTES {
            return Err(here(format!(
                "a prompt's id has 1 to {PROMPT_ID_MAX_BYTES} bytes without white space around"
            )));
        }
        if id.chars().any(char::is_control) {
            return Err(here("a prompt's id holds a control character".to_owned()));
        }
        match prompt {
            PromptSpec::Text(text) => prompt_text(text),
            PromptSpec::Named(named) => prompt_text(&named.text),
            PromptSpec::Conversation(_) if mode == Mode::Completion => {
                Err("a conversation cannot be put as raw text".to_owned())
            }
            PromptSpec::Conversation(conversation) => messages(&conversation.messages),
        }
        .map_err(here)?;
        if !ids.insert(id) {
            return Err(
                here("another prompt of this suite has the same id".to_owned())
                    .with_hint("a text without an id is named after its number, from 1"),
            );
        }
    }
    Ok(())
}

/// Returns the id of the prompt at `index`: a text without one is named after its number, from 1.
pub(crate) fn prompt_id(prompt: &PromptSpec, index: usize) -> String {
    match prompt {
        PromptSpec::Text(_) => (index + 1).to_string(),
        PromptSpec::Named(named) => named.id.clone(),
        PromptSpec::Conversation(conversation) => conversation.id.clone(),
    }
}

fn prompt_text(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    if text.len() > limits::PROMPT_MAX_BYTES {
        return Err(format!(
            "the text is longer than {} bytes",
            limits::PROMPT_MAX_BYTES
        ));
    }
    Ok(())
}

fn messages(messages: &[Message]) -> Result<(), String> {
    if !messages.iter().any(|message| message.role == "user") {
        return Err("a conversation needs a message of role `user`".to_owned());
    }
    for (index, message) in messages.iter().enumerate() {
        match message.role.as_str() {
            "user" | "assistant" => {}
            "system" if index == 0 => {}
            "system" => return Err("a message of role `system` stands first".to_owned()),
            _ => {
                return Err("a message's role is `system`, `user` or `assistant`".to_owned());
            }
        }
        prompt_text(&message.content)?;
    }
    let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
    if bytes > limits::PROMPT_MAX_BYTES {
        return Err(format!(
            "the conversation is longer than {} bytes",
            limits::PROMPT_MAX_BYTES
        ));
    }
    Ok(())
}

fn budget_and_schedule(campaign: &Campaign) -> Result<(), SpecError> {
    let budget = &campaign.budget;
    if budget
        .usd
        .is_some_and(|usd| !(usd.is_finite() && usd > 0.0))
    {
        return Err(
            SpecError::campaign(steps!["budget", "usd"], "a budget is a number above 0")
                .with_hint("leave it out to set no bound"),
        );
    }
    for (key, value) in [("requests", budget.requests), ("tokens", budget.tokens)] {
        if value == Some(0) {
            return Err(
                SpecError::campaign(steps!["budget", key], "a budget of 0 asks nothing")
                    .with_hint("leave it out to set no bound"),
            );
        }
    }
    if campaign.rounds() > limits::ROUNDS_MAX {
        let message = format!("more than {} rounds", limits::ROUNDS_MAX);
        return Err(SpecError::campaign(steps!["schedule", "rounds"], message)
            .with_hint("`samples` says how many draws are made within a round"));
    }
    Ok(())
}

/// Refuses numbers that the campaign's canonical JSON, and so its digest, would not keep exactly.
pub(crate) fn exact_numbers(campaign: &Campaign) -> Result<(), SpecError> {
    // All numbers that can be large; prompts hold none and may be many.
    let value = serde_json::json!({
        "params": campaign.params,
        "arms": campaign.arms,
        "budget": campaign.budget,
        "seed": campaign.seed,
        "analysis": campaign.analysis,
    });
    match inexact_number(&value) {
        Some(place) => Err(SpecError::campaign(
            place,
            format!("a whole number beyond {EXACT_MAX} is not kept exactly by JSON"),
        )
        .with_hint("use a smaller number, or a text in quotes where one is allowed")),
        None => Ok(()),
    }
}
