//! Endpoints and domains from the catalog's rows.

use super::*;
use crate::fixtures::{CATALOG, catalog, catalog_with};
use crate::parse_catalog;

fn names(names: &[&str]) -> Vec<ModelName> {
    let name = |name: &&str| ModelName::new(name).expect("a name");
    names.iter().map(name).collect()
}

fn resolved(models: &[&str]) -> Resolved {
    resolve(&catalog(), &names(models)).expect("the fixture resolves")
}

fn ids(resolved: &Resolved) -> Vec<&str> {
    resolved
        .domains
        .iter()
        .map(|domain| domain.id.as_str())
        .collect()
}

#[test]
fn an_account_with_limits_is_one_domain() {
    let resolved = resolved(&["alpha-small", "alpha-large"]);
    assert_eq!(ids(&resolved), ["alpha-lab"]);
    let domain = &resolved.domains[0];
    assert_eq!(domain.limits, catalog().accounts["alpha-lab"].limits);
    let lanes: Vec<_> = domain
        .lanes
        .iter()
        .map(|lane| lane.model.as_str())
        .collect();
    assert_eq!(lanes, ["alpha-small", "alpha-large"]);
    assert_eq!(
        domain.lanes[0].limits,
        catalog().models["alpha-small"].limits
    );
    assert_eq!(domain.lanes[0].group, "alpha-small");
    assert!(domain.lanes[1].limits.is_empty());
    assert!(resolved.endpoints.iter().all(|e| e.domain == domain.id));
}

#[test]
fn an_account_without_limits_has_a_domain_per_group() {
    let resolved = resolved(&["beta-one", "beta-two", "beta-three", "local-base"]);
    assert_eq!(
        ids(&resolved),
        ["beta-lab.beta-one", "beta-lab.shared", "local.local-base"]
    );
    let [one, shared, local] = &resolved.domains[..] else {
        panic!("three domains");
    };
    assert_eq!(one.limits, default_limits());
    assert_eq!(local.limits, default_limits());
    assert_eq!(shared.limits, catalog().models["beta-two"].limits);
    assert_eq!(shared.lanes.len(), 2);
    assert!(
        shared
            .lanes
            .iter()
            .all(|lane| lane.limits.is_empty() && lane.group == "shared")
    );
}

#[test]
fn an_endpoint_joins_the_rows() {
    let text = catalog_with(
        "    limit_group: shared\n",
        "    limit_group: shared\n    overrides: {seed_field: random_seed}\n",
    );
    let catalog = parse_catalog(&text, "c").unwrap();
    let models = names(&["alpha-large", "beta-one", "beta-two", "local-base"]);
    let endpoints = resolve(&catalog, &models).unwrap().endpoints;
    let [alpha, one, two, local] = &endpoints[..] else {
        panic!("four endpoints");
    };
    assert_eq!(alpha.base_url, "https://api.alpha.example/v1");
    assert_eq!(alpha.request_model, "large-1");
    assert_eq!(alpha.options.logprobs_max, Some(5));
    let auth = one.auth.clone().unwrap();
    assert_eq!(
        (auth.header_name(), auth.env.as_deref()),
        ("x-beta-key", Some("BETA_KEY"))
    );
    assert_eq!(one.options.seed_field, None);
    assert_eq!(two.options.seed_field.as_deref(), Some("random_seed"));
    assert_eq!(local.auth, None);
    assert!(local.is_loopback());
}

#[test]
fn a_secret_of_the_account_replaces_that_of_the_provider() {
    let text = catalog_with(
        "    provider: alpha\n",
        "    provider: alpha\n    auth: {file: /run/key}\n",
    );
    let catalog = parse_catalog(&text, "c").unwrap();
    let auth = resolve(&catalog, &names(&["alpha-large"]))
        .unwrap()
        .endpoints[0]
        .auth
        .clone()
        .unwrap();
    assert_eq!((auth.env, auth.file.as_deref()), (None, Some("/run/key")));
}

#[test]
fn a_signing_key_and_a_secret_replace_each_other() {
    let sigv4 = "{sigv4: {region: eu-west-1, access_key_env: A, secret_key_env: S}}";
    let auth_of = |text: &str| {
        let catalog = parse_catalog(text, "c").unwrap();
        let resolved = resolve(&catalog, &names(&["alpha-large"])).unwrap();
        resolved.endpoints[0].auth.clone().unwrap()
    };
    let of_account = format!("    provider: alpha\n    auth: {sigv4}\n");
    let signed = auth_of(&catalog_with("    provider: alpha\n", &of_account));
    assert_eq!(signed.env, None);
    assert_eq!(
        signed.sigv4.map(|key| key.region).as_deref(),
        Some("eu-west-1")
    );
    let of_provider = catalog_with("{env: ALPHA_KEY}", sigv4);
    let inherited = auth_of(&of_provider);
    assert!(inherited.sigv4.is_some());
    let own = of_provider.replacen(
        "    provider: alpha\n",
        "    provider: alpha\n    auth: {env: OWN}\n",
        1,
    );
    let own = auth_of(&own);
    assert_eq!((own.env.as_deref(), own.sigv4), (Some("OWN"), None));
}

#[test]
fn domains_never_share_a_name_by_accident() {
    let text = format!("{CATALOG}  dotted:\n    account: beta-lab.beta-one\n    model: x\n")
        .replace("  beta-lab:\n", "  beta-lab.beta-one:\n    provider: alpha\n    limits: {concurrency: 1}\n  beta-lab:\n");
    let catalog = parse_catalog(&text, "c").unwrap();
    let error = resolve(&catalog, &names(&["beta-one", "dotted"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "catalog: models.dotted: the domains of `beta-lab/ beta-one` and `beta-lab.beta-one` share a name"
    );
}

#[test]
fn names_that_are_no_slugs_stay_apart() {
    let text = CATALOG
        .replace("beta-one:", "Beta/One:")
        .replace("beta-two:", "beta-One:")
        .replace("    limit_group: shared\n", "");
    let catalog = parse_catalog(&text, "c").unwrap();
    let resolved = resolve(&catalog, &names(&["Beta/One", "beta-One", "beta-three"])).unwrap();
    assert_eq!(resolved.domains.len(), 3);
}
