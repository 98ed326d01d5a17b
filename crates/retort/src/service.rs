//! What a service shows of itself over HTTP: that it lives, whether it is ready, what it counts.

pub(crate) mod metrics;
mod page;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::output::note;
pub(crate) use page::Page;

/// The format of the metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A service that can be looked at.
pub(crate) trait Observed: Send + Sync + 'static {
    /// Returns why it is not ready, if it is not: it still lives, and need not be restarted.
    fn unready(&self) -> Option<String>;

    /// Writes what it counts.
    fn measure(&self, page: &mut Page);
}

/// The pages of a service, served until dropped.
#[derive(Debug)]
pub(crate) struct Pages(Option<JoinHandle<()>>);

impl Pages {
    /// Serves the pages at `listen`, if there is one.
    pub(crate) async fn serve(
        listen: Option<&str>,
        observed: Arc<dyn Observed>,
    ) -> Result<Self, Failure> {
        let Some(listen) = listen else {
            return Ok(Self(None));
        };
        let address: SocketAddr = listen.parse().map_err(|_| {
            Failure::bad(format!("`{listen}` is not an address to listen at"))
                .hint("write it as 127.0.0.1:9464, or 0.0.0.0:9464 within a cluster")
        })?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| Failure::new(format!("failed to listen at `{address}`: {error}")))?;
        note(&format!(
            "health and metrics at http://{}",
            listener.local_addr().unwrap_or(address)
        ));
        let pages = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(observed);
        let served = async move {
            if let Err(error) = axum::serve(listener, pages).await {
                tracing::error!(error = %error, "health and metrics can no longer be served");
            }
        };
        Ok(Self(Some(tokio::spawn(served))))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// Answered by the loop that does the work: that it is answered is what it says.
async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(observed): State<Arc<dyn Observed>>) -> Response {
    match observed.unready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(observed): State<Arc<dyn Observed>>) -> Response {
    let mut page = Page::default();
    observed.measure(&mut page);
    match page.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
