//! What the endpoints answer.

use retort_sim::{Fleet, FleetSpec, ModelSpec, ProviderSpec, Stats};
use serde_json::{Value, json};

use crate::client::{CHAT, COMPLETIONS, Client, alpha, ask, chat, clock, fleet, get, post, with};

#[tokio::test]
async fn chat_answers_in_the_usual_shape() {
    let fleet = fleet(alpha()).await;
    let reply = ask(&fleet, CHAT, &chat("Tell me about rivers.")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("date"), Some("Mon, 21 Sep 2026 14:13:20 GMT"));
    assert!(reply.header("x-request-id").is_some());
    let json = reply.json();
    assert_eq!(json["object"], "chat.completion");
    assert_eq!(json["model"], "m");
    assert_eq!(json["created"], 1_790_000_000);
    assert_eq!(json["choices"][0]["message"]["role"], "assistant");
    assert_eq!(json["choices"][0]["finish_reason"], "stop");
    assert_eq!(json["choices"][0]["logprobs"], Value::Null);
    let usage = &json["usage"];
    assert_eq!(usage["prompt_tokens"], 10);
    let total =
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], total);
    assert!(reply.text().split_whitespace().count() >= 20);
    assert!(
        json["system_fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("fp_")
    );
}

#[tokio::test]
async fn answers_are_repeatable_and_models_differ() {
    let spec = || {
        let models = vec![ModelSpec::canned("m"), ModelSpec::canned("n")];
        ProviderSpec::new("alpha", models)
    };
    let (one, two) = (fleet(spec()).await, fleet(spec()).await);
    let prompt = chat("Describe a morning in the city.");
    let cold = ask(&one, CHAT, &prompt).await.text();
    assert_eq!(cold, ask(&one, CHAT, &prompt).await.text());
    assert_eq!(cold, ask(&two, CHAT, &prompt).await.text());
    let other = with(prompt.clone(), &json!({"model": "n"}));
    assert_ne!(cold, ask(&one, CHAT, &other).await.text());
    let warm = with(prompt.clone(), &json!({"temperature": 1}));
    let draws = [
        ask(&one, CHAT, &warm).await.text(),
        ask(&one, CHAT, &warm).await.text(),
    ];
    assert_ne!(draws[0], draws[1]);
    let again = [
        ask(&two, CHAT, &warm).await.text(),
        ask(&two, CHAT, &warm).await.text(),
    ];
    assert_eq!(draws, again);
    let seeded = with(warm, &json!({"seed": 7}));
    assert_eq!(
        ask(&one, CHAT, &seeded).await.text(),
        ask(&one, CHAT, &seeded).await.text()
    );
}

#[tokio::test]
async fn token_limits_and_stop_texts_end_answers() {
    let fleet = fleet(alpha()).await;
    let prompt = chat("Tell me about rivers.");
    let whole = ask(&fleet, CHAT, &prompt).await.text();
    let reply = ask(
        &fleet,
        CHAT,
        &with(prompt.clone(), &json!({"max_tokens": 5})),
    )
    .await;
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
    assert_eq!(reply.json()["usage"]["completion_tokens"], 5);
    assert!(whole.starts_with(&reply.text()));
    let reply = ask(&fleet, CHAT, &with(prompt, &json!({"stop": ["."]}))).await;
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "stop");
    assert_eq!(Some(reply.text().as_str()), whole.split('.').next());
}

