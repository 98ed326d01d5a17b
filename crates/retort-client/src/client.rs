//! The client: its connections, and one exchange from request to ending.

use std::fmt;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use retort_types::catalog::is_loopback_host;
use retort_types::{Timestamp, WallClock};
use tokio::time::{Instant, timeout_at};

use crate::receive::{Received, Receiver};
use crate::secret::{Echo, REDACTED};
use crate::{
    BodySink, ClientError, ClientSettings, Credential, Ending, Exchange, Head, HttpRequest, Phase,
    Secret, Which, fault,
};

/// What is asked for unless the request says otherwise. Every server knows it, it pays for JSON, and
/// its streams can be flushed at each event. Others are undone all the same when a server uses them.
const ACCEPT_ENCODING: &str = "gzip";

/// Headers that frame the message. One set by a caller could make two messages of one.
const FRAMING_HEADERS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
];

/// Sends requests. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct HttpClient(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    settings: ClientSettings,
    user_agent: HeaderValue,
    has_roots: bool,
    clock: Arc<dyn WallClock>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Makes a client that calls itself `product`, as `retort/0.1.0`. Reads the root certificates
    /// of this machine and the settings' `ca_file`.
    ///
    /// # Errors
    /// When a setting cannot work or `ca_file` cannot be read.
    pub fn new(
        settings: ClientSettings,
        product: &str,
        clock: Arc<dyn WallClock>,
    ) -> Result<Self, ClientError> {
        settings.check()?;
        let name = match &settings.contact {
            Some(contact) => format!("{product} (+{contact})"),
            None => product.to_owned(),
        };
        let user_agent = HeaderValue::from_str(&name).map_err(|_| ClientError::Setting {
            name: "product",
            reason: "must be printable",
        })?;
        let (http, has_roots) = connect(&settings)?;
        Ok(Self(Arc::new(Inner {
            http,
            settings,
            user_agent,
            has_roots,
            clock,
        })))
    }

    /// Tells whether `url` may be asked, for use at start-up; [`Self::exchange`] refuses it otherwise.
    ///
    /// # Errors
    /// When the URL cannot be used, when its host is not this machine and no contact is set, or
    /// when it needs TLS and there are no root certificates.
    pub fn check_url(&self, url: &str) -> Result<(), ClientError> {
        self.parse(url).map(|_| ())
    }

    fn parse(&self, url: &str) -> Result<Url, ClientError> {
        let url = Url::parse(url).map_err(|_| ClientError::Url("cannot be parsed"))?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(ClientError::Url("is neither http nor https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ClientError::Url(
                "holds user info, which is no place for secrets",
            ));
        }
        let host = url.host_str().ok_or(ClientError::Url("has no host"))?;
        if self.0.settings.contact.is_none() && !is_loopback_host(host) {
            return Err(ClientError::NoContact(host.to_owned()));
        }
        if is_tls && !self.0.has_roots {
            return Err(ClientError::NoRoots);
        }
        Ok(url)
    }

    /// Posts `request` and gives its answer to `sink` as it arrives. Whatever happens is told by
    /// [`Exchange::end`]; the sink gets what was decoded until then. Dropping the future ends the
    /// exchange.
    ///
    /// The request is written to the network at most once: the only thing repeated is picking
    /// another connection when an idle one turns out to be closed before any byte was written.
    pub async fn exchange(&self, request: &HttpRequest, sink: &mut dyn BodySink) -> Exchange {
        let sent_at = self.0.clock.now();
        let start = Instant::now();
        let credential = request.secret.as_deref();
        let (prepared, signature) = match self.prepare(request, sent_at) {
            Ok(prepared) => prepared,
            Err(cause) => {
                return finished(sent_at, start, Received::refused(cause), Vec::new());
            }
        };
        let request_headers = told(prepared.headers(), credential);
        let received = match self.head(prepared, sent_at, start).await {
            Ok((response, mut head)) => {
                let secrets = credential.map(Credential::secrets).unwrap_or_default();
                let echo = Echo::of(secrets.into_iter().chain(&signature));
                let echoed = redact_headers(&mut head.headers, echo.as_ref());
                sink.head(&head);
                let receiver = Receiver::new(&self.0.settings, start, head, sink, echo);
                let mut received = receiver.receive(response).await;
                received.secret_echoed |= echoed;
                received
            }
            Err(end) => Received::without_head(end),
        };
        Exchange {
            signature,
            ..finished(sent_at, start, received, request_headers)
        }
    }

    /// Returns the request as it is sent, and the signature in it if it is signed.
    fn prepare(
        &self,
        request: &HttpRequest,
        sent_at: Timestamp,
    ) -> Result<(reqwest::Request, Option<Secret>), &'static str> {
        let url = self.parse(&request.url).map_err(|error| error.cause())?;
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static(ACCEPT_ENCODING),
        );
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "bad header name")?;
            let value = HeaderValue::from_str(value).map_err(|_| "bad header value")?;
            if FRAMING_HEADERS.contains(&name) {
                return Err("header frames the message");
            }
            headers.insert(name, value);
        }
        headers.insert(header::USER_AGENT, self.0.user_agent.clone());
        let signature = match request.secret.as_deref() {
            Some(Credential::Header(secret)) => {
                if FRAMING_HEADERS.contains(secret.name()) {
                    return Err("header frames the message");
                }
                headers.insert(secret.name().clone(), secret.value().clone());
                None
            }
            Some(Credential::Signing(key)) => {
                let signed = key.sign(&url, &mut headers, &request.body, sent_at);
                Some(signed.map_err(|error| error.cause())?)
            }
            None => None,
        };
        let mut prepared = reqwest::Request::new(reqwest::Method::POST, url);
        *prepared.headers_mut() = headers;
        *prepared.body_mut() = Some(request.body.clone().into());
        Ok((prepared, signature))
    }

    async fn head(
        &self,
        request: reqwest::Request,
        sent_at: Timestamp,
        start: Instant,
    ) -> Result<(reqwest::Response, Head), Ending> {
        let settings = &self.0.settings;
        let (wait, phase) = if settings.first_byte_timeout <= settings.total_timeout {
            (settings.first_byte_timeout.0, Phase::FirstByte)
        } else {
            (settings.total_timeout.0, Phase::Total)
        };
        let mut response = timeout_at(start + wait, self.0.http.execute(request))
            .await
            .map_err(|_| Ending::TimedOut(phase))?
            .map_err(|error| fault::before_head(&error))?;
        let since_sent = start.elapsed();
        let headers = std::mem::take(response.headers_mut());
        let lengths = headers.iter().map(|(n, v)| n.as_str().len() + v.len());
        if lengths.sum::<usize>() > settings.max_header_bytes as usize {
            return Err(Ending::TooLarge(Which::Head));
        }
        let head = Head {
            status: response.status().as_u16(),
            version: version(response.version()),
            headers,
            received_at: sent_at.after(since_sent),
            since_sent,
        };
        Ok((response, head))
    }
}

