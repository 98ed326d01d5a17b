//! Texts for those who want to crawl a fleet: a catalog of its models.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};

use retort_types::catalog::{Account, Auth, Model, Provider, SigV4, WireOptions};
use retort_types::{AccountName, Catalog, Limits, ModelName, ProviderName, WireProtocol};

use crate::error::SimError;
use crate::lineage::Made;
use crate::spec::{FleetSpec, LimitSpec, ModelSpec, ProviderSpec};

/// Returns a catalog of every model of a fleet that listens at `address`.
///
/// It has one account per provider with the provider's real limits, rounded down. A model name that several providers use gets the
/// provider's name and a slash in front. Keys are read from the variable that [`key_env`] names.
///
/// # Errors
/// When a name fits the fleet but not a catalog.
pub fn catalog(spec: &FleetSpec, address: SocketAddr) -> Result<Catalog, SimError> {
    let mut catalog = Catalog::default();
    let mut uses: BTreeMap<&str, u32> = BTreeMap::new();
    for model in spec.providers.iter().flat_map(|p| &p.models) {
        *uses.entry(&model.name).or_default() += 1;
    }
    for provider in &spec.providers {
        let place = format!("providers.{}", provider.name);
        let bad = |e: retort_types::ids::InvalidName| SimError::spec(place.clone(), e.to_string());
        let name = ProviderName::new(&provider.name).map_err(bad)?;
        let account = AccountName::new(&provider.name).map_err(bad)?;
        for model in &provider.models {
            let unique = uses.get(model.name.as_str()) == Some(&1);
            let ours = if unique {
                ModelName::new(&model.name)
            } else {
                ModelName::new(&format!("{}/{}", provider.name, model.name))
            };
            let row = model_row(account.clone(), &model.name, maker(spec, model));
            catalog.models.insert(ours.map_err(bad)?, row);
        }
        catalog.accounts.insert(
            account,
            Account {
                provider: name.clone(),
                auth: None,
                limits: limits(&provider.limits),
            },
        );
        catalog
            .providers
            .insert(name, provider_row(provider, address));
    }
    Ok(catalog)
}

/// The region that signed requests name; any passes.
const REGION: &str = "us-east-1";

/// Returns the environment variable that holds the key of a provider with `api_keys`, as
/// `RETORT_SIM_ALPHA_KEY`.
pub fn key_env(provider: &str) -> String {
    env_name(provider, "KEY")
}

/// Returns the environment variables that hold id and secret of a Bedrock provider's signing key.
///
/// They are read where it has `signing_keys`: `RETORT_SIM_ALPHA_ACCESS_KEY` and
/// `RETORT_SIM_ALPHA_SECRET_KEY`.
pub fn signing_env(provider: &str) -> (String, String) {
    let of = |what: &str| env_name(provider, what);
    (of("ACCESS_KEY"), of("SECRET_KEY"))
}

fn env_name(provider: &str, what: &str) -> String {
    let upper: String = provider
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("RETORT_SIM_{upper}_{what}")
}

/// Returns how requests to a provider are authorised. Where Bedrock's may be signed, they are.
fn auth(spec: &ProviderSpec) -> Option<Auth> {
    if spec.wire == WireProtocol::BedrockConverse && !spec.signing_keys.is_empty() {
        let (access_key_env, secret_key_env) = signing_env(&spec.name);
        return Some(Auth {
            sigv4: Some(SigV4 {
                region: REGION.to_owned(),
                access_key_env,
                secret_key_env,
                session_token_env: None,
            }),
            ..Auth::default()
        });
    }
    if spec.api_keys.is_empty() {
        return None;
    }
    let header = match spec.wire {
        WireProtocol::AnthropicMessages => Some("x-api-key"),
        WireProtocol::Gemini => Some("x-goog-api-key"),
        WireProtocol::OpenaiChat
        | WireProtocol::OpenaiCompletions
        | WireProtocol::OpenaiResponses
        | WireProtocol::BedrockConverse
        | WireProtocol::CohereV2
        | WireProtocol::Ollama => None,
    };
    Some(Auth {
        header: header.map(str::to_owned),
        env: Some(key_env(&spec.name)),
        ..Auth::default()
    })
}

fn provider_row(spec: &ProviderSpec, address: SocketAddr) -> Provider {
    Provider {
        wire: spec.wire,
        base_url: format!("http://{address}{}", spec.base_path(spec.wire)),
        chat_path: None,
        completion_path: None,
        terms: None,
        auth: auth(spec),
        headers: BTreeMap::new(),
        sample_id_header: Some(crate::SAMPLE_ID_HEADER.to_owned()),
        options: WireOptions::default(),
        default_limits: None,
    }
}