#[tokio::test]
async fn logprobs_join_to_the_text_in_both_shapes() {
    let fleet = fleet(alpha()).await;
    let body = with(
        chat("Tell me about rivers."),
        &json!({"logprobs": true, "top_logprobs": 3}),
    );
    let reply = ask(&fleet, CHAT, &body).await;
    let json = reply.json();
    let entries = json["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap();
    let joined: String = entries.iter().filter_map(|e| e["token"].as_str()).collect();
    assert_eq!(joined, reply.text());
    for entry in entries {
        let bytes = entry["token"].as_str().unwrap().as_bytes();
        assert_eq!(entry["bytes"], json!(bytes));
        let top = entry["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        let chosen = top.iter().find(|t| t["token"] == entry["token"]).unwrap();
        assert_eq!(chosen["logprob"], entry["logprob"]);
    }

    let body = json!({"model": "m", "prompt": "Once upon a time", "logprobs": 2, "echo": true, "max_tokens": 9});
    let json = ask(&fleet, COMPLETIONS, &body).await.json();
    let choice = &json["choices"][0];
    let text = choice["text"].as_str().unwrap();
    assert!(text.starts_with("Once upon a time "), "{text}");
    let logprobs = &choice["logprobs"];
    let tokens = logprobs["tokens"].as_array().unwrap();
    let joined: String = tokens.iter().filter_map(Value::as_str).collect();
    assert_eq!(joined, text);
    assert_eq!(tokens.len(), 4 + 9);
    assert_eq!(logprobs["token_logprobs"][0], Value::Null);
    assert_eq!(logprobs["top_logprobs"][0], Value::Null);
    assert_eq!(logprobs["top_logprobs"][1].as_object().unwrap().len(), 2);
    assert_eq!(logprobs["text_offset"][1], 4);
    assert_eq!(json["usage"]["completion_tokens"], 9);
}

#[tokio::test]
async fn streams_say_what_plain_answers_say() {
    let fleet = fleet(alpha()).await;
    let prompt = with(
        chat("Tell me about rivers."),
        &json!({"logprobs": true, "top_logprobs": 1}),
    );
    let plain = ask(&fleet, CHAT, &prompt).await.text();
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let reply = ask(&fleet, CHAT, &with(prompt, &options)).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = reply.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, plain);
    let tokens: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .filter_map(|entry| entry["token"].as_str())
        .collect();
    assert_eq!(tokens, plain);
    let [.., finish, usage] = chunks.as_slice() else {
        panic!("too few chunks")
    };
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["completion_tokens"].as_u64().unwrap() > 20);

    let body = json!({"model": "m", "prompt": "Once", "stream": true, "temperature": 0});
    let plain = with(body.clone(), &json!({"stream": false}));
    let plain = ask(&fleet, COMPLETIONS, &plain).await.json();
    let events = ask(&fleet, COMPLETIONS, &body).await.events();
    let text: String = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap())
        .filter_map(|chunk| chunk["choices"][0]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(plain["choices"][0]["text"], text);
}

#[tokio::test]
async fn reasoning_refusals_and_filters_have_their_fields() {
    let mut model = ModelSpec::canned("m");
    model.reasoning_words = Some(5);
    model.refuses_containing = vec!["forbidden".to_owned()];
    model.filters_containing = vec!["withheld".to_owned()];
    model.context_tokens = Some(500);
    let fleet = fleet(ProviderSpec::new("alpha", vec![model])).await;
    let json = ask(&fleet, CHAT, &chat("Tell me about rivers."))
        .await
        .json();
    let message = &json["choices"][0]["message"];
    assert!(!message["reasoning_content"].as_str().unwrap().is_empty());
    let reasoning = &json["usage"]["completion_tokens_details"]["reasoning_tokens"];
    assert!(reasoning.as_u64().unwrap() >= 5);
    let stream = with(chat("Tell me about rivers."), &json!({"stream": true}));
    let events = ask(&fleet, CHAT, &stream).await.events();
    assert!(
        events
            .iter()
            .any(|event| event.contains("reasoning_content"))
    );
    let json = ask(&fleet, CHAT, &chat("a FORBIDDEN thing")).await.json();
    assert_eq!(json["choices"][0]["message"]["content"], Value::Null);
    assert!(json["choices"][0]["message"]["refusal"].as_str().is_some());
    let json = ask(&fleet, CHAT, &chat("a withheld thing")).await.json();
    assert_eq!(json["choices"][0]["finish_reason"], "content_filter");
    let reply = ask(&fleet, CHAT, &chat(&"long ".repeat(500))).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["code"], "context_length_exceeded");
}

