//! Dashboard, alerts and scaling speak of metrics that there are, and every alert has a remedy.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::files::{text, yaml};

/// Labels that whoever scrapes adds.
const OF_SCRAPES: &[&str] = &["instance", "namespace"];

/// Returns the metrics of the reference page with their labels.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let page = text("docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `retort_"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let quoted = |cell: &str| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        (
            quoted(cells[1]).remove(0),
            quoted(cells[3]).into_iter().collect(),
        )
    };
    let found: BTreeMap<_, _> = rows.map(row).collect();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// Collects texts under these keys, at any depth.
fn collect(value: &Value, keys: &[&str], found: &mut Vec<String>) {
    if let Some(items) = value.as_array() {
        for item in items {
            collect(item, keys, found);
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        match inner.as_str() {
            Some(text) if keys.contains(&key.as_str()) => found.push(text.to_owned()),
            _ => collect(inner, keys, found),
        }
    }
}

fn dashboard() -> Vec<String> {
    let mut found = Vec::new();
    let whole = serde_json::from_str(&text("deploy/monitoring/dashboard.json")).unwrap();
    collect(&whole, &["expr", "definition", "query"], &mut found);
    found
}

fn alerts() -> Vec<String> {
    let mut found = Vec::new();
    collect(
        &yaml("deploy/monitoring/alerts.yaml")[0],
        &["expr"],
        &mut found,
    );
    found
}

fn scaling() -> Vec<String> {
    let mut found = Vec::new();
    collect(
        &yaml("k8s/components/keda/scaler.yaml")[0],
        &["query"],
        &mut found,
    );
    assert_eq!(found.len(), 1);
    found
}

fn names(query: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    query
        .split(move |c| !is_part(c))
        .filter(|word| word.starts_with("retort_"))
}

/// Returns labels that a query groups by, matches on or selects.
fn labels(query: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in ["by (", "on (", "on("] {
        for rest in query.split(word).skip(1) {
            let list = rest.split(')').next().unwrap();
            found.extend(list.split(',').map(|label| label.trim().to_owned()));
        }
    }
    for rest in query.split('{').skip(1) {
        let selectors = rest.split('}').next().unwrap().split(',');
        found.extend(selectors.map(|it| it.split(['=', '!']).next().unwrap().trim().to_owned()));
    }
    found.remove("");
    found
}

#[test]
fn queries_name_metrics_and_labels_that_exist() {
    let metrics = metrics();
    for query in dashboard().into_iter().chain(alerts()).chain(scaling()) {
        let used: Vec<_> = names(&query).collect();
        let mut known: BTreeSet<&str> = OF_SCRAPES.iter().copied().collect();
        for name in &used {
            let labels = metrics
                .get(*name)
                .unwrap_or_else(|| panic!("there is no `{name}`: {query}"));
            known.extend(labels.iter().map(String::as_str));
        }
        if used.is_empty() {
            continue;
        }
        for label in labels(&query) {
            assert!(
                known.contains(label.as_str()),
                "none of its metrics has `{label}`: {query}"
            );
        }
    }
}

#[test]
fn every_metric_is_shown() {
    let dashboard = dashboard();
    let shown: BTreeSet<&str> = dashboard.iter().flat_map(|query| names(query)).collect();
    for name in metrics().keys() {
        assert!(shown.contains(name.as_str()), "{name} is on no panel");
    }
}

#[test]
fn both_files_of_alerts_are_one() {
    let plain = &yaml("deploy/monitoring/alerts.yaml")[0]["groups"];
    let custom = &yaml("deploy/monitoring/prometheus-rule.yaml")[0]["spec"]["groups"];
    assert!(plain.as_array().is_some_and(|groups| !groups.is_empty()));
    assert_eq!(plain, custom);
}

#[test]
fn every_alert_has_its_remedy() {
    let operations = text("docs/operations.md");
    let described: BTreeSet<&str> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### Retort"))
        .collect();
    let mut alerts = BTreeSet::new();
    for group in yaml("deploy/monitoring/alerts.yaml")[0]["groups"]
        .as_array()
        .unwrap()
    {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            let anchor = format!("docs/operations.md#{}", name.to_lowercase());
            assert_eq!(rule["annotations"]["runbook"], anchor.as_str());
            assert!(
                rule["labels"]["severity"].is_string()
                    && rule["annotations"]["summary"].is_string(),
                "{name}"
            );
            alerts.insert(name.strip_prefix("Retort").unwrap().to_owned());
        }
    }
    let alerts: BTreeSet<&str> = alerts.iter().map(String::as_str).collect();
    assert_eq!(described, alerts);
}
