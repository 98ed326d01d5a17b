//! The server: accepting connections, reading requests, and the fleet's own endpoints.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::api::Dialect;
use crate::api::error::ApiError;
use crate::error::SimError;
use crate::exchange::{self, check_key};
use crate::fault::FaultSpec;
use crate::http::{self, NoRequest, Request};
use crate::peer::{Gone, Peer};
use crate::route::{self, Endpoint};
use crate::script::End;
use crate::state::{ProviderState, Shared};

/// Most connections at once: what one worker keeps in flight at the most, and room for others.
const CONNECTIONS_MAX: usize = 16_384;

/// Longest time from the end of one request to the end of the next, however it drips in.
const REQUEST_PATIENCE: Duration = Duration::from_mins(5);

/// Rest after the system refused to accept, most often for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Version of Ollama whose API is spoken.
const OLLAMA_VERSION: &str = "0.12.0";

/// Accepts connections until `stop` changes or is dropped, then ends all of them.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => welcome(&mut connections, stream, &shared),
                Err(error) => {
                    tracing::warn!(%error, "connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

fn welcome(connections: &mut JoinSet<()>, stream: TcpStream, shared: &Arc<Shared>) {
    if connections.len() >= CONNECTIONS_MAX {
        shared.connections_refused.fetch_add(1, Ordering::Relaxed);
        return;
    }
    connections.spawn(converse(Peer::new(stream), Arc::clone(shared)));
}

/// Counts an open connection while it lives.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.connections_total.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers the requests of one connection.
async fn converse(mut peer: Peer, shared: Arc<Shared>) {
    let open = Open::new(shared);
    let shared = &open.0;
    loop {
        let request = match timeout(REQUEST_PATIENCE, http::read_request(&mut peer)).await {
            Ok(Ok(request)) => request,
            Ok(Err(NoRequest::Gone)) | Err(_) => return,
            Ok(Err(NoRequest::Bad(status, why))) => {
                shared.bad_requests.fetch_add(1, Ordering::Relaxed);
                let error = ApiError::new(status, "invalid_request_error", why);
                let head = http::head(status, "application/json", &Vec::new());
                if peer
                    .write(&http::whole(
                        head,
                        &error.reply(Dialect::Openai).body,
                        false,
                    ))
                    .await
                    .is_ok()
                {
                    peer.close().await;
                }
                return;
            }
        };
        match answer(shared, &request, &mut peer).await {
            Ok(End::KeepAlive) => {}
            Ok(End::Close) => return peer.close().await,
            Ok(End::Reset) => return peer.reset(),
            Err(Gone) => return,
        }
    }
}

async fn answer(shared: &Shared, request: &Request, peer: &mut Peer) -> Result<End, Gone> {
    let method = request.method.as_str();
    let found = shared.providers.iter().find_map(|provider| {
        let endpoint = route::find(&provider.prefix, &request.path, &request.query)?;
        Some((provider, endpoint))
    });
    let dialect = match &found {
        Some((_, Endpoint::Ask(call))) => call.shape.dialect(),
        Some((_, Endpoint::Tags | Endpoint::Version)) => Dialect::Ollama,
        Some((_, Endpoint::Models)) | None => Dialect::Openai,
    };
    let reply = match (found, method) {
        (Some((provider, Endpoint::Ask(call))), "POST") => {
            return exchange::serve(shared, provider, request, &call, peer).await;
        }
        (Some((provider, Endpoint::Models)), "GET") => models(shared, provider, request),
        (Some((provider, Endpoint::Tags)), "GET") => tags(shared, provider, request),
        (Some((_, Endpoint::Version)), "GET") => Ok(to_json(&json!({"version": OLLAMA_VERSION}))),
        (Some(_), _) => Err(ApiError::new(
            405,
            "invalid_request_error",
            format!("method not allowed: {}", short(method)),
        )),
        (None, _) => own(shared, request),
    };
    let (status, body) = match reply {
        Ok(body) => (200, body),
        Err(error) => {
            let reply = error.reply(dialect);
            (reply.status, reply.body)
        }
    };
    let head = http::head(status, "application/json", &Vec::new());
    // HEAD has no body on the wire, so its connection ends rather than get out of step.
    let keep_alive = request.keep_alive && method != "HEAD";
    peer.write(&http::whole(head, &body, keep_alive)).await?;
    Ok(if keep_alive {
        End::KeepAlive
    } else {
        End::Close
    })
}

fn short(text: &str) -> String {
    text.chars().take(20).collect()
}

fn models(
    shared: &Shared,
    provider: &ProviderState,
    request: &Request,
) -> Result<Vec<u8>, ApiError> {
    check_key(provider, request, Dialect::Openai, shared.wall())?;
    let created = shared.wall().as_micros().div_euclid(1_000_000);
    let rows = provider.models.keys().map(|name| {
        json!({"id": name, "object": "model", "created": created, "owned_by": provider.spec.name})
    });
    Ok(to_json(
        &json!({"object": "list", "data": rows.collect::<Vec<_>>()}),
    ))
}

/// Answers `/api/tags` of Ollama.
fn tags(shared: &Shared, provider: &ProviderState, request: &Request) -> Result<Vec<u8>, ApiError> {
    check_key(provider, request, Dialect::Ollama, shared.wall())?;
    let at = shared.wall().to_string();
    let rows = provider.models.keys().map(|name| {
        let details = json!({"format": "sim", "family": "retort-sim"});
        json!({
            "name": name, "model": name, "modified_at": at, "size": 0, "digest": "",
            "details": details,
        })
    });
    Ok(to_json(&json!({"models": rows.collect::<Vec<_>>()})))
}

fn to_json(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Body of `POST /control/faults`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    /// All providers when none is named.
    #[serde(default)]
    provider: Option<String>,
    faults: Vec<FaultSpec>,
}

/// Answers the fleet's own endpoints.
fn own(shared: &Shared, request: &Request) -> Result<Vec<u8>, ApiError> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/health") => Ok(to_json(&json!({"status": "ok"}))),
        ("GET", "/stats") => serde_json::to_vec(&shared.stats())
            .map_err(|_| ApiError::new(500, "server_error", "statistics could not be written")),
        ("POST", "/stats/reset") => {
            shared.reset_stats();
            Ok(to_json(&json!({"status": "ok"})))
        }
        ("POST", "/control/faults") => {
            let order: FaultOrder = serde_json::from_slice(&request.body)
                .map_err(|error| ApiError::invalid(error.to_string()))?;
            match shared.set_faults(order.provider.as_deref(), &order.faults) {
                Ok(()) => Ok(to_json(&json!({"status": "ok"}))),
                Err(error @ SimError::UnknownProvider(_)) => Err(ApiError::new(
                    404,
                    "invalid_request_error",
                    error.to_string(),
                )),
                Err(error) => Err(ApiError::invalid(error.to_string())),
            }
        }
        (_, "/redirected") => {
            shared.redirects_followed.fetch_add(1, Ordering::Relaxed);
            Ok(to_json(&json!({"status": "followed"})))
        }
        _ => Err(ApiError::new(
            404,
            "invalid_request_error",
            format!("unknown path {}", short(&request.path)),
        )),
    }
}
