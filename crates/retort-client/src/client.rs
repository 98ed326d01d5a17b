//! The client: its connections, and one exchange from request to ending.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use retort_types::catalog::is_loopback_host;
use retort_types::{Timestamp, WallClock};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::connect::Connector;
use crate::receive::{Counted, Received, Receiver};
use crate::secret::{Echo, REDACTED, redacted};
use crate::times::{Lag, Times};
use crate::trust;
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
    http: Http,
    settings: ClientSettings,
    user_agent: HeaderValue,
    has_roots: bool,
    clock: Arc<dyn WallClock>,
    addresses: Addresses,
    lag: Lag,
}

/// Most addresses that are remembered: a crawl asks one for each model.
const ADDRESSES_MAX: usize = 1_024;

/// Where to ask, read from a URL.
struct Address {
    url: Url,
    uri: Uri,
}

/// Addresses that were found fit to be asked, so that none is read again for each request.
#[derive(Default)]
struct Addresses(RwLock<BTreeMap<String, Arc<Address>>>);

impl Addresses {
    fn get(&self, text: &str) -> Option<Arc<Address>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(text).map(Arc::clone)
    }

    fn keep(&self, text: &str, address: &Arc<Address>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < ADDRESSES_MAX {
            known.insert(text.to_owned(), Arc::clone(address));
        }
    }
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
            addresses: Addresses::default(),
            lag: Lag::default(),
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

    fn parse(&self, text: &str) -> Result<Arc<Address>, ClientError> {
        if let Some(known) = self.0.addresses.get(text) {
            return Ok(known);
        }
        let url = Url::parse(text).map_err(|_| ClientError::Url("cannot be parsed"))?;
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
        let uri = Uri::try_from(url.as_str()).map_err(|_| ClientError::Url("cannot be parsed"))?;
        let address = Arc::new(Address { url, uri });
        self.0.addresses.keep(text, &address);
        Ok(address)
    }

    /// Posts `request` and gives its answer to `sink` as it arrives. Whatever happens is told by
    /// [`Exchange::end`]; the sink gets what was decoded until then. Dropping the future ends the
    /// exchange.
    ///
    /// The request is written to the network at most once: the only thing repeated is picking
    /// another connection when an idle one turns out to be closed before any byte was written.
    pub async fn exchange(&self, request: &HttpRequest, sink: &mut dyn BodySink) -> Exchange {
        let mut start = Start::new(self.0.clock.now());
        let credential = request.secret.as_deref();
        let (prepared, signature) = match self.prepare(request, start.sent_at) {
            Ok(prepared) => prepared,
            Err(cause) => {
                return finished(start, Received::refused(cause), HeaderMap::new());
            }
        };
        let request_headers = told(prepared.headers(), credential);
        let received = match self.head(prepared, start.begun).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let times = parts.extensions.get::<Arc<Times>>().map(Arc::clone);
                start = start.with(times.as_ref());
                let mut head = head(start, times.as_deref(), parts.status, parts.version);
                head.headers = parts.headers;
                let secrets = credential.map(Credential::secrets).unwrap_or_default();
                let echo = Echo::of(secrets.into_iter().chain(&signature));
                let echoed = redact_headers(&mut head.headers, echo.as_ref());
                sink.head(&head);
                let counted = Counted {
                    begun: start.begun,
                    sent: start.sent,
                    times,
                    lag: &self.0.lag,
                };
                let receiver = Receiver::new(&self.0.settings, counted, head, sink, echo);
                let mut received = receiver.receive(body).await;
                received.secret_echoed |= echoed;
                received
            }
            Err(end) => Received::without_head(end),
        };
        Exchange {
            signature,
            ..finished(start, received, request_headers)
        }
    }

    /// Returns the request as it is sent, and the signature in it if it is signed.
    fn prepare(
        &self,
        request: &HttpRequest,
        sent_at: Timestamp,
    ) -> Result<(Request<Full<Bytes>>, Option<Secret>), &'static str> {
        let address = self.parse(&request.url).map_err(|error| error.cause())?;
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
                let signed = key.sign(&address.url, &mut headers, &request.body, sent_at);
                Some(signed.map_err(|error| error.cause())?)
            }
            None => None,
        };
        let mut prepared = Request::new(Full::new(request.body.clone()));
        *prepared.method_mut() = Method::POST;
        *prepared.uri_mut() = address.uri.clone();
        *prepared.headers_mut() = headers;
        Ok((prepared, signature))
    }

    async fn head(
        &self,
        request: Request<Full<Bytes>>,
        start: Instant,
    ) -> Result<Response<Incoming>, Ending> {
        let settings = &self.0.settings;
        let (wait, phase) = if settings.first_byte_timeout <= settings.total_timeout {
            (settings.first_byte_timeout.0, Phase::FirstByte)
        } else {
            (settings.total_timeout.0, Phase::Total)
        };
        let response = timeout_at(start + wait, self.0.http.request(request))
            .await
            .map_err(|_| Ending::TimedOut(phase))?
            .map_err(|error| fault::before_head(&error))?;
        let lengths = response.headers().iter();
        let lengths = lengths.map(|(name, value)| name.as_str().len() + value.len());
        if lengths.sum::<usize>() > settings.max_header_bytes as usize {
            return Err(Ending::TooLarge(Which::Head));
        }
        Ok(response)
    }

    /// Measures for ever how late the runtime it runs on wakes its tasks: without that,
    /// [`Exchange::lag`] is nothing. One of them is enough for all clones.
    pub async fn measure_lag(&self) {
        self.0.lag.measure().await;
    }
}

