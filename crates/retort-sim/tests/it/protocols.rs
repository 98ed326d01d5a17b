//! Every protocol tells the same answer in its own words.

use retort_sim::{Fleet, ModelSpec, ProviderSpec};
use serde_json::{Value, json};

use crate::client::{Client, Reply, fleet, get, with};
use crate::wire::{ALL, Question, Read, Wire};

const PROMPT: &str = "Tell me about rivers.";

pub(crate) async fn put(fleet: &Fleet, wire: Wire, question: &Question<'_>) -> Reply {
    let mut client = Client::connect(fleet.address()).await;
    let (path, headers) = (wire.path(question), wire.headers(None));
    let reply = client.ask(&path, &headers, &wire.body(question)).await;
    reply.expect("a whole answer")
}

async fn read(fleet: &Fleet, wire: Wire, question: &Question<'_>) -> Read {
    let reply = put(fleet, wire, question).await;
    assert_eq!(
        reply.status,
        200,
        "{wire:?}: {}",
        String::from_utf8_lossy(&reply.body)
    );
    wire.read(&reply.json())
}

/// A fleet with a plain model and one that reasons.
async fn two() -> Fleet {
    let mut thinker = ModelSpec::canned("thinker");
    thinker.reasoning_words = Some(12);
    thinker.filters_containing = vec!["withheld".to_owned()];
    thinker.refuses_containing = vec!["forbidden".to_owned()];
    let models = vec![ModelSpec::canned("m"), thinker];
    fleet(ProviderSpec::new("alpha", models)).await
}

/// Returns the words of each protocol for: done, token limit, stop text.
fn finishes(wire: Wire) -> [&'static str; 3] {
    match wire {
        Wire::Chat | Wire::Ollama | Wire::OllamaGenerate => ["stop", "length", "stop"],
        Wire::Responses => ["completed", "max_output_tokens", ""],
        Wire::Messages | Wire::Converse => ["end_turn", "max_tokens", "stop_sequence"],
        Wire::Gemini | Wire::GeminiArray => ["STOP", "MAX_TOKENS", "STOP"],
        Wire::Cohere => ["COMPLETE", "MAX_TOKENS", "STOP_SEQUENCE"],
    }
}

#[tokio::test]
async fn text_thoughts_usage_and_finish_are_the_same_everywhere() {
    let fleet = two().await;
    for model in ["m", "thinker"] {
        let question = Question {
            model,
            ..Question::new(PROMPT)
        };
        let wanted = read(&fleet, Wire::Chat, &question).await;
        assert!(wanted.text.len() > 40 && wanted.output > 20);
        assert_eq!(wanted.thoughts.is_empty(), model == "m");
        for wire in ALL {
            let found = read(&fleet, wire, &question).await;
            assert_eq!(found.finish, finishes(wire)[0], "{wire:?}");
            let finish = wanted.finish.clone();
            assert_eq!(Read { finish, ..found }, wanted, "{wire:?}");
        }
    }
    let totals = fleet.stats().totals();
    assert_eq!((totals.served, totals.errors), (20, 0));
}