/// Returns who made a model, as its makers would say: models of a family tree have makers of their
/// own, siblings the same ones. Nothing else of the tree is told.
fn maker(spec: &FleetSpec, model: &ModelSpec) -> String {
    let mut name = model.source.as_deref().unwrap_or(&model.name);
    let member = |name: &str| spec.lineage.iter().find(|member| member.name == name);
    if member(name).is_none() {
        return "retort-sim".to_owned();
    }
    // A tree is no circle; that is checked when it grows.
    for _ in 0..spec.lineage.len() {
        match member(name).map(|member| &member.made) {
            Some(Made::Sibling { of, .. }) => name = of,
            Some(
                Made::Base
                | Made::FineTune { .. }
                | Made::Student { .. }
                | Made::SameAs { .. }
                | Made::Changes { .. },
            )
            | None => break,
        }
    }
    format!("makers of {name}")
}

fn model_row(account: AccountName, model: &str, maker: String) -> Model {
    Model {
        account,
        model: model.to_owned(),
        limit_group: None,
        limits: Limits::default(),
        price: None,
        overrides: WireOptions::default(),
        registry: None,
        vendor: Some(maker),
        family: None,
        base: None,
        tokenizer: None,
        released: None,
        known_relations: Vec::new(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are above 0 and `as` saturates"
)]
fn limits(spec: &LimitSpec) -> Limits {
    let per_minute = spec
        .requests_per_minute
        .or_else(|| spec.requests_per_second.map(|rate| rate * 60.0));
    Limits {
        // A slower limit than one per minute cannot be said; the retry hints tell it.
        requests_per_minute: per_minute
            .map(|rate| NonZeroU32::new(rate.floor() as u32).unwrap_or(NonZeroU32::MIN)),
        tokens_per_minute: spec.tokens_per_minute.and_then(NonZeroU64::new),
        concurrency: spec.concurrency.and_then(NonZeroU32::new),
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ModelSpec;

    #[test]
    fn siblings_have_the_same_makers() {
        let spec: FleetSpec = serde_json::from_value(serde_json::json!({
            "lineage": [
                { "name": "a", "made": "base" },
                { "name": "b", "made": { "sibling": { "of": "a", "shared": 0.5 } } },
                { "name": "c", "made": { "fine_tune": { "of": "a", "strength": 0.5 } } },
            ],
            "providers": [{ "name": "p", "models": [
                { "name": "a", "kind": "language" }, { "name": "b", "kind": "language" },
                { "name": "other", "kind": "language", "source": "c" }, { "name": "plain" },
            ] }],
        }))
        .unwrap();
        let catalog = catalog(&spec, ([127, 0, 0, 1], 81).into()).unwrap();
        let vendors = catalog
            .models
            .values()
            .filter_map(|model| model.vendor.as_deref());
        let vendors: Vec<&str> = vendors.collect();
        assert_eq!(
            vendors,
            ["makers of a", "makers of a", "makers of c", "retort-sim"]
        );
    }

    #[test]
    fn every_model_is_named() {
        let mut alpha = ProviderSpec::new("alpha", vec![ModelSpec::canned("m")]);
        alpha.api_keys = vec!["k".to_owned()];
        alpha.limits.requests_per_second = Some(2.5);
        alpha.limits.concurrency = Some(4);
        let models = vec![ModelSpec::canned("m"), ModelSpec::canned("n")];
        let mut beta = ProviderSpec::new("beta", models);
        beta.wire = WireProtocol::Gemini;
        let mut gamma = ProviderSpec::new("gam-ma", vec![ModelSpec::canned("o")]);
        gamma.wire = WireProtocol::BedrockConverse;
        gamma.signing_keys = BTreeMap::from([("id".to_owned(), "secret".to_owned())]);
        let spec = FleetSpec::new(vec![alpha, beta, gamma]);
        let catalog = catalog(&spec, ([127, 0, 0, 1], 81).into()).unwrap();
        let names: Vec<_> = catalog.models.keys().map(ModelName::as_str).collect();
        assert_eq!(names, ["alpha/m", "beta/m", "n", "o"]);
        let alpha = &catalog.providers["alpha"];
        assert_eq!(alpha.base_url, "http://127.0.0.1:81/p/alpha/v1");
        let env = alpha.auth.as_ref().and_then(|auth| auth.env.as_deref());
        assert_eq!(env, Some("RETORT_SIM_ALPHA_KEY"));
        assert!(catalog.providers["beta"].auth.is_none());
        let auth = catalog.providers["gam-ma"].auth.as_ref();
        let key = auth.and_then(|auth| auth.sigv4.as_ref()).unwrap();
        let names: Vec<&str> = key.env_names().collect();
        let expected = [
            "RETORT_SIM_GAM_MA_ACCESS_KEY",
            "RETORT_SIM_GAM_MA_SECRET_KEY",
        ];
        assert_eq!(names, expected);
        let beta = &catalog.providers["beta"];
        assert_eq!(beta.wire, WireProtocol::Gemini);
        assert_eq!(beta.base_url, "http://127.0.0.1:81/p/beta/v1beta");
        let limits = &catalog.accounts["alpha"].limits;
        assert_eq!(limits.requests_per_minute.map(NonZeroU32::get), Some(150));
        assert_eq!(limits.concurrency.map(NonZeroU32::get), Some(4));
    }
}
