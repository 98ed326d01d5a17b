//! The rules of a fleet's description, checked before anything starts.

use std::collections::BTreeSet;

use retort_types::{ModelName, ProviderName};

use super::{FleetSpec, LimitKind, LimitSpec, ModelKind, ModelSpec, ProviderSpec};
use crate::error::SimError;
use crate::route;

/// Longest latency of each kind, in milliseconds: no public model keeps a client for ten minutes.
const LATENCY_MAX_MS: u64 = 600_000;

/// Most words of a canned answer: about what the largest output windows hold.
const WORDS_MAX: u32 = 100_000;

/// Paths that belong to the fleet itself.
const OWN_PATHS: [&str; 4] = ["/stats", "/control", "/health", "/redirected"];

impl FleetSpec {
    /// Checks every rule of the description.
    ///
    /// # Errors
    /// On the first rule that is broken, with its place.
    pub fn check(&self) -> Result<(), SimError> {
        if self.providers.is_empty() {
            return Err(SimError::spec("providers", "needs at least one provider"));
        }
        let (mut names, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
        for provider in &self.providers {
            let place = format!("providers.{}", provider.name);
            if !names.insert(provider.name.as_str()) {
                return Err(SimError::spec(place, "the name is used twice"));
            }
            if !prefixes.insert(route::root(&provider.path_prefix()).to_owned()) {
                return Err(SimError::spec(place, "the prefix is used twice"));
            }
            provider.check(&place)?;
        }
        Ok(())
    }
}

impl ProviderSpec {
    fn check(&self, place: &str) -> Result<(), SimError> {
        ProviderName::new(&self.name).map_err(|e| SimError::spec(place, e.to_string()))?;
        let prefix = self.path_prefix();
        let plain = prefix
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        if !prefix.starts_with('/') || prefix.ends_with('/') || !plain {
            let rule = "begins with `/`, does not end with it, and needs no escaping";
            return Err(SimError::spec(format!("{place}.prefix"), rule));
        }
        if OWN_PATHS.iter().any(|own| prefix.starts_with(own)) {
            let rule = "must not begin with /stats, /control, /health or /redirected";
            return Err(SimError::spec(format!("{place}.prefix"), rule));
        }
        if self.latency.ms.max(self.latency.jitter_ms) > LATENCY_MAX_MS
            || self.latency.per_token_ms > LATENCY_MAX_MS
        {
            let rule = "at most 600000 ms each";
            return Err(SimError::spec(format!("{place}.latency"), rule));
        }
        if self
            .signing_keys
            .iter()
            .any(|(id, secret)| id.is_empty() || secret.is_empty())
        {
            let rule = "neither ids nor secrets are empty";
            return Err(SimError::spec(format!("{place}.signing_keys"), rule));
        }
        self.limits.check(&format!("{place}.limits"))?;
        for (number, fault) in self.faults.iter().enumerate() {
            fault.check(&format!("{place}.faults[{number}]"))?;
        }
        self.check_models(place)
    }

    fn check_models(&self, place: &str) -> Result<(), SimError> {
        if self.models.is_empty() {
            let rule = "needs at least one model";
            return Err(SimError::spec(format!("{place}.models"), rule));
        }
        let mut names = BTreeSet::new();
        for model in &self.models {
            let place = format!("{place}.models.{}", model.name);
            if !names.insert(model.name.as_str()) {
                return Err(SimError::spec(place, "the name is used twice"));
            }
            model.check(&place)?;
        }
        Ok(())
    }
}

impl LimitSpec {
    fn check(&self, place: &str) -> Result<(), SimError> {
        if self.requests_per_second.is_some() && self.requests_per_minute.is_some() {
            let rule = "either requests_per_second or requests_per_minute";
            return Err(SimError::spec(place, rule));
        }
        let rates = [self.requests_per_second, self.requests_per_minute];
        if rates.iter().flatten().any(|r| !r.is_finite() || *r <= 0.0) {
            return Err(SimError::spec(place, "a rate is a number above 0"));
        }
        if self.tokens_per_minute == Some(0) || self.concurrency == Some(0) || self.burst == Some(0)
        {
            let rule = "tokens_per_minute, concurrency and burst are at least 1";
            return Err(SimError::spec(place, rule));
        }
        if self.kind == LimitKind::Window {
            if self.burst.is_some() {
                return Err(SimError::spec(place, "a window has no burst"));
            }
            if rates.iter().flatten().any(|rate| *rate < 1.0) {
                return Err(SimError::spec(place, "a window admits at least 1 request"));
            }
        }
        Ok(())
    }
}

impl ModelSpec {
    fn check(&self, place: &str) -> Result<(), SimError> {
        ModelName::new(&self.name).map_err(|e| SimError::spec(place, e.to_string()))?;
        if !self.temperature_sensitivity.is_finite() || self.temperature_sensitivity < 0.0 {
            let rule = "temperature_sensitivity is a number from 0";
            return Err(SimError::spec(place, rule));
        }
        if self.kind == ModelKind::Language && self.seed.is_some() {
            let rule = "language models have no seed of their own; `lineage` makes them";
            return Err(SimError::spec(place, rule));
        }
        if self.words_min > self.words_max || self.words_max == 0 || self.words_max > WORDS_MAX {
            let rule = "words_min is at most words_max, which is 1 to 100000";
            return Err(SimError::spec(place, rule));
        }
        if self.reasoning_words.is_some_and(|words| words > WORDS_MAX) {
            return Err(SimError::spec(place, "reasoning_words is at most 100000"));
        }
        if self.context_tokens == Some(0) {
            return Err(SimError::spec(place, "context_tokens is at least 1"));
        }
        let texts = self
            .refuses_containing
            .iter()
            .chain(&self.filters_containing);
        if texts.into_iter().any(String::is_empty) {
            let rule = "an empty text would match every prompt";
            return Err(SimError::spec(place, rule));
        }
        Ok(())
    }
}
