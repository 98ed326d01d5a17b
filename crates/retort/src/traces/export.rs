//! How spans reach a collector: in batches, by a thread of their own, over HTTP as protobuf.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::{Handle, Runtime};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;

use super::{Spans, variable, wanted};

/// How long the end of the program waits for a collector. What is not sent by then is lost: traces
/// are no evidence.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// How long a collector may take for one batch unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes that are read of a collector's answer: it says how many spans it did not take.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// Crates whose spans are sent. Their fields are names, numbers and hashes.
const OF: [&str; 2] = ["retort_crawl", "retort_dataset"];

/// What sends spans.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    /// The connections to the collector, apart from those of the work.
    runtime: Runtime,
    /// Batches that the collector did not take.
    lost: Arc<AtomicU64>,
}

impl Traces {
    /// Sends what is left, and gives up after [`END_PATIENCE`].
    pub(crate) fn end(self) {
        let ended = self.provider.shutdown_with_timeout(END_PATIENCE);
        let lost = self.lost.load(Ordering::Relaxed);
        if ended.is_err() || lost > 0 {
            // An address may hold a password, so that no error of a request is told.
            tracing::warn!(batches = lost, "some traces did not reach the collector");
        }
        self.runtime.shutdown_background();
    }
}

/// Returns what takes spans down and what sends them, or why there is neither although it is wanted.
pub(crate) fn start() -> Result<Option<(Spans, Traces)>, String> {
    let Some(name) = wanted(variable) else {
        return Ok(None);
    };
    if let Some(other) = other_protocol() {
        return Err(format!(
            "traces are sent as `http/protobuf` only, and not as `{other}`"
        ));
    }
    let begun =
        begin().map_err(|error| format!("no traces are sent to what `{name}` names: {error}"))?;
    Ok(Some(begun))
}

/// Returns the protocol that is asked for and not spoken.
fn other_protocol() -> Option<String> {
    let asked = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        .or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"))?;
    let is_ours = asked.is_empty() || asked.eq_ignore_ascii_case("http/protobuf");
    (!is_ours).then_some(asked)
}

fn begin() -> Result<(Spans, Traces), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("retort-traces")
        .enable_all()
        .build()?;
    let lost = Arc::default();
    let post = Post::new(runtime.handle().clone(), Arc::clone(&lost))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(post)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_batch_exporter(exporter)
        .build();
    let ours = filter_fn(|metadata| {
        let owner = metadata.target().split("::").next().unwrap_or_default();
        metadata.is_span() && *metadata.level() <= Level::DEBUG && OF.contains(&owner)
    });
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("retort"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(ours.with_max_level_hint(LevelFilter::DEBUG));
    let traces = Traces {
        provider,
        runtime,
        lost,
    };
    Ok((spans.boxed(), traces))
}

/// Returns who sends: what the standard variables say, else this program's name.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    let is_named = variable("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    if is_named {
        return builder.build();
    }
    builder.with_service_name("retort").build()
}

/// Posts batches from the exporter's thread, by connections that live on a runtime of their own.
#[derive(Debug)]
struct Post {
    client: reqwest::Client,
    runtime: Handle,
    lost: Arc<AtomicU64>,
}

impl Post {
    fn new(runtime: Handle, lost: Arc<AtomicU64>) -> Result<Self, reqwest::Error> {
        let millis = variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            .or_else(|| variable("OTEL_EXPORTER_OTLP_TIMEOUT"))
            .and_then(|millis| millis.trim().parse().ok());
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(millis.map_or(TIMEOUT, Duration::from_millis))
            .build()?;
        Ok(Self {
            client,
            runtime,
            lost,
        })
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let sent = self.runtime.spawn(post(self.client.clone(), request));
        let answer = sent.await?;
        let is_taken = answer
            .as_ref()
            .is_ok_and(|answer| answer.status().is_success());
        if !is_taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

async fn post(
    client: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(body.into());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}
