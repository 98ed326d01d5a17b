//! Where keys come from: the environment or files that the catalog names. Never from the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use retort_client::{Credential, Secret, SecretHeader, SigningKey};
use retort_crawl::Target;
use retort_types::catalog::{Auth, SIGV4_SERVICE, SigV4};
use retort_types::{AccountName, Endpoint, ModelName};

use crate::failure::Failure;

/// Longest key file that is read, in bytes: keys are short, and a wrong path should not fill memory.
const KEY_FILE_MAX_BYTES: u64 = 64 * 1024;

/// Returns every model with the secret its requests need.
pub(crate) fn targets(endpoints: &[Endpoint]) -> Result<BTreeMap<ModelName, Target>, Failure> {
    let mut targets = BTreeMap::new();
    for endpoint in endpoints {
        targets.insert(endpoint.name.clone(), target(endpoint)?);
    }
    Ok(targets)
}

/// Returns a model with the secret its requests need.
pub(crate) fn target(endpoint: &Endpoint) -> Result<Target, Failure> {
    let auth = endpoint.auth.as_ref();
    let secret = auth.map(|auth| credential(auth, endpoint)).transpose()?;
    Ok(Target {
        endpoint: endpoint.clone(),
        secret,
    })
}

/// Returns whether the secret that `auth` names is there.
pub(crate) fn is_present(auth: &Auth) -> bool {
    if let Some(key) = &auth.sigv4 {
        return key.env_names().all(|name| from_env(name).is_some());
    }
    match (&auth.env, &auth.file) {
        (Some(name), _) => from_env(name).is_some(),
        (None, Some(path)) => from_file(path).is_ok(),
        (None, None) => false,
    }
}

fn credential(auth: &Auth, endpoint: &Endpoint) -> Result<Arc<Credential>, Failure> {
    let account = &endpoint.account;
    if let Some(key) = &auth.sigv4 {
        return signing_key(key, account).map(|key| Arc::new(key.into()));
    }
    let key = match (&auth.env, &auth.file) {
        (Some(name), _) => named(name, account)?,
        (None, Some(path)) => from_file(path).map_err(|reason| {
            Failure::bad(format!(
                "no key for account `{account}`: failed to read `{path}`: {reason}"
            ))
        })?,
        (None, None) => {
            return Err(Failure::bad(format!(
                "account `{account}` needs a key and its catalog row names no source"
            ))
            .hint("set `auth.env` or `auth.file` on the account or its provider"));
        }
    };
    let header = SecretHeader::new(auth.header_name(), auth.prefix_text(), Secret::new(key));
    header
        .map(|header| Arc::new(header.into()))
        .map_err(|_| unusable(account))
}

fn signing_key(key: &SigV4, account: &AccountName) -> Result<SigningKey, Failure> {
    let secret = |name: &str| named(name, account).map(Secret::new);
    let token = key.session_token_env.as_deref().map(secret).transpose()?;
    SigningKey::new(
        secret(&key.access_key_env)?,
        secret(&key.secret_key_env)?,
        token,
        (&key.region, SIGV4_SERVICE),
    )
    .map_err(|_| unusable(account))
}

fn named(name: &str, account: &AccountName) -> Result<String, Failure> {
    from_env(name).ok_or_else(|| {
        Failure::bad(format!("no key for account `{account}`: {name} is not set"))
            .hint(format!("export {name}=…"))
    })
}

fn unusable(account: &AccountName) -> Failure {
    Failure::bad(format!(
        "the key of account `{account}` cannot be sent in a header"
    ))
    .hint("it holds a character that no header may hold, as a line break within it")
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys are named by the catalog and read here only"
)]
fn from_env(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .map(|key| key.trim().to_owned())
        .filter(|key| !key.is_empty())
}

/// Returns the password of secret keys that sign snapshots, if one is set.
pub(crate) fn key_password() -> Option<String> {
    from_env("RETORT_KEY_PASSWORD")
}

fn from_file(path: &str) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > KEY_FILE_MAX_BYTES {
        return Err(format!("{length} bytes are too many for a key"));
    }
    let key = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())?
        .trim()
        .to_owned();
    if key.is_empty() {
        Err("it is empty".to_owned())
    } else {
        Ok(key)
    }
}