/// The points in time that an exchange counts from.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// When it was begun; deadlines count from here.
    begun: Instant,
    /// When its request went to the network.
    sent: Instant,
    /// The same by the wall clock.
    sent_at: Timestamp,
}

impl Start {
    fn new(sent_at: Timestamp) -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            sent: now,
            sent_at,
        }
    }

    /// Returns it with what the connection of the answer says.
    fn with(self, times: Option<&Arc<Times>>) -> Self {
        let Some(times) = times else {
            return self;
        };
        let sent = times.sent_at(self.begun);
        Self {
            begun: self.begun,
            sent,
            sent_at: self.sent_at.after(sent - self.begun),
        }
    }
}

/// Returns the head of an answer, as yet without headers.
fn head(start: Start, times: Option<&Times>, status: StatusCode, version: http::Version) -> Head {
    let now = Instant::now();
    let read_at = times.map_or(now, |times| times.read_at(start.sent).min(now));
    let since_sent = read_at - start.sent;
    Head {
        status: status.as_u16(),
        version: told_version(version),
        headers: HeaderMap::new(),
        received_at: start.sent_at.after(since_sent),
        since_sent,
    }
}

fn finished(start: Start, received: Received, request_headers: HeaderMap) -> Exchange {
    let total = start.sent.elapsed();
    let elapsed = match received.end {
        Ending::Complete | Ending::StoppedAfterEnd => received.last_byte.unwrap_or(total),
        Ending::Refused(_)
        | Ending::ConnectFailed(_)
        | Ending::TimedOut(_)
        | Ending::Broken(_)
        | Ending::TooLarge(_)
        | Ending::BadEncoding(_) => total,
    };
    Exchange {
        sent_at: start.sent_at,
        finished_at: start.sent_at.after(total),
        elapsed,
        lag: received.lag,
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

type Http = hyper_util::client::legacy::Client<Connector, Full<Bytes>>;

/// Returns the client and whether it can check certificates.
fn connect(settings: &ClientSettings) -> Result<(Http, bool), ClientError> {
    let (tls, has_roots) = trust::tls(settings)?;
    let connector = Connector::new(tls, settings.connect_timeout.0);
    let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(settings.pool_idle_timeout.0)
        .pool_max_idle_per_host(settings.pool_max_idle_per_host)
        .http2_max_header_list_size(settings.max_header_bytes);
    Ok((builder.build(connector), has_roots))
}

/// Returns headers as they may be told.
fn told(headers: &HeaderMap, credential: Option<&Credential>) -> HeaderMap {
    let mut told = headers.clone();
    let Some(credential) = credential else {
        return told;
    };
    let secrets = credential.secrets();
    for (name, value) in &mut told {
        let text = String::from_utf8_lossy(value.as_bytes());
        let hidden = credential.told(name).or_else(|| redacted(&text, &secrets));
        if let Some(hidden) = hidden {
            // What a header holds still is one with a word of ours in it.
            *value = HeaderValue::from_str(&hidden)
                .unwrap_or_else(|_| HeaderValue::from_static(REDACTED));
        }
    }
    told
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

fn told_version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
