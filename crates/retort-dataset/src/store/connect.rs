//! Which store an address names, and how one beyond this machine is reached.
//!
//! Credentials come from the usual variables and the files these name; they are handed to the
//! client that signs with them and to nothing else. An address never carries any.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use retort_types::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Store, wrap};
use crate::StoreError;

/// First pause before a request is repeated; it doubles from there.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);

/// Longest pause between two tries: as long as a store that sheds load wants to be left alone.
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// Variables one of which says where the credentials of an S3 store come from.
const S3_CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

/// The same of Google Cloud Storage.
const GOOGLE_CREDENTIALS: &[&str] = &[
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
    "GOOGLE_SKIP_SIGNATURE",
];

/// The same of Azure.
const AZURE_CREDENTIALS: &[&str] = &[
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_USE_AZURE_CLI",
    "AZURE_SKIP_SIGNATURE",
];

/// Where `gcloud auth application-default login` leaves credentials, below the home folder.
const GCLOUD_FILE: &str = ".config/gcloud/application_default_credentials.json";

/// How a store beyond this machine is reached. Nothing here matters to a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// Where requests go instead of the provider's own address, as `https://minio.example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of an S3 bucket, unless `AWS_REGION` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether an endpoint may be plain `http` beyond this machine, where anyone can read along.
    pub allow_http: bool,
    /// Whether to ask the machine's metadata service for credentials when no variable names any.
    pub instance_credentials: bool,
    /// Times a request is repeated after a 429, a 5xx or a broken connection.
    pub retries: usize,
    /// Longest time all tries of a request take together, before whoever asked decides.
    pub retry_timeout: HumanDuration,
    /// Longest time one try may take; a part of `part_bytes` has to fit.
    pub request_timeout: HumanDuration,
    /// Longest time a connection may take.
    pub connect_timeout: HumanDuration,
    /// Bytes above which an object is sent in parts of this size; S3 wants 5 MiB at least and
    /// 10,000 parts at most.
    pub part_bytes: NonZeroU64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            allow_http: false,
            instance_credentials: false,
            // 0.2 s doubling to 15 s: eight tries span about a minute.
            retries: 8,
            retry_timeout: HumanDuration(Duration::from_mins(1)),
            // 8 MiB at 1.5 Mbit/s.
            request_timeout: HumanDuration(Duration::from_secs(45)),
            connect_timeout: HumanDuration(Duration::from_secs(5)),
            part_bytes: NonZeroU64::new(8 << 20).unwrap_or(NonZeroU64::MIN),
        }
    }
}

/// The variables of a process, by name.
pub type Environment = BTreeMap<String, String>;

/// An address, taken apart.
enum Address {
    Folder(PathBuf),
    Remote {
        kind: Kind,
        bucket: String,
        prefix: ObjectPath,
    },
}

/// Kinds of stores beyond this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure,
}

impl Kind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" => Some(Self::S3),
            "gs" => Some(Self::Google),
            "az" => Some(Self::Azure),
            _ => None,
        }
    }

    const fn credentials(self) -> &'static [&'static str] {
        match self {
            Self::S3 => S3_CREDENTIALS,
            Self::Google => GOOGLE_CREDENTIALS,
            Self::Azure => AZURE_CREDENTIALS,
        }
    }

    /// Returns what a person most likely wants to set.
    const fn usual(self) -> &'static str {
        match self {
            Self::S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            Self::Google => "GOOGLE_APPLICATION_CREDENTIALS",
            Self::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        }
    }

    const fn variables(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }
}