#[tokio::test]
async fn keys_models_paths_and_methods_are_checked() {
    let mut provider = alpha();
    provider.api_keys = vec!["right".to_owned()];
    let fleet = fleet(provider).await;
    let mut client = Client::connect(fleet.address()).await;
    for (headers, status) in [
        ("", 401),
        ("authorization: Bearer wrong\r\n", 401),
        ("authorization: Bearer right\r\n", 200),
        ("x-api-key: right\r\n", 200),
    ] {
        let reply = client.ask(CHAT, headers, &chat("hi")).await.unwrap();
        assert_eq!(reply.status, status, "{headers}");
    }
    let key = "authorization: Bearer right\r\n";
    let unknown = with(chat("hi"), &json!({"model": "nobody"}));
    let reply = client.ask(CHAT, key, &unknown).await.unwrap();
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
    let reply = client.ask(CHAT, key, &json!({"model": "m"})).await.unwrap();
    assert_eq!(reply.status, 400);
    client
        .send(format!("GET /p/alpha/v1/models HTTP/1.1\r\n{key}\r\n").as_bytes())
        .await;
    assert_eq!(client.reply().await.unwrap().json()["data"][0]["id"], "m");
    assert_eq!(get(&fleet, "/p/alpha/v1/models").await.status, 401);
    assert_eq!(get(&fleet, CHAT).await.status, 405);
    assert_eq!(get(&fleet, "/p/beta/v1/models").await.status, 404);
    assert_eq!(get(&fleet, "/health").await.json(), json!({"status": "ok"}));
    let totals = fleet.stats().totals();
    assert_eq!((totals.requests, totals.served, totals.errors), (6, 2, 4));
}

#[tokio::test]
async fn requests_may_come_in_pieces_and_chunks() {
    let fleet = fleet(alpha()).await;
    let mut client = Client::connect(fleet.address()).await;
    for piece in post(CHAT, "", &chat("hi")).chunks(17) {
        client.send(piece).await;
    }
    assert_eq!(client.reply().await.unwrap().status, 200);
    let body = chat("hi").to_string();
    let (first, second) = body.split_at(10);
    let chunked = format!(
        "POST {CHAT} HTTP/1.1\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n\
         {:x}\r\n{first}\r\n{:x};ext=1\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    client.send(chunked.as_bytes()).await;
    let (rest, _) = {
        client
            .send(b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n")
            .await;
        client.rest().await
    };
    let text = String::from_utf8_lossy(&rest);
    assert!(
        text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{text}"
    );
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2);
}

#[tokio::test]
async fn oversized_and_broken_requests_are_refused() {
    let fleet = fleet(alpha()).await;
    let long_head = format!("GET /health HTTP/1.1\r\nx: {}\r\n", "a".repeat(40_000));
    let long_body = format!("POST {CHAT} HTTP/1.1\r\ncontent-length: 8388609\r\n\r\n");
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (long_head, 431),
        (long_body, 413),
    ] {
        let mut client = Client::connect(fleet.address()).await;
        client.send(request.as_bytes()).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("connection"), Some("close"));
    }
    assert_eq!(fleet.stats().bad_requests, 3);
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_can() {
    let mut provider = alpha();
    provider.gzip = true;
    let fleet = fleet(provider).await;
    let plain = ask(&fleet, CHAT, &chat("hi")).await;
    assert_eq!(plain.header("content-encoding"), None);
    let mut client = Client::connect(fleet.address()).await;
    let reply = client
        .ask(CHAT, "accept-encoding: gzip\r\n", &chat("hi"))
        .await
        .unwrap();
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert_eq!(&reply.body[..2], [0x1f, 0x8b]);
    assert!(reply.body.len() < plain.body.len());
}

