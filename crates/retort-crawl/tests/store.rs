//! Submission and wishes against a real folder.

use retort_crawl::control::{self, Wish};
use retort_crawl::submit::{SubmitError, load_campaign, load_plan, submit};
use retort_dataset::Store;
use retort_plan::{Plan, parse_campaign, parse_catalog};
use retort_types::{CampaignId, Timestamp, WallClock};
use tempfile::TempDir;

#[derive(Debug, Default)]
struct Steps(std::sync::atomic::AtomicI64);

impl WallClock for Steps {
    fn now(&self) -> Timestamp {
        let step = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Timestamp::from_micros(1_790_000_000_000_000 + step * 1_000)
    }
}

fn plan(prompt: &str, request_model: &str, rate: u32) -> Plan {
    let catalog = format!(
        "providers: {{ p: {{ wire: openai-chat, base_url: \"http://127.0.0.1:1\" }} }}\n\
         accounts: {{ p: {{ provider: p, limits: {{ requests_per_minute: {rate} }} }} }}\n\
         models: {{ m: {{ account: p, model: {request_model} }} }}"
    );
    let campaign = format!(
        "id: t\npurpose: p\nmodels: [m]\nsuites: [{{ inline: {{ name: s, prompts: [{prompt}] }} }}]"
    );
    let campaign = parse_campaign(&campaign, "test").expect("well-formed");
    Plan::build(
        campaign,
        &parse_catalog(&catalog, "test").expect("well-formed"),
    )
    .expect("a plan")
}

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(&dir.path().display().to_string()).expect("a store");
    (dir, store)
}

#[tokio::test]
async fn the_same_campaign_is_the_same_campaign() {
    let (_dir, store) = store();
    let id = CampaignId::new("t").unwrap();
    assert!(load_campaign(&store, &id).await.unwrap().is_none());
    assert!(!submit(&store, plan("one", "m", 60)).await.unwrap().existed);
    let again = submit(&store, plan("one", "m", 90)).await.unwrap();
    assert!(again.existed, "a new limit is no new campaign");
    assert_eq!(
        load_plan(&store, &id).await.unwrap().hash(),
        again.plan.hash()
    );
}

#[tokio::test]
async fn other_content_and_other_models_are_refused() {
    let (_dir, store) = store();
    submit(&store, plan("one", "m", 60)).await.unwrap();
    let other = submit(&store, plan("two", "m", 60)).await.unwrap_err();
    assert!(matches!(other, SubmitError::Conflict(_)), "{other}");
    let changed = submit(&store, plan("one", "another", 60))
        .await
        .unwrap_err();
    assert!(
        matches!(changed, SubmitError::CatalogChanged { .. }),
        "{changed}"
    );
    assert_eq!(
        changed.to_string(),
        "campaign `t` was planned with other catalog rows for `m`"
    );
}

#[tokio::test]
async fn a_submission_that_broke_off_is_taken_up_again() {
    let (dir, store) = store();
    submit(&store, plan("one", "m", 60)).await.unwrap();
    std::fs::remove_file(dir.path().join("campaigns/t/campaign.json")).unwrap();
    let submitted = submit(&store, plan("two", "m", 60)).await.unwrap();
    assert!(!submitted.existed);
    let id = CampaignId::new("t").unwrap();
    assert_eq!(
        load_plan(&store, &id).await.unwrap().hash(),
        submitted.plan.hash()
    );
}

#[tokio::test]
async fn a_damaged_plan_is_named() {
    let (dir, store) = store();
    let submitted = submit(&store, plan("one", "m", 60)).await.unwrap();
    let path = dir.path().join(format!(
        "campaigns/t/plan-{}.json",
        submitted.plan.hash().short()
    ));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"m\"", "\"n\"")).unwrap();
    let error = load_plan(&store, &CampaignId::new("t").unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("campaigns/t/plan-"), "{error}");
}

#[tokio::test]
async fn the_last_wish_stands() {
    let (_dir, store) = store();
    let (id, clock) = (CampaignId::new("t").unwrap(), Steps::default());
    assert_eq!(control::standing(&store, &id).await.unwrap(), None);
    for wish in [Wish::Pause, Wish::Resume, Wish::Cancel, Wish::Pause] {
        control::wish(&store, &clock, &id, wish).await.unwrap();
        assert_eq!(control::standing(&store, &id).await.unwrap(), Some(wish));
    }
}