impl Store {
    /// Opens the store at `url`: a folder (its path or `file:///…`), which is created, or
    /// `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`, with the credentials
    /// that `environment` names. Nothing is asked of a store beyond this machine yet.
    ///
    /// # Errors
    /// When the address is not one, names another kind of store or credentials are missing, and
    /// when a folder cannot be made.
    pub fn connect(
        url: &str,
        settings: &StoreSettings,
        environment: &Environment,
    ) -> Result<Self, StoreError> {
        let (kind, bucket, prefix) = match address_of(url)? {
            Address::Folder(folder) => return Self::open_folder(&folder),
            Address::Remote {
                kind,
                bucket,
                prefix,
            } => (kind, bucket, prefix),
        };
        if !settings.instance_credentials && !has_credentials(kind, environment) {
            return Err(StoreError::NoCredentials {
                url: url.to_owned(),
                usual: kind.usual(),
            });
        }
        install_cryptography();
        let client = Client {
            url,
            bucket: &bucket,
            settings,
            environment,
        };
        let inner = match kind {
            Kind::S3 => client.s3(),
            Kind::Google => client.google(),
            Kind::Azure => client.azure(),
        }?;
        let inner: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
            inner
        } else {
            Arc::new(PrefixStore::new(inner, prefix))
        };
        let part_bytes = usize::try_from(settings.part_bytes.get()).unwrap_or(usize::MAX);
        let part_bytes = NonZeroUsize::new(part_bytes).unwrap_or(NonZeroUsize::MIN);
        Ok(Self::over(inner, url.trim_end_matches('/')).with_parts(part_bytes))
    }
}

/// What a client of a store is made from.
struct Client<'a> {
    url: &'a str,
    bucket: &'a str,
    settings: &'a StoreSettings,
    environment: &'a Environment,
}

impl Client<'_> {
    fn s3(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let named = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
        let options = self.options(&named)?;
        let mut builder = AmazonS3Builder::new().with_client_options(options);
        for (name, value) in self.variables(Kind::S3) {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(region) = &self.settings.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder
            .with_bucket_name(self.bucket)
            .with_retry(self.retry());
        Ok(Arc::new(store.build().map_err(|error| self.failed(error))?))
    }

    fn google(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let options = self.options(&["GOOGLE_BASE_URL"])?;
        let mut builder = GoogleCloudStorageBuilder::new().with_client_options(options);
        for (name, value) in self.variables(Kind::Google) {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        let store = builder
            .with_bucket_name(self.bucket)
            .with_retry(self.retry());
        Ok(Arc::new(store.build().map_err(|error| self.failed(error))?))
    }

    fn azure(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let options = self.options(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"])?;
        let mut builder = MicrosoftAzureBuilder::new().with_client_options(options);
        for (name, value) in self.variables(Kind::Azure) {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let store = builder
            .with_container_name(self.bucket)
            .with_retry(self.retry());
        Ok(Arc::new(store.build().map_err(|error| self.failed(error))?))
    }

    fn variables(&self, kind: Kind) -> impl Iterator<Item = (&String, &String)> {
        let mine = move |name: &&String| name.starts_with(kind.variables());
        self.environment.iter().filter(move |(name, _)| mine(name))
    }

    fn retry(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: BACKOFF_FIRST,
                max_backoff: BACKOFF_MAX,
                base: 2.0,
            },
            max_retries: self.settings.retries,
            retry_timeout: self.settings.retry_timeout.0,
        }
    }

    /// Returns how requests are sent; `named` are the variables that may name an endpoint.
    fn options(&self, named: &[&str]) -> Result<ClientOptions, StoreError> {
        let settings = self.settings;
        let variable = || named.iter().find_map(|name| self.environment.get(*name));
        let endpoint = settings.endpoint.as_ref().or_else(variable);
        let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http:"));
        if is_plain && !settings.allow_http && !endpoint.is_some_and(|e| is_loopback(e)) {
            return Err(self.invalid("its endpoint is plain http; `store_access.allow_http` lets anyone on the way read along"));
        }
        Ok(ClientOptions::new()
            .with_allow_http(is_plain)
            .with_timeout(settings.request_timeout.0)
            .with_connect_timeout(settings.connect_timeout.0))
    }

    fn failed(&self, error: object_store::Error) -> StoreError {
        wrap("open store", self.url, error)
    }

    fn invalid(&self, rule: &'static str) -> StoreError {
        StoreError::InvalidUrl {
            url: self.url.to_owned(),
            rule,
        }
    }
}

fn has_credentials(kind: Kind, environment: &Environment) -> bool {
    let is_set = |name: &&str| {
        environment
            .get(*name)
            .is_some_and(|value| !value.is_empty())
    };
    if kind.credentials().iter().any(is_set) {
        return true;
    }
    let home = environment.get("HOME").map(Path::new);
    kind == Kind::Google && home.is_some_and(|home| home.join(GCLOUD_FILE).exists())
}

fn is_loopback(endpoint: &str) -> bool {
    let url = Url::parse(endpoint).ok();
    match url.as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The HTTP library takes its cryptography from the process; whoever comes first decides.
fn install_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let lost = rustls::crypto::ring::default_provider().install_default();
        if lost.is_err() {
            tracing::debug!("another cryptography provider was installed first");
        }
    }
}

