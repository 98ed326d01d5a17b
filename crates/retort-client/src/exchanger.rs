//! Whoever makes exchanges: the client over the network, or a provider that is simulated below it.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{BodySink, Exchange, HttpClient, HttpRequest};

/// Makes one exchange at a time per call, any number of them side by side.
#[async_trait]
pub trait Exchanger: Send + Sync + Debug {
    /// See [`HttpClient::exchange`].
    async fn exchange(&self, request: &HttpRequest, sink: &mut dyn BodySink) -> Exchange;

    /// Measures for ever how late its runtime wakes tasks; ends at once where no clock runs late.
    async fn measure_lag(&self) {}
}

#[async_trait]
impl Exchanger for HttpClient {
    async fn exchange(&self, request: &HttpRequest, sink: &mut dyn BodySink) -> Exchange {
        Self::exchange(self, request, sink).await
    }

    async fn measure_lag(&self) {
        Self::measure_lag(self).await;
    }
}
