//! A page of metrics, written anew for each reader from what the service knows at that moment.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::{Kind, Metric};

type Labels = Vec<(&'static str, String)>;

/// Values of metrics at one moment.
#[derive(Debug, Default)]
pub(crate) struct Page(Vec<(&'static Metric, Labels, f64)>);

impl Page {
    /// Adds a value. `labels` are the values of the metric's labels, in their order.
    pub(crate) fn set(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        let values = labels.iter().map(|value| (*value).to_owned());
        let labels = metric.labels.iter().copied().zip(values).collect();
        self.0.push((metric, labels, value));
    }

    /// Adds a count.
    pub(crate) fn count(&mut self, metric: &'static Metric, labels: &[&str], count: u64) {
        self.set(metric, labels, count as f64);
    }

    /// Adds whether something is so, as 1 or 0.
    pub(crate) fn flag(&mut self, metric: &'static Metric, labels: &[&str], is_so: bool) {
        self.set(metric, labels, f64::from(u8::from(is_so)));
    }

    /// Returns the page as `OpenMetrics` text, the metrics in the order they were first added.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::default();
        let mut written: Vec<&str> = Vec::new();
        for (metric, _, _) in &self.0 {
            if written.contains(&metric.name) {
                continue;
            }
            written.push(metric.name);
            let own = self.0.iter().filter(|(of, _, _)| of.name == metric.name);
            match metric.kind {
                Kind::Gauge => {
                    let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
                    for (_, labels, value) in own {
                        family.get_or_create(labels).set(*value);
                    }
                    registry.register(metric.base(), metric.help, family);
                }
                Kind::Counter => {
                    let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
                    for (_, labels, value) in own {
                        family.get_or_create(labels).inc_by(*value);
                    }
                    registry.register(metric.base(), metric.help, family);
                }
            }
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{COST_USD, SESSIONS_OPEN};
    use super::*;

    #[test]
    fn pages_are_openmetrics() {
        let mut page = Page::default();
        page.set(&COST_USD, &["d", "m\"\n"], 0.5);
        page.count(&SESSIONS_OPEN, &[], 2);
        page.set(&COST_USD, &["d", "n"], 1.0);
        let text = page.text().unwrap();
        assert!(text.contains("# TYPE retort_cost_usd counter\n"), "{text}");
        assert!(
            text.contains("retort_cost_usd_total{domain=\"d\",model=\"m\\\"\\n\"} 0.5\n"),
            "{text}"
        );
        assert!(text.contains("\nretort_sessions_open 2.0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