fn address_of(url: &str) -> Result<Address, StoreError> {
    let invalid = |rule| StoreError::InvalidUrl {
        // What comes before an `@` may be a secret.
        url: url.rsplit('@').next().unwrap_or_default().to_owned(),
        rule,
    };
    if url.trim().is_empty() {
        return Err(invalid("the address is empty"));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(Address::Folder(PathBuf::from(url)));
    };
    if scheme == "file" {
        return if rest.starts_with('/') {
            Ok(Address::Folder(PathBuf::from(rest)))
        } else {
            Err(invalid("a file address has three slashes: file:///folder"))
        };
    }
    let Some(kind) = Kind::of(scheme) else {
        return Err(StoreError::Unsupported {
            url: url.to_owned(),
            scheme: scheme.to_owned(),
        });
    };
    if rest.contains(['@', '?', '#']) {
        return Err(invalid(
            "it holds nothing but bucket and prefix; credentials come from the environment",
        ));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(invalid("it names no bucket"));
    }
    let prefix = ObjectPath::parse(prefix.trim_end_matches('/'))
        .map_err(|_| invalid("its prefix is no path"))?;
    Ok(Address::Remote {
        kind,
        bucket: bucket.to_owned(),
        prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(url: &str, endpoint: Option<&str>, variables: &[(&str, &str)]) -> String {
        let settings = StoreSettings {
            endpoint: endpoint.map(str::to_owned),
            ..StoreSettings::default()
        };
        let variables = variables.iter();
        let environment = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        match Store::connect(url, &settings, &environment.collect()) {
            Ok(store) => format!("{store:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses() {
        let key = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "canary"),
        ];
        let told = [
            connect("s3://bucket/a/b/", None, &key),
            connect("s3://bucket", Some("http://127.0.0.1:9000"), &key),
            connect("s3://bucket", Some("http://example.org"), &key),
            connect("s3://bucket/x", None, &[]),
            connect("s3://bucket/x", None, &[("AWS_ACCESS_KEY_ID", "")]),
            connect("s3:///x", None, &key),
            connect("s3://id:canary@bucket/x", None, &key),
            connect("s3://bucket/../x", None, &key),
            connect("gs://bucket/x", None, &[]),
            connect("gs://bucket/x", None, &[("GOOGLE_BEARER_TOKEN", "canary")]),
            connect("az://container/x", None, &[]),
            connect(
                "az://container/x",
                None,
                &[
                    ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
                    ("AZURE_STORAGE_ACCOUNT_KEY", "Y2FuYXJ5"),
                ],
            ),
            connect("ftp://bucket/x", None, &[]),
            connect("file://x", None, &[]),
            connect("", None, &[]),
        ];
        let told = told.join("\n");
        assert!(!told.contains("canary"), "{told}");
        insta::assert_snapshot!(told);
    }

    #[test]
    fn only_this_machine_is_a_loopback() {
        for here in ["http://127.0.0.1:1", "http://[::1]:1/x", "http://localhost"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["http://127.0.0.1.example.org", "http://example.org", "x"] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
