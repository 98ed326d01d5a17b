//! Files of settings and catalogs of `deploy/` and `k8s/`, and what has to agree with them.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::files::{retort, root, succeeds, text, words, yaml};

/// Files of settings, each with the manifest that says how long a worker may take to stop. Where an
/// overlay has none, the base's.
const SETTINGS: &[(&str, &str)] = &[
    ("k8s/base/retort.toml", "k8s/base/worker.yaml"),
    (
        "k8s/overlays/dev/retort.toml",
        "k8s/overlays/dev/worker.yaml",
    ),
    ("k8s/overlays/prod/retort.toml", "k8s/base/worker.yaml"),
];

/// What a worker needs after its last request: storing, telling, acknowledging.
const AFTER_LAST_REQUEST_SECONDS: u64 = 20;

fn settings(path: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut run = retort(dir.path(), &words(&["config", "show", "--json"]));
    run.env("RETORT_CONFIG", root().join(path));
    serde_json::from_str(&succeeds(run, path)).unwrap()
}

fn setting(settings: &Value, path: &str) -> String {
    let rows = settings.as_array().unwrap();
    let row = rows.iter().find(|row| row["setting"] == path);
    let value = &row.unwrap_or_else(|| panic!("{path} in {settings}"))["value"];
    value.as_str().unwrap().trim_matches('"').to_owned()
}

fn seconds(duration: &str) -> u64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let number: u64 = number.parse().unwrap();
    match unit {
        "s" => number,
        "m" => 60 * number,
        _ => panic!("{duration}"),
    }
}

fn stop_seconds(path: &str) -> u64 {
    let workers = yaml(path)
        .into_iter()
        .find(|document| document["kind"] == "StatefulSet");
    workers.unwrap()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        .as_u64()
        .unwrap()
}

#[test]
fn workers_may_take_longer_to_stop_than_any_request() {
    for (path, manifest) in SETTINGS {
        let longest = seconds(&setting(&settings(path), "client.total_timeout"));
        let stop = stop_seconds(manifest);
        assert!(
            stop >= longest + AFTER_LAST_REQUEST_SECONDS,
            "{manifest}: {stop} s, {path}: {longest} s"
        );
    }
    let compose = yaml("deploy/compose.yaml").remove(0);
    let longest = seconds(&setting(
        &settings("deploy/compose/retort.toml"),
        "client.total_timeout",
    ));
    for worker in ["worker-1", "worker-2"] {
        let stop = seconds(
            compose["services"][worker]["stop_grace_period"]
                .as_str()
                .unwrap(),
        );
        assert!(
            stop >= longest + AFTER_LAST_REQUEST_SECONDS,
            "{worker}: {stop} s, {longest} s"
        );
    }
}

#[test]
fn spools_fit_their_volumes() {
    for (path, _) in SETTINGS {
        let most: u64 = setting(&settings(path), "writer.spool_max_bytes")
            .parse()
            .unwrap();
        let workers = yaml("k8s/base/worker.yaml")
            .into_iter()
            .find(|it| it["kind"] == "StatefulSet")
            .unwrap();
        let claim =
            &workers["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"];
        let size: u64 = claim
            .as_str()
            .unwrap()
            .strip_suffix("Gi")
            .unwrap()
            .parse()
            .unwrap();
        assert!(most < size << 30, "{path}: {most}");
    }
}

#[test]
fn catalogs_are_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for path in [
        "k8s/base/models.yaml",
        "k8s/overlays/dev/models.yaml",
        "k8s/overlays/prod/models.yaml",
    ] {
        let file = root().join(path);
        let arguments = words(&["models", "doctor", "--catalog", file.to_str().unwrap()]);
        succeeds(retort(dir.path(), &arguments), path);
    }
}

/// An account is part of one rate-limit domain, so that there are at most as many domains as accounts.
#[test]
fn there_are_never_more_workers_than_domains() {
    let catalog = yaml("k8s/overlays/prod/models.yaml").remove(0);
    let domains = catalog["accounts"].as_object().unwrap().len() as u64;
    let scaler = yaml("k8s/components/keda/scaler.yaml").remove(0);
    let most = scaler["spec"]["maxReplicaCount"].as_u64().unwrap();
    assert!(most <= domains, "{most} workers for {domains} accounts");
    let workers = yaml("k8s/base/worker.yaml")
        .into_iter()
        .find(|it| it["kind"] == "StatefulSet")
        .unwrap();
    assert!(workers["spec"]["replicas"].as_u64().unwrap() <= domains);
}

/// The overlay dev asks the models of an example, by the catalog that the simulation writes.
#[test]
fn the_catalog_of_dev_is_what_its_simulation_writes() {
    assert_eq!(
        text("k8s/overlays/dev/fleet.yaml"),
        text("docs/examples/first/fleet.yaml")
    );
    let dir = tempfile::tempdir().unwrap();
    let fleet = root().join("k8s/overlays/dev/fleet.yaml");
    let arguments = words(&["sim", fleet.to_str().unwrap(), "--emit", "."]);
    let mut sim = retort(dir.path(), &arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(sim.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let written = std::fs::read_to_string(dir.path().join("models.yaml"));
    sim.kill().unwrap();
    sim.wait().unwrap();
    let address = said.trim().strip_prefix("serving on http://").unwrap();
    assert_eq!(
        written.unwrap().replace(address, "127.0.0.1:8080"),
        text("k8s/overlays/dev/models.yaml")
    );
    let worker = text("k8s/overlays/dev/worker.yaml");
    assert!(worker.contains(r#"--port, "8080""#));
}

/// The rights of each role are those that `make-secrets.sh` gives.
#[test]
fn roles_have_the_same_rights_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut make = std::process::Command::new(root().join("deploy/make-secrets.sh"));
    make.arg(dir.path().join("secrets"));
    succeeds(make, "deploy/make-secrets.sh");
    let definitions = std::fs::read_to_string(dir.path().join("secrets/definitions.json")).unwrap();
    let definitions: Value = serde_json::from_str(&definitions).unwrap();
    let production = yaml("k8s/overlays/prod/topology.yaml");
    let mut compared = 0;
    for given in definitions["permissions"].as_array().unwrap() {
        let user = given["user"].as_str().unwrap();
        if user == "admin" {
            continue;
        }
        let named = format!("retort-{user}");
        let theirs = production
            .iter()
            .find(|it| it["kind"] == "Permission" && it["metadata"]["name"] == named.as_str());
        let theirs = &theirs.unwrap_or_else(|| panic!("{named}"))["spec"];
        assert_eq!(theirs["vhost"], given["vhost"]);
        assert_eq!(theirs["userReference"]["name"], named.as_str());
        for right in ["configure", "write", "read"] {
            assert_eq!(
                theirs["permissions"][right], given[right],
                "{user}: {right}"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 4);
    let policy = production.iter().find(|it| it["kind"] == "Policy").unwrap();
    assert_eq!(
        policy["spec"]["definition"],
        definitions["policies"][0]["definition"]
    );
    assert_eq!(
        policy["spec"]["pattern"],
        definitions["policies"][0]["pattern"]
    );
}
