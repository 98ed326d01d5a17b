//! Reading a snapshot back: its summary, one sample, odd texts.

use super::*;

#[tokio::test]
async fn a_summary_counts_what_was_sealed() {
    let (_dir, store) = local_store();
    put(&store, 1, &campaign(30)).await;
    seal_all(&store, 30).await.unwrap();
    let models = summarize(&snapshot_of(&store).await).await.unwrap();
    let planned: Vec<_> = models
        .iter()
        .map(|m| (m.model.as_str(), m.planned))
        .collect();
    assert_eq!(
        planned,
        [("gamma", 10), ("org/alpha", 10), ("org/beta", 10)]
    );
    // Samples 0, 3, 6 ...: attempts 1, 1, 2 (one retry), 1, 0 for index modulo 5 of 0, 3, 1, 4, 2.
    let alpha = &models[1];
    assert_eq!((alpha.attempts, alpha.retries), (10, 2));
    assert_eq!(alpha.outcomes[&Outcome::Answered], 6);
    assert_eq!(alpha.outcomes[&Outcome::NotAsked], 2);
    // Answered samples 0, 6, 9, 15, 21, 24 took 100 ms and their index.
    assert_eq!(
        (alpha.latency_ms_p50, alpha.latency_ms_p95),
        (Some(109.0), Some(124.0))
    );
    assert_eq!((alpha.input_tokens, alpha.output_tokens), (18, 30));
    assert_eq!(alpha.cost_usd, Some(6.0 * 0.25 + 2.0 * 0.5));
}

async fn found_by(snapshot: &Snapshot, id: &str) -> Found {
    match snapshot.find(id).await.unwrap() {
        Search::Found(found) => *found,
        other @ (Search::Nothing | Search::Several(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sample_is_found_with_its_attempts() {
    let (_dir, store) = local_store();
    put(&store, 1, &campaign(10)).await;
    seal_all(&store, 10).await.unwrap();
    let snapshot = snapshot_of(&store).await;
    let sample = crate::testing::sample(1);
    let whole = sample.sample_id.to_string();
    let found = found_by(&snapshot, &whole).await;
    assert_eq!(found.responses[0].text("response_text"), Some("answer 1"));
    let outcomes: Vec<_> = found
        .attempts
        .iter()
        .map(|row| row.text("outcome").unwrap())
        .collect();
    assert_eq!(outcomes, ["overloaded", "answered"]);
    let prefix: String = whole.chars().take(10).collect();
    assert_eq!(found_by(&snapshot, &prefix).await, found);
    let attempt = attempt(1, 1, Outcome::Overloaded).attempt_id;
    let by_attempt = found_by(&snapshot, &attempt.to_uppercase()).await;
    assert_eq!(by_attempt.attempt, Some(attempt));
    assert_eq!(by_attempt.responses, found.responses);
    let several = snapshot.find("01900000-0000").await.unwrap();
    assert!(matches!(several, Search::Several(ids) if ids.len() == 5));
    for id in ["abc", "%%%%", "zzzz"] {
        assert_eq!(snapshot.find(id).await.unwrap(), Search::Nothing, "{id}");
    }
    let absent = crate::testing::sample(10).sample_id;
    assert_eq!(
        snapshot.find(&absent.to_string()).await.unwrap(),
        Search::Nothing
    );
}

#[tokio::test]
async fn odd_texts_survive_sealing() {
    let (_dir, store) = local_store();
    let huge = "\u{1F980} lange Antwort ".repeat(100_000);
    let mut odd = full();
    odd.exchange = None;
    odd.sample = Arc::new(crate::testing::sample(1));
    put(&store, 1, &[answer(0, &huge), answer(2, "a\0b")]).await;
    put(&store, 2, &[odd.clone()]).await;
    seal_all(&store, 3).await.unwrap();
    let snapshot = snapshot_of(&store).await;
    let texts: BTreeSet<String> = column(&snapshot, Table::Responses, "response_text")
        .await
        .into_iter()
        .collect();
    let expected = [huge, "a\0b".to_owned(), odd.reply.text.clone().unwrap()];
    assert_eq!(texts, BTreeSet::from(expected));
    assert_eq!(column(&snapshot, Table::Tokens, "logprob").await, ["-0.1"]);
}
