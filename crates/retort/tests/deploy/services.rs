//! Containers of `k8s/` and services of compose that run this program.

use std::collections::{BTreeMap, BTreeSet};

use object_store::aws::AmazonS3ConfigKey;
use serde_json::Value;

use crate::files::{retort, succeeds, text, texts, words, yaml, yaml_below};

/// The image's name, without its version.
const IMAGE: &str = "retort";

/// A container that runs this program.
#[derive(Debug)]
pub(crate) struct Service {
    /// Where it is described.
    pub(crate) place: String,
    pub(crate) arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    /// Ports by their names.
    ports: BTreeMap<String, u64>,
    /// Pages that are asked, and the port's name.
    probes: Vec<(String, String)>,
}

impl Service {
    /// Returns the port it is told to serve health and metrics at.
    pub(crate) fn listens_at(&self) -> Option<u64> {
        let flag = self
            .arguments
            .iter()
            .position(|argument| argument == "--listen")?;
        let address = self.arguments.get(flag + 1).unwrap();
        Some(address.rsplit(':').next().unwrap().parse().unwrap())
    }
}

fn pairs(value: &Value) -> BTreeMap<String, String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let pair = |item: &Value| {
        let value = item["value"].as_str().unwrap_or_default();
        (item["name"].as_str().unwrap().to_owned(), value.to_owned())
    };
    items.iter().map(pair).collect()
}

/// Returns the containers of any depth of a manifest that run this program. Patches count where they
/// name the image or say arguments.
fn containers(place: &str, value: &Value, found: &mut Vec<Service>) {
    if let Some(items) = value.as_array() {
        for item in items {
            containers(place, item, found);
        }
    }
    let Some(fields) = value.as_object() else {
        return;
    };
    if fields.get("image").and_then(Value::as_str) == Some(IMAGE) {
        let ports = value["ports"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let port = |port: &Value| {
            (
                port["name"].as_str().unwrap().to_owned(),
                port["containerPort"].as_u64().unwrap(),
            )
        };
        let probes = ["startupProbe", "livenessProbe", "readinessProbe"];
        let probes = probes
            .iter()
            .filter_map(|probe| value.get(probe))
            .map(|probe| {
                let get = &probe["httpGet"];
                (
                    get["path"].as_str().unwrap().to_owned(),
                    get["port"].as_str().unwrap().to_owned(),
                )
            });
        found.push(Service {
            place: format!("{place}: {}", value["name"]),
            arguments: texts(&value["args"]),
            environment: pairs(&value["env"]),
            ports: ports.iter().map(port).collect(),
            probes: probes.collect(),
        });
    }
    fields
        .values()
        .for_each(|inner| containers(place, inner, found));
}

/// Returns what runs this program in `k8s/`.
pub(crate) fn of_kubernetes() -> Vec<Service> {
    let mut found = Vec::new();
    for path in yaml_below("k8s") {
        for document in yaml(&path) {
            containers(&path, &document, &mut found);
        }
    }
    assert!(
        found.len() >= 4,
        "coordinator, worker, detect and sim: {found:?}"
    );
    found
}

/// Returns what runs this program in compose.
pub(crate) fn of_compose() -> Vec<Service> {
    let whole = yaml("deploy/compose.yaml").remove(0);
    let services = whole["services"].as_object().unwrap().iter();
    let ours = services.filter(|(_, service)| {
        let image = service["image"].as_str().unwrap();
        image.split(':').next() == Some(IMAGE)
    });
    let found: Vec<_> = ours
        .map(|(name, service)| {
            let environment = service["environment"].as_object();
            let environment = environment.into_iter().flatten();
            Service {
                place: format!("deploy/compose.yaml: {name}"),
                arguments: texts(&service["command"]),
                environment: environment
                    .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                    .collect(),
                ports: BTreeMap::new(),
                probes: Vec::new(),
            }
        })
        .collect();
    assert!(found.len() >= 7, "services and commands: {found:?}");
    found
}

fn all() -> impl Iterator<Item = Service> {
    of_kubernetes().into_iter().chain(of_compose())
}

#[test]
fn commands_and_flags_exist() {
    let dir = tempfile::tempdir().unwrap();
    for service in all() {
        let command = service.arguments.first().unwrap().clone();
        let mut arguments = service.arguments;
        arguments.push("--help".to_owned());
        let run = retort(dir.path(), &arguments);
        let help = succeeds(run, &service.place);
        let usage = format!("Usage: retort {command} ");
        assert!(help.contains(&usage), "{}: {help}", service.place);
    }
}

#[test]
fn a_flag_that_is_not_there_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = words(&["worker", "--listem", "0.0.0.0:9464", "--help"]);
    assert!(
        !retort(dir.path(), &arguments)
            .output()
            .unwrap()
            .status
            .success()
    );
}