#[tokio::test]
async fn system_texts_reach_the_model() {
    let fleet = two().await;
    let question = Question {
        system: Some("Answer like a pirate."),
        ..Question::new(PROMPT)
    };
    let wanted = read(&fleet, Wire::Chat, &question).await;
    let without = read(&fleet, Wire::Chat, &Question::new(PROMPT)).await;
    assert_ne!(wanted.text, without.text);
    for wire in ALL {
        let found = read(&fleet, wire, &question).await;
        assert_eq!(
            (found.text, found.input),
            (wanted.text.clone(), wanted.input),
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn answers_end_at_limits_and_stop_texts() {
    let fleet = two().await;
    let whole = read(&fleet, Wire::Chat, &Question::new(PROMPT)).await.text;
    for wire in ALL {
        let [_, length, stopped] = finishes(wire);
        let short = Question {
            most: 5,
            ..Question::new(PROMPT)
        };
        let found = read(&fleet, wire, &short).await;
        assert_eq!(
            (found.finish.as_str(), found.output),
            (length, 5),
            "{wire:?}"
        );
        assert!(whole.starts_with(&found.text));
        if wire == Wire::Responses {
            continue; // The protocol has no stop texts.
        }
        let stop = Question {
            stop: Some("."),
            ..Question::new(PROMPT)
        };
        let found = read(&fleet, wire, &stop).await;
        assert_eq!(found.finish, stopped, "{wire:?}");
        assert_eq!(Some(found.text.as_str()), whole.split('.').next());
    }
}

/// Returns the text and thoughts that a stream's events add up to.
fn added(wire: Wire, events: &[(String, Value)]) -> (String, String) {
    let (mut text, mut thoughts) = (String::new(), String::new());
    for (name, json) in events {
        let pairs: [(&Value, &mut String); 2] = match wire {
            Wire::Chat => {
                let delta = &json["choices"][0]["delta"];
                [
                    (&delta["content"], &mut text),
                    (&delta["reasoning_content"], &mut thoughts),
                ]
            }
            Wire::Responses => match name.as_str() {
                "response.output_text.delta" => {
                    [(&json["delta"], &mut text), (&Value::Null, &mut thoughts)]
                }
                "response.reasoning_summary_text.delta" => {
                    [(&Value::Null, &mut text), (&json["delta"], &mut thoughts)]
                }
                _ => continue,
            },
            Wire::Messages => {
                let delta = &json["delta"];
                [
                    (&delta["text"], &mut text),
                    (&delta["thinking"], &mut thoughts),
                ]
            }
            Wire::Gemini | Wire::GeminiArray => {
                let found = wire.read(json);
                text += &found.text;
                thoughts += &found.thoughts;
                continue;
            }
            Wire::Converse => {
                let delta = &json["delta"];
                [
                    (&delta["text"], &mut text),
                    (&delta["reasoningContent"]["text"], &mut thoughts),
                ]
            }
            Wire::Cohere => {
                let content = &json["delta"]["message"]["content"];
                [
                    (&content["text"], &mut text),
                    (&content["thinking"], &mut thoughts),
                ]
            }
            Wire::Ollama => {
                let message = &json["message"];
                [
                    (&message["content"], &mut text),
                    (&message["thinking"], &mut thoughts),
                ]
            }
            Wire::OllamaGenerate => [
                (&json["response"], &mut text),
                (&json["thinking"], &mut thoughts),
            ],
        };
        for (value, joined) in pairs {
            joined.push_str(value.as_str().unwrap_or_default());
        }
    }
    (text, thoughts)
}

/// Returns the documented kinds of events in order, repetitions left out.
fn order(wire: Wire, events: &[(String, Value)]) -> Vec<String> {
    let mut kinds: Vec<String> = events
        .iter()
        .map(|(name, json)| {
            if !name.is_empty() {
                let typed = json["type"].as_str();
                assert!(wire == Wire::Converse || typed == Some(name), "{json}");
                return name.clone();
            }
            if json == "[DONE]" {
                return "[DONE]".to_owned();
            }
            let found = wire.read(json);
            let delta = &json["choices"][0]["delta"];
            let thinks = !found.thoughts.is_empty() || delta["reasoning_content"].is_string();
            let kind = match wire {
                Wire::Chat if json["choices"] == json!([]) => "usage",
                Wire::Chat if delta["role"].is_string() => "role",
                _ if json["choices"][0]["finish_reason"].is_string() => "finish",
                _ if json["done"] == true || !found.finish.is_empty() => "finish",
                _ if thinks => "thoughts",
                _ => "text",
            };
            kind.to_owned()
        })
        .collect();
    kinds.dedup();
    kinds
}

/// Returns the order of events that the vendor documents for an answer with thoughts.
fn documented(wire: Wire) -> Vec<&'static str> {
    match wire {
        Wire::Chat => vec!["role", "thoughts", "text", "finish", "usage", "[DONE]"],
        Wire::Responses => vec![
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ],
        Wire::Messages => vec![
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ],
        Wire::Gemini | Wire::GeminiArray | Wire::Ollama | Wire::OllamaGenerate => {
            vec!["thoughts", "text", "finish"]
        }
        Wire::Converse => vec![
            "messageStart",
            "contentBlockDelta",
            "contentBlockStop",
            "contentBlockDelta",
            "contentBlockStop",
            "messageStop",
            "metadata",
        ],
        Wire::Cohere => vec![
            "message-start",
            "content-start",
            "content-delta",
            "content-end",
            "content-start",
            "content-delta",
            "content-end",
            "message-end",
            "[DONE]",
        ],
    }
}

/// Returns the answer's tokens as the end of a stream tells them.
fn streamed_usage(wire: Wire, events: &[(String, Value)]) -> u64 {
    let at = |from_end: usize| &events[events.len() - from_end].1;
    let count = match wire {
        Wire::Chat => &at(2)["usage"]["completion_tokens"],
        Wire::Responses => &at(1)["response"]["usage"]["output_tokens"],
        Wire::Messages => &at(2)["usage"]["output_tokens"],
        Wire::Gemini | Wire::GeminiArray | Wire::Ollama | Wire::OllamaGenerate => {
            return wire.read(at(1)).output;
        }
        Wire::Converse => &at(1)["usage"]["outputTokens"],
        Wire::Cohere => &at(2)["delta"]["usage"]["tokens"]["output_tokens"],
    };
    count.as_u64().unwrap_or_default()
}

#[tokio::test]
async fn streams_have_the_documented_order_and_say_what_plain_answers_say() {
    let fleet = two().await;
    let question = Question {
        model: "thinker",
        ..Question::new(PROMPT)
    };
    for wire in ALL {
        let plain = read(&fleet, wire, &question).await;
        let reply = put(&fleet, wire, &question.streamed()).await;
        let content_type = match wire {
            Wire::Converse => "application/vnd.amazon.eventstream",
            Wire::GeminiArray => "application/json",
            Wire::Ollama | Wire::OllamaGenerate => "application/x-ndjson",
            _ => "text/event-stream",
        };
        assert_eq!(reply.header("content-type"), Some(content_type));
        let events = wire.events(&reply);
        assert_eq!(order(wire, &events), documented(wire), "{wire:?}");
        assert_eq!(
            added(wire, &events),
            (plain.text, plain.thoughts),
            "{wire:?}"
        );
        assert_eq!(streamed_usage(wire, &events), plain.output, "{wire:?}");
    }
}

#[tokio::test]
async fn typed_events_count_and_repeat_the_answer() {
    let fleet = two().await;
    let question = Question::new(PROMPT).streamed();
    let events = Wire::Responses.events(&put(&fleet, Wire::Responses, &question).await);
    for (number, (_, json)) in events.iter().enumerate() {
        assert_eq!(json["sequence_number"], number);
    }
    let (text, _) = added(Wire::Responses, &events);
    let end = &events[events.len() - 1].1["response"];
    assert_eq!(Wire::Responses.read(end).text, text);

    let events = Wire::Messages.events(&put(&fleet, Wire::Messages, &question).await);
    let begun = &events[0].1["message"];
    assert!(begun["usage"]["input_tokens"].as_u64() > Some(0));
    assert_eq!(begun["content"], json!([]));
}

#[tokio::test]
async fn log_probabilities_are_told_where_the_protocol_has_them() {
    let fleet = two().await;
    let question = Question {
        most: 9,
        ..Question::new(PROMPT)
    };
    let ask = async |wire: Wire, more: Value| {
        let mut client = Client::connect(fleet.address()).await;
        let body = with(wire.body(&question), &more);
        let reply = client
            .ask(&wire.path(&question), &wire.headers(None), &body)
            .await;
        reply.expect("a whole answer").json()
    };
    let include = json!({"include": ["message.output_text.logprobs"], "top_logprobs": 2});
    let json = ask(Wire::Responses, include).await;
    let entries = &json["output"][0]["content"][0]["logprobs"];
    assert_eq!(entries.as_array().map(Vec::len), Some(9));
    assert_eq!(entries[0]["top_logprobs"].as_array().map(Vec::len), Some(2));
    let config =
        json!({"temperature": 0, "maxOutputTokens": 9, "responseLogprobs": true, "logprobs": 2});
    let json = ask(Wire::Gemini, json!({"generationConfig": config})).await;
    let result = &json["candidates"][0]["logprobsResult"];
    assert_eq!(result["chosenCandidates"].as_array().map(Vec::len), Some(9));
    let top = &result["topCandidates"][0]["candidates"];
    assert_eq!(top.as_array().map(Vec::len), Some(2));
    let json = ask(Wire::Cohere, json!({"logprobs": true})).await;
    assert_eq!(json["logprobs"].as_array().map(Vec::len), Some(9));
    let json = ask(Wire::Ollama, json!({"logprobs": true, "top_logprobs": 3})).await;
    assert_eq!(json["logprobs"].as_array().map(Vec::len), Some(9));
    let top = &json["logprobs"][0]["top_logprobs"];
    assert_eq!(top.as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn refusals_and_filters_have_each_protocols_words() {
    let fleet = two().await;
    let ask = async |wire: Wire, prompt: &str| {
        let question = Question {
            model: "thinker",
            ..Question::new(prompt)
        };
        put(&fleet, wire, &question).await
    };
    let part = &ask(Wire::Responses, "a forbidden thing").await.json()["output"][0]["content"][0];
    assert_eq!(part["type"], "refusal");
    let json = ask(Wire::Messages, "a forbidden thing").await.json();
    assert_eq!(json["stop_reason"], "refusal");
    for (wire, word) in [
        (Wire::Chat, "content_filter"),
        (Wire::Responses, "content_filter"),
        (Wire::Messages, "refusal"),
        (Wire::Converse, "content_filtered"),
        (Wire::Ollama, "stop"),
    ] {
        let found = wire.read(&ask(wire, "a withheld thing").await.json());
        assert_eq!(
            (found.text.as_str(), found.finish.as_str()),
            ("", word),
            "{wire:?}"
        );
    }
    let json = ask(Wire::Gemini, "a withheld thing").await.json();
    assert_eq!(json["promptFeedback"]["blockReason"], "SAFETY");
    assert_eq!(json["candidates"], Value::Null);
    assert_eq!(ask(Wire::Cohere, "a withheld thing").await.status, 400);
}

#[tokio::test]
async fn thinking_can_be_switched_off() {
    let fleet = two().await;
    let question = Question {
        model: "thinker",
        ..Question::new(PROMPT)
    };
    let off = json!({"thinkingConfig": {"thinkingBudget": 0}, "temperature": 0});
    for (wire, more) in [
        (Wire::Chat, json!({"reasoning_effort": "none"})),
        (Wire::Responses, json!({"reasoning": {"effort": "none"}})),
        (Wire::Messages, json!({"thinking": {"type": "disabled"}})),
        (Wire::Gemini, json!({"generationConfig": off})),
        (Wire::Cohere, json!({"thinking": {"type": "disabled"}})),
        (Wire::Ollama, json!({"think": false})),
    ] {
        let with_thoughts = read(&fleet, wire, &question).await;
        let mut client = Client::connect(fleet.address()).await;
        let body = with(wire.body(&question), &more);
        let reply = client
            .ask(&wire.path(&question), &wire.headers(None), &body)
            .await;
        let found = wire.read(&reply.unwrap().json());
        assert_eq!(
            (found.thoughts.as_str(), &found.text),
            ("", &with_thoughts.text)
        );
        assert!(found.output < with_thoughts.output, "{wire:?}");
    }
}

#[tokio::test]
async fn raw_text_is_continued_by_generate_too() {
    let fleet = two().await;
    let options = json!({"temperature": 0, "num_predict": 9});
    let body = json!({"model": "m", "prompt": "Once upon a time", "raw": true, "stream": false, "options": options});
    let mut client = Client::connect(fleet.address()).await;
    let raw = client
        .ask("/p/alpha/api/generate", "", &body)
        .await
        .unwrap()
        .json();
    let body =
        json!({"model": "m", "prompt": "Once upon a time", "temperature": 0, "max_tokens": 9});
    let completed = client
        .ask("/p/alpha/v1/completions", "", &body)
        .await
        .unwrap()
        .json();
    assert_eq!(raw["response"], completed["choices"][0]["text"]);
    assert_eq!(raw["eval_count"], 9);
}

#[tokio::test]
async fn models_are_listed_as_ollama_does() {
    let fleet = two().await;
    let json = get(&fleet, "/p/alpha/api/tags").await.json();
    assert_eq!(json["models"][1]["name"], "thinker");
    let version = get(&fleet, "/p/alpha/api/version").await.json();
    assert!(version["version"].is_string());
}