fn finished(
    sent_at: Timestamp,
    start: Instant,
    received: Received,
    request_headers: Vec<(String, String)>,
) -> Exchange {
    let total = start.elapsed();
    let elapsed = match received.end {
        Ending::StoppedAfterEnd => received.last_byte.unwrap_or(total),
        Ending::Complete
        | Ending::Refused(_)
        | Ending::ConnectFailed(_)
        | Ending::TimedOut(_)
        | Ending::Broken(_)
        | Ending::TooLarge(_)
        | Ending::BadEncoding(_) => total,
    };
    Exchange {
        sent_at,
        finished_at: sent_at.after(total),
        elapsed,
        head: received.head,
        chunks: received.chunks,
        chunk_count: received.chunk_count,
        body: received.body,
        secret_echoed: received.secret_echoed,
        signature: None,
        end: received.end,
        request_headers,
    }
}

/// Returns the client and whether it can check certificates.
fn connect(settings: &ClientSettings) -> Result<(reqwest::Client, bool), ClientError> {
    // The HTTP library takes its cryptography from the process; whoever comes first decides.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let lost = rustls::crypto::ring::default_provider().install_default();
        if lost.is_err() {
            tracing::debug!("another cryptography provider was installed first");
        }
    }
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|source| ClientError::CaFile {
            path: path.clone(),
            source,
        })?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|roots| !roots.is_empty())
            .ok_or_else(|| ClientError::BadCaFile(path.clone()))?;
        let client = builder(settings).tls_certs_merge(roots).build();
        return Ok((client.map_err(ClientError::Build)?, true));
    }
    if let Ok(client) = builder(settings).build() {
        return Ok((client, true));
    }
    // A machine without root certificates can still ask local servers.
    let client = builder(settings).tls_certs_only([]).build();
    Ok((client.map_err(ClientError::Build)?, false))
}

fn builder(settings: &ClientSettings) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout.0)
        .pool_idle_timeout(settings.pool_idle_timeout.0)
        .pool_max_idle_per_host(settings.pool_max_idle_per_host);
    if settings.http2 {
        builder.http2_max_header_list_size(settings.max_header_bytes)
    } else {
        builder.http1_only()
    }
}

/// Returns headers as they may be told.
fn told(headers: &HeaderMap, credential: Option<&Credential>) -> Vec<(String, String)> {
    let secrets = credential.map(Credential::secrets).unwrap_or_default();
    let tell = |name: &HeaderName, value: &HeaderValue| {
        let hidden = credential.and_then(|credential| credential.told(name));
        hidden
            .unwrap_or_else(|| crate::redact(&String::from_utf8_lossy(value.as_bytes()), &secrets))
    };
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), tell(name, value)))
        .collect()
}

/// Replaces values that hold a secret; returns whether there were any.
fn redact_headers(headers: &mut HeaderMap, echo: Option<&Echo<'_>>) -> bool {
    let Some(echo) = echo else {
        return false;
    };
    let mut found = false;
    for value in headers.values_mut() {
        if echo.is_in(value.as_bytes()) {
            *value = HeaderValue::from_static(REDACTED);
            found = true;
        }
    }
    found
}

fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