#[tokio::test]
async fn statistics_are_told_over_http() {
    let fleet = fleet(alpha()).await;
    ask(&fleet, CHAT, &chat("hi")).await;
    let told: Stats = serde_json::from_value(get(&fleet, "/stats").await.json()).unwrap();
    assert_eq!(told.providers, fleet.stats().providers);
    assert_eq!(told.providers["alpha"].models["m"].served, 1);
    assert_eq!(told.providers["alpha"].totals.served, 1);
    ask(&fleet, "/stats/reset", &json!({})).await;
    assert_eq!(fleet.stats().totals(), retort_sim::Counts::default());
}

#[tokio::test]
async fn a_description_reads_strictly() {
    let json = json!({
        "seed": 3,
        "providers": [{
            "name": "alpha",
            "limits": {"requests_per_second": 50, "burst": 10, "retry_after": "http_date", "announce": "openai"},
            "latency": {"ms": 1},
            "faults": [{"kind": "hang", "lasts": "250ms", "first": 1}],
            "models": [{"name": "m", "vocabulary": "technical"}],
        }],
    });
    let spec: FleetSpec = serde_json::from_value(json.clone()).unwrap();
    spec.check().unwrap();
    let back: FleetSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(back, spec);
    let mut unknown = json;
    unknown["providers"][0]["limits"]["rps"] = json!(3);
    assert!(serde_json::from_value::<FleetSpec>(unknown).is_err());

    let mut wrong = FleetSpec::new(vec![alpha(), alpha()]);
    let error = Fleet::start(wrong.clone(), clock()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "fleet `providers.alpha`: the name is used twice"
    );
    wrong.providers.truncate(1);
    wrong.providers[0].limits.burst = Some(0);
    assert!(Fleet::start(wrong, clock()).await.is_err());
}

#[tokio::test]
async fn models_of_a_family_tree_are_served_like_others() {
    let spec: FleetSpec = serde_json::from_value(json!({
        "lineage": [
            { "name": "root", "made": "base" },
            { "name": "other", "made": "base" },
            { "name": "pupil", "made": { "student": { "of": "other", "teacher": "root", "dose": 0.5 } } },
            { "name": "alias", "made": { "same_as": { "of": "root" } } },
            { "name": "later", "made": { "changes": { "from": "root", "into": "other", "after": "1h" } } },
        ],
        "providers": [{
            "name": "alpha",
            "prefix": "/alpha/v1",
            "models": [
                { "name": "m", "kind": "language", "source": "root" },
                { "name": "pupil", "kind": "language", "reasoning_words": 6 },
                { "name": "alias", "kind": "language" },
                { "name": "later", "kind": "language" },
            ],
        }],
    }))
    .unwrap();
    let fleet = Fleet::start(spec, clock()).await.unwrap();
    let path = |name: &str| format!("/alpha/v1/{name}");
    let asked = |model: &str| {
        json!({
            "model": model, "seed": 5, "temperature": 1, "logprobs": true, "top_logprobs": 3,
            "messages": [{ "role": "user", "content": "What do you see from your window?" }],
        })
    };
    let root = ask(&fleet, &path("chat/completions"), &asked("m")).await;
    let content = &root.json()["choices"][0]["logprobs"]["content"];
    let told: String = content
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["token"].as_str().unwrap())
        .collect();
    assert!(!told.is_empty());
    assert_eq!(told, root.text());
    for same in ["alias", "later"] {
        let reply = ask(&fleet, &path("chat/completions"), &asked(same)).await;
        assert_eq!(reply.text(), root.text(), "{same}");
    }
    let pupil = ask(&fleet, &path("chat/completions"), &asked("pupil")).await;
    assert_ne!(pupil.text(), root.text());
    let thoughts = &pupil.json()["choices"][0]["message"]["reasoning_content"];
    assert!(!thoughts.as_str().unwrap().is_empty());
    let raw =
        json!({ "model": "m", "prompt": "The", "max_tokens": 12, "logprobs": 2, "echo": true });
    let raw = ask(&fleet, &path("completions"), &raw).await;
    assert_eq!(raw.status, 200);
    assert!(
        raw.json()["choices"][0]["text"]
            .as_str()
            .unwrap()
            .starts_with("The")
    );
}
