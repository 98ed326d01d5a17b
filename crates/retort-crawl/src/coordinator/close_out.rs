//! Ends what is open and will not be asked: a row for each sample, with the reason.

use std::sync::Arc;

use futures_util::future::join_all;

use super::Coordinator;

/// Samples ended together: they share fsyncs of the spool and a segment.
const CLOSE_OUT_BATCH: usize = 4_096;

impl Coordinator {
    /// Begins to write a `not_asked` row for everything open; receipts tell when they are durable.
    pub(super) fn start_close_out(&mut self) {
        if self.close_out.is_some() {
            return;
        }
        let mut open = self.state.open_from(self.closed_to, CLOSE_OUT_BATCH);
        if open.is_empty() {
            // Everything was ended once; what is still open lost its receipt.
            open = self.state.open_from(0, CLOSE_OUT_BATCH);
        }
        self.closed_to = open.last().map_or(0, |last| last + 1);
        let mut records = Vec::with_capacity(open.len());
        for index in open {
            let Some(model) = self.parts.plan.model_at(index) else {
                continue;
            };
            let Some(sample) = self.parts.plan.sample(index) else {
                continue;
            };
            let Some(endpoint) = self.parts.endpoints.get(&sample.model) else {
                continue;
            };
            records.push(self.maker.not_asked(
                &Arc::new(sample),
                endpoint,
                self.state.reason(model),
            ));
        }
        let writer = self.parts.writer.clone();
        self.close_out = Some(tokio::spawn(async move {
            let stored = join_all(records.into_iter().map(|record| writer.append(record))).await;
            let flushed = writer.flush().await;
            if let Some(error) = stored.into_iter().find_map(Result::err) {
                tracing::error!(error = %error, "a row of a sample that was not asked could not be stored");
            }
            if let Err(error) = flushed {
                tracing::error!(error = %error, "rows of samples that were not asked could not be flushed");
            }
        }));
    }
}
