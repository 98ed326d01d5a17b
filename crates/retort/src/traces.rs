//! Traces for a collector: spans of what workers and coordinators do, sent over OTLP where the
//! standard variables name a collector and the program was built with the feature `otlp`.

#[cfg(feature = "otlp")]
mod export;

use tracing_subscriber::Layer;
use tracing_subscriber::registry::Registry;

#[cfg(feature = "otlp")]
pub(crate) use export::{Traces, start};

/// Variables any of which names a collector; the first one that is set counts.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// What takes spans down.
pub(crate) type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// Returns the variable that names a collector, unless traces are switched off.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let says = |name: &str, word: &str| {
        variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let is_set = |name: &&str| variable(name).is_some_and(|value| !value.trim().is_empty());
    ENDPOINTS.into_iter().find(is_set)
}

#[expect(
    clippy::disallowed_methods,
    reason = "these variables are named by a standard, and read before the configuration"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What sends spans: there is none without the feature.
#[cfg(not(feature = "otlp"))]
#[derive(Debug)]
pub(crate) enum Traces {}

#[cfg(not(feature = "otlp"))]
impl Traces {
    /// Sends what is left.
    pub(crate) const fn end(self) {
        match self {}
    }
}

/// Returns what takes spans down and what sends them, or why there is neither although it is wanted.
#[cfg(not(feature = "otlp"))]
pub(crate) fn start() -> Result<Option<(Spans, Traces)>, String> {
    wanted(variable).map_or(Ok(None), |name| {
        Err(format!(
            "`{name}` is set, and this program was built without traces: build it with `--features otlp`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[(&str, &str)], expected: Option<&str>) {
        let variable = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(wanted(variable), expected, "{set:?}");
    }

    #[test]
    fn a_collector_is_named_or_traces_are_off() {
        let [of_traces, of_all] = ENDPOINTS;
        check(&[], None);
        check(&[(of_all, " ")], None);
        check(&[(of_all, "http://c:4318")], Some(of_all));
        let both = [(of_all, "http://c:4318"), (of_traces, "http://d/v1")];
        check(&both, Some(of_traces));
        check(&[both[0], ("OTEL_SDK_DISABLED", "True")], None);
        check(&[both[0], ("OTEL_SDK_DISABLED", "false")], Some(of_all));
        check(&[both[1], ("OTEL_TRACES_EXPORTER", "none")], None);
    }
}