/// Settings are tried one by one; what is no setting is a store's variable or used by the arguments.
#[test]
fn environment_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let show = words(&["config", "show"]);
    for service in all() {
        for (name, value) in &service.environment {
            let place = format!("{}: {name}", service.place);
            if name.starts_with("AWS_") {
                check_store_variable(name, &place);
            } else if name == "RETORT_CONFIG" {
                // Files of settings have a test of their own.
                assert!(value.ends_with("/retort.toml"), "{place}");
            } else if name.starts_with("RETORT_") {
                let mut run = retort(dir.path(), &show);
                run.env(name, value);
                succeeds(run, &place);
            } else {
                let used = format!("$({name})");
                assert!(
                    service.arguments.iter().any(|it| it.contains(&used)),
                    "{place} is used by nobody"
                );
            }
        }
    }
}

fn check_store_variable(name: &str, place: &str) {
    let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>();
    assert!(key.is_ok(), "{place}: a store does not know it");
}

#[test]
fn variables_of_stores_are_known() {
    let mut names: Vec<String> = Vec::new();
    for path in yaml_below("k8s/overlays") {
        for document in yaml(&path) {
            for generator in document["configMapGenerator"]
                .as_array()
                .into_iter()
                .flatten()
            {
                names.extend(texts(&generator["literals"]));
            }
        }
    }
    names.retain(|literal| literal.starts_with("AWS_"));
    assert!(!names.is_empty());
    // And what is made for compose and the overlay dev.
    names.extend(
        text("deploy/make-secrets.sh")
            .split(['"', '\n', '\\'])
            .filter_map(|part| {
                let name = part.trim_start_matches('n').split('=').next()?;
                name.starts_with("AWS_").then(|| name.to_owned())
            }),
    );
    for name in names {
        let name = name.split('=').next().unwrap();
        check_store_variable(name, "a generator");
    }
}

/// Returns the pages that the binary serves, as its routes say.
fn pages() -> BTreeSet<String> {
    let source = include_str!("../../src/service.rs");
    let routes = source.split(".route(\"").skip(1);
    routes
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

#[test]
fn ports_and_pages_are_the_binarys() {
    let pages = pages();
    assert!(pages.contains("/metrics"), "{pages:?}");
    let mut probed = 0;
    for service in of_kubernetes() {
        let listens: Vec<u64> = service.listens_at().into_iter().collect();
        let ports: Vec<u64> = service.ports.values().copied().collect();
        assert_eq!(ports, listens, "{}", service.place);
        for (path, port) in &service.probes {
            assert!(pages.contains(path), "{}: {path}", service.place);
            assert!(
                service.ports.contains_key(port),
                "{}: {port}",
                service.place
            );
            probed += 1;
        }
    }
    assert_eq!(probed, 6, "three probes of coordinator and worker each");
    let metrics = yaml_below("k8s/components/monitoring")
        .iter()
        .flat_map(|path| yaml(path))
        .find(|document| {
            document["kind"] == "PodMonitor" && document["metadata"]["name"] == "retort"
        });
    let endpoint = &metrics.unwrap()["spec"]["podMetricsEndpoints"][0];
    assert!(pages.contains(endpoint["path"].as_str().unwrap()));
    let named = |service: &Service| {
        service
            .ports
            .contains_key(endpoint["port"].as_str().unwrap())
    };
    assert_eq!(
        of_kubernetes()
            .iter()
            .filter(|service| named(service))
            .count(),
        2
    );
}

#[test]
fn whoever_scrapes_asks_where_services_listen() {
    let listens = |services: &[Service]| -> BTreeSet<u64> {
        services.iter().filter_map(Service::listens_at).collect()
    };
    let scraped = yaml("deploy/compose/prometheus.yml").remove(0);
    let of_retort = scraped["scrape_configs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["job_name"] == "retort");
    let targets = of_retort.unwrap()["static_configs"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| texts(&group["targets"]));
    let ports: BTreeSet<u64> = targets
        .map(|target| target.rsplit(':').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ports, listens(&of_compose()));

    let policies = yaml("k8s/components/monitoring/networkpolicies.yaml");
    let policy = policies
        .iter()
        .find(|policy| policy["metadata"]["name"] == "retort-from-prometheus")
        .unwrap();
    let allowed = policy["spec"]["ingress"][0]["ports"]
        .as_array()
        .unwrap()
        .iter();
    let allowed: BTreeSet<u64> = allowed.map(|port| port["port"].as_u64().unwrap()).collect();
    assert_eq!(allowed, listens(&of_kubernetes()));
}

#[test]
fn images_are_of_this_version_and_user() {
    let version = env!("CARGO_PKG_VERSION");
    for path in [
        "k8s/base/kustomization.yaml",
        "k8s/overlays/dev/kustomization.yaml",
    ] {
        let images = &yaml(path)[0]["images"];
        assert_eq!(images[0]["name"], IMAGE, "{path}");
        assert_eq!(images[0]["newTag"], version, "{path}");
    }
    let compose = yaml("deploy/compose.yaml").remove(0);
    assert_eq!(
        compose["services"]["coordinator"]["image"],
        format!("{IMAGE}:{version}")
    );
    let user = "10001";
    assert!(text("deploy/Dockerfile").contains(&format!("\nUSER {user}:{user}\n")));
    let manifests = ["coordinator", "worker", "detect"];
    for manifest in manifests {
        let manifest = text(&format!("k8s/base/{manifest}.yaml"));
        assert!(manifest.contains(&format!("runAsUser: {user}\n")));
        assert!(manifest.contains(&format!("fsGroup: {user}\n")));
    }
}
