//! Keys that are revoked, quotas that are exhausted, budgets that are used up.

use retort_sim::FaultSpec;
use serde_json::{Value, json};

use crate::processes::Fleet;
use crate::side_by_side::worlds;

const IN_FLIGHT: usize = 4;

fn fleet(vhost: &str) -> Fleet {
    let limits = json!({ "concurrency": IN_FLIGHT });
    Fleet::new(vhost, &[limits.clone(), limits], 20)
}

/// Something about the account of one domain is over in the middle of a campaign: it parks, the campaign
/// says why, and the neighbour is unharmed.
fn parks(vhost: &str, fault: FaultSpec, outcome: &str) {
    let fleet = fleet(vhost);
    let _coordinator = fleet.coordinator("c0");
    let _workers = [fleet.worker("w0"), fleet.worker("w1")];
    fleet.submit("test", 40, 10);
    fleet.wait_for_served(100);
    fleet.world.fleet.set_faults("p0", &[fault]).unwrap();
    let reason = format!("parked: {outcome}");
    fleet.wait_for("the status to tell", |fleet| {
        let status = fleet.status("test");
        let models = status["models"].as_array().cloned().unwrap_or_default();
        let parked = models.iter().find(|model| model["model"] == "m0");
        parked.is_some_and(|model| model["parked"] == outcome)
    });
    fleet.sealed("test", 800);
    let stats = fleet.world.fleet.stats();
    let (sick, well) = (&stats.providers["p0"], &stats.providers["p1"]);
    let in_vain = usize::try_from(sick.totals.faulted).unwrap();
    assert!(
        (1..=IN_FLIGHT).contains(&in_vain),
        "{in_vain} requests were asked in vain"
    );
    assert_eq!((well.totals.served, fleet.paid_twice()), (400, 0));
    let outcomes = fleet.outcomes("test", "m0");
    let count = |outcome: &str, reason: &str| {
        let key = (outcome.to_owned(), reason.to_owned());
        outcomes.get(&key).copied().unwrap_or(0)
    };
    let (answered, ended) = (count("answered", ""), count("not_asked", &reason));
    let turned_away: usize = outcomes
        .iter()
        .filter(|((of, _), _)| of == outcome)
        .map(|(_, count)| count)
        .sum();
    assert_eq!(answered as u64, sick.totals.served, "{outcomes:?}");
    assert!(ended > 0 && turned_away > 0, "{outcomes:?}");
    assert_eq!(answered + ended + turned_away, 400, "{outcomes:?}");
    println!("{vhost}: {answered} answered, {in_vain} asked in vain, {ended} not asked");
}

fn spends(vhost: &str, budget: &Value, reason: &str) -> Fleet {
    let fleet = fleet(vhost);
    let path = fleet.world.path("models.yaml");
    let mut catalog: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for model in ["m0", "m1"] {
        catalog["models"][model]["price"] =
            json!({ "input": 10.0, "output": 1000.0, "as_of": "2026-01-01", "source": "made up" });
    }
    fleet.world.write("models.yaml", &catalog);
    let _coordinator = fleet.coordinator("c0");
    let _workers = [fleet.worker("w0"), fleet.worker("w1")];
    let submitted = fleet.try_submit("test", 40, 5, json!({ "budget": budget }));
    crate::support::assert_code(&submitted, 0);
    fleet.sealed("test", 400);
    let mut asked = 0;
    for model in ["m0", "m1"] {
        for ((outcome, why), count) in fleet.outcomes("test", model) {
            match outcome.as_str() {
                "answered" => asked += count as u64,
                "not_asked" => assert_eq!(why, reason),
                other => panic!("{other}: {why}"),
            }
        }
    }
    assert_eq!((asked, fleet.paid_twice()), (fleet.served(), 0));
    let told = fleet.status("test");
    assert!(
        told["reason"].as_str().unwrap().contains("budget"),
        "{told:#}"
    );
    fleet
}

worlds! {
    fn a_revoked_key_parks_its_domain_and_the_campaign_says_so() {
        parks("revoked-401", FaultSpec::status(401), "unauthorized");
    }

    fn a_forbidden_account_parks_its_domain_and_the_campaign_says_so() {
        parks("forbidden-403", FaultSpec::status(403), "unauthorized");
    }

    fn an_exhausted_quota_parks_its_domain_and_the_campaign_says_so() {
        let fault = FaultSpec {
            code: Some("insufficient_quota".to_owned()),
            ..FaultSpec::status(429)
        };
        parks("quota", fault, "quota_exhausted");
    }

    fn a_budget_of_requests_is_exceeded_by_what_is_in_flight_at_most() {
        let reason = "the budget of 120 requests is used up";
        let fleet = spends("budget-requests", &json!({ "requests": 120 }), reason);
        let most = 120 + 2 * IN_FLIGHT as u64;
        assert!((100..=most).contains(&fleet.served()), "{}", fleet.served());
        println!("{} requests of a budget of 120", fleet.served());
    }

    fn a_budget_of_dollars_is_exceeded_by_what_is_in_flight_at_most() {
        let fleet = spends(
            "budget-usd",
            &json!({ "usd": 2.0 }),
            "the budget of 2 USD is used up",
        );
        let folder = fleet.snapshot("test").join("attempts");
        let rows = crate::support::read_table(&folder, &["cost_usd"]);
        let costs: Vec<f64> = rows
            .iter()
            .filter_map(|row| row["cost_usd"].as_f64())
            .collect();
        let (spent, dearest) = (
            costs.iter().sum::<f64>(),
            costs.iter().fold(0.0, |a: f64, b| a.max(*b)),
        );
        let most = dearest.mul_add(2.0 * IN_FLIGHT as f64, 2.0);
        assert!(spent > 1.0 && spent <= most, "spent {spent} USD");
        println!("{spent:.3} USD of a budget of 2");
    }
}
