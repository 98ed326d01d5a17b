//! Errors, limits and faults in each protocol's own shape.

use std::time::Duration;

use retort_sim::{
    FaultKind, FaultSpec, Fleet, HeaderFamily, LimitSpec, ModelSpec, ProviderSpec, RetryHint,
};
use retort_types::HumanDuration;
use serde_json::{Value, json};

use crate::client::{Client, Reply, alpha, fleet, post, with};
use crate::frames;
use crate::protocols::put;
use crate::wire::{ALL, Question, Wire};

const PROMPT: &str = "Tell me about rivers.";

/// Sends a question with fields put over its own.
async fn changed(fleet: &Fleet, wire: Wire, more: &Value) -> Reply {
    let question = Question::new(PROMPT);
    let mut client = Client::connect(fleet.address()).await;
    let body = with(wire.body(&question), more);
    let reply = client
        .ask(&wire.path(&question), &wire.headers(None), &body)
        .await;
    reply.expect("a whole answer")
}

/// Returns the error's message and its kind, from where the protocol has them.
fn told(wire: Wire, reply: &Reply) -> (String, String) {
    let json = reply.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let error = &json["error"];
    match wire {
        Wire::Chat | Wire::Responses => (text(&error["message"]), text(&error["code"])),
        Wire::Messages => {
            assert_eq!(json["type"], "error");
            (text(&error["message"]), text(&error["type"]))
        }
        Wire::Gemini | Wire::GeminiArray => {
            assert_eq!(error["code"], reply.status);
            (text(&error["message"]), text(&error["status"]))
        }
        Wire::Converse => {
            let kind = reply.header("x-amzn-errortype").unwrap_or_default();
            (text(&json["message"]), kind.to_owned())
        }
        Wire::Cohere => (text(&json["message"]), String::new()),
        Wire::Ollama | Wire::OllamaGenerate => (text(error), String::new()),
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_in_each_apis_words() {
    let fleet = fleet(alpha()).await;
    for wire in ALL {
        let reply = changed(&fleet, wire, &json!({"max_token": 5})).await;
        let (status, message, kind) = match wire {
            Wire::Chat => (400, "Unrecognized request argument supplied: max_token", ""),
            Wire::Responses => (400, "Unknown parameter: 'max_token'.", "unknown_parameter"),
            Wire::Messages => (
                400,
                "max_token: Extra inputs are not permitted",
                "invalid_request_error",
            ),
            Wire::Gemini | Wire::GeminiArray => (
                400,
                "Invalid JSON payload received. Unknown name \"maxToken\": Cannot find field.",
                "INVALID_ARGUMENT",
            ),
            Wire::Converse => (
                400,
                "extraneous key [max_token] is not permitted",
                "ValidationException",
            ),
            Wire::Cohere => (
                422,
                "unknown field: parameter 'max_token' is not a valid field",
                "",
            ),
            Wire::Ollama | Wire::OllamaGenerate => (400, "json: unknown field \"max_token\"", ""),
        };
        assert_eq!(reply.status, status, "{wire:?}");
        assert_eq!(told(wire, &reply), (message.to_owned(), kind.to_owned()));
    }
    assert_eq!(fleet.stats().totals().errors, ALL.len() as u64);
}

/// Checks that fields put over a good request's are refused with a message that holds these words.
async fn refused(mistakes: &[(Wire, Value, &str)]) {
    let fleet = fleet(alpha()).await;
    for (wire, more, words) in mistakes {
        let reply = changed(&fleet, *wire, more).await;
        assert_eq!(reply.status, 400, "{wire:?} {more}");
        let (found, _) = told(*wire, &reply);
        assert!(found.contains(words), "{wire:?}: {found}");
    }
}

#[tokio::test]
async fn wrong_types_are_refused() {
    let config = |field: &str| json!({"generationConfig": {field: "x"}});
    refused(&[
        (
            Wire::Responses,
            json!({"temperature": "x"}),
            "expected number, but got string",
        ),
        (
            Wire::Messages,
            json!({"temperature": "x"}),
            "temperature: Input should be a valid number",
        ),
        (
            Wire::Gemini,
            config("topP"),
            "Invalid value at 'generationConfig.topP'",
        ),
        (
            Wire::Converse,
            json!({"inferenceConfig": {"maxTokens": "x"}}),
            "converted to integer",
        ),
        (
            Wire::Cohere,
            json!({"max_tokens": 0.5}),
            "parameter max_tokens is of type number",
        ),
        (
            Wire::Ollama,
            json!({"stream": "x"}),
            "Go struct field ChatRequest.stream of type boolean",
        ),
    ])
    .await;
}

#[tokio::test]
async fn missing_fields_are_told() {
    refused(&[
        (
            Wire::Responses,
            json!({"input": null}),
            "Missing required parameter: 'input'.",
        ),
        (
            Wire::Messages,
            json!({"max_tokens": null}),
            "max_tokens: Field required",
        ),
        (
            Wire::Gemini,
            json!({"contents": null}),
            "contents is not specified",
        ),
        (
            Wire::Converse,
            json!({"messages": null}),
            "Value null at 'messages'",
        ),
        (Wire::Cohere, json!({"model": null}), "model is required"),
        (
            Wire::Ollama,
            json!({"messages": null}),
            "messages is required",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_one_protocol_does_not_have_is_refused_there() {
    let system = json!({"messages": [{"role": "system", "content": "x"}]});
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 5}});
    refused(&[
        (
            Wire::Responses,
            json!({"stop": ["x"]}),
            "Unknown parameter: 'stop'.",
        ),
        (
            Wire::Messages,
            json!({"temperature": 1.5}),
            "temperature: must be between 0 and 1",
        ),
        (
            Wire::Messages,
            system,
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        (Wire::Messages, budget, "greater than or equal to 1024"),
        (Wire::Converse, json!({"seed": 1}), "extraneous key [seed]"),
    ])
    .await;
    let fleet = fleet(alpha()).await;
    let mut client = Client::connect(fleet.address()).await;
    let body = Wire::Messages.body(&Question::new(PROMPT));
    let reply = client.ask("/p/alpha/v1/messages", "", &body).await.unwrap();
    let (message, _) = told(Wire::Messages, &reply);
    let wanted = "anthropic-version: header is required";
    assert_eq!((reply.status, message.as_str()), (400, wanted));
}

#[tokio::test]
async fn keys_and_models_are_checked_in_each_apis_words() {
    let mut provider = alpha();
    provider.api_keys = vec!["right".to_owned()];
    let fleet = fleet(provider).await;
    for wire in ALL {
        let (missing, wrong, unknown) = match wire {
            Wire::Chat | Wire::Cohere | Wire::Ollama | Wire::OllamaGenerate | Wire::Messages => {
                (401, 401, 404)
            }
            Wire::Responses => (401, 401, 400),
            Wire::Gemini | Wire::GeminiArray => (403, 400, 404),
            Wire::Converse => (403, 403, 400),
        };
        let nobody = Question {
            model: "nobody",
            ..Question::new(PROMPT)
        };
        let known = Question::new(PROMPT);
        for (key, question, status, kind) in [
            (
                None,
                known,
                missing,
                [
                    "",
                    "authentication_error",
                    "PERMISSION_DENIED",
                    "MissingAuthenticationTokenException",
                ],
            ),
            (
                Some("wrong"),
                known,
                wrong,
                [
                    "",
                    "authentication_error",
                    "INVALID_ARGUMENT",
                    "UnrecognizedClientException",
                ],
            ),
            (
                Some("right"),
                nobody,
                unknown,
                ["", "not_found_error", "NOT_FOUND", "ValidationException"],
            ),
            (Some("right"), known, 200, [""; 4]),
        ] {
            let mut client = Client::connect(fleet.address()).await;
            let reply = client
                .ask(
                    &wire.path(&question),
                    &wire.headers(key),
                    &wire.body(&question),
                )
                .await;
            let reply = reply.unwrap();
            assert_eq!(reply.status, status, "{wire:?} {key:?}");
            let place = match wire {
                Wire::Messages => 1,
                Wire::Gemini | Wire::GeminiArray => 2,
                Wire::Converse => 3,
                _ => 0,
            };
            if status != 200 && place > 0 {
                assert_eq!(told(wire, &reply).1, kind[place], "{wire:?}");
            }
            assert!(status == 200 || !told(wire, &reply).0.is_empty());
        }
    }
}

#[tokio::test]
async fn long_prompts_are_refused_in_each_apis_words() {
    let mut model = ModelSpec::canned("m");
    model.context_tokens = Some(500);
    let fleet = fleet(ProviderSpec::new("alpha", vec![model])).await;
    let long = "long ".repeat(500);
    for wire in ALL {
        let question = Question {
            most: 5,
            ..Question::new(&long)
        };
        let reply = put(&fleet, wire, &question).await;
        assert_eq!(reply.status, 400, "{wire:?}");
        let (message, _) = told(wire, &reply);
        assert!(message.contains("maximum context length") || message.contains("too long"));
    }
}

#[tokio::test]
async fn limits_are_told_in_each_apis_shape() {
    for (wire, announce, hint) in [
        (Wire::Responses, HeaderFamily::Openai, RetryHint::Seconds),
        (
            Wire::Messages,
            HeaderFamily::Anthropic,
            RetryHint::Rfc3339Headers,
        ),
        (Wire::Gemini, HeaderFamily::None, RetryHint::RetryInfo),
        (Wire::GeminiArray, HeaderFamily::None, RetryHint::RetryInfo),
        (Wire::Converse, HeaderFamily::None, RetryHint::None),
        (Wire::Cohere, HeaderFamily::Mistral, RetryHint::RetryInfo),
        (Wire::Ollama, HeaderFamily::Azure, RetryHint::Ms),
    ] {
        let mut provider = alpha();
        provider.limits = LimitSpec {
            requests_per_second: Some(0.001),
            burst: Some(1),
            announce,
            retry_after: hint,
            ..LimitSpec::default()
        };
        let fleet = fleet(provider).await;
        let first = put(&fleet, wire, &Question::new(PROMPT)).await;
        let second = put(&fleet, wire, &Question::new(PROMPT)).await;
        assert_eq!((first.status, second.status), (200, 429), "{wire:?}");
        let (message, kind) = told(wire, &second);
        assert!(message.contains("Rate limit reached"), "{message}");
        let kinds = [
            "rate_limit_exceeded",
            "rate_limit_error",
            "RESOURCE_EXHAUSTED",
            "ThrottlingException",
            "",
        ];
        assert!(kinds.contains(&kind.as_str()), "{kind}");
        match wire {
            Wire::Responses => {
                assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("0"));
                assert!(second.header("retry-after").is_some());
            }
            Wire::Messages => {
                let remaining = first.header("anthropic-ratelimit-requests-remaining");
                assert_eq!(remaining, Some("0"));
                assert!(
                    second
                        .header("anthropic-ratelimit-requests-reset")
                        .is_some()
                );
            }
            Wire::Gemini | Wire::GeminiArray => {
                let delay = &second.json()["error"]["details"][0]["retryDelay"];
                assert!(delay.as_str().is_some_and(|delay| delay.ends_with('s')));
            }
            Wire::Cohere => assert!(message.contains("Please try again in "), "{message}"),
            _ => {}
        }
        let totals = fleet.stats().totals();
        assert_eq!((totals.served, totals.refused_429), (1, 1));
    }
}

async fn broken(fault: FaultSpec) -> Fleet {
    let mut provider = alpha();
    provider.faults = vec![fault];
    fleet(provider).await
}

#[tokio::test]
async fn ordered_statuses_have_each_apis_shape() {
    for (status, anthropic, google, amazon) in [
        (
            401,
            "authentication_error",
            "UNAUTHENTICATED",
            "UnrecognizedClientException",
        ),
        (
            402,
            "billing_error",
            "RESOURCE_EXHAUSTED",
            "ServiceQuotaExceededException",
        ),
        (
            403,
            "permission_error",
            "PERMISSION_DENIED",
            "AccessDeniedException",
        ),
        (
            429,
            "rate_limit_error",
            "RESOURCE_EXHAUSTED",
            "ThrottlingException",
        ),
        (500, "api_error", "INTERNAL", "InternalServerException"),
        (
            503,
            "overloaded_error",
            "UNAVAILABLE",
            "ServiceUnavailableException",
        ),
        (
            529,
            "overloaded_error",
            "UNAVAILABLE",
            "ServiceUnavailableException",
        ),
    ] {
        let fleet = broken(FaultSpec::status(status)).await;
        for wire in ALL {
            let reply = put(&fleet, wire, &Question::new(PROMPT)).await;
            assert_eq!(reply.status, status);
            let (message, kind) = told(wire, &reply);
            assert!(!message.is_empty());
            match wire {
                Wire::Messages => assert_eq!(kind, anthropic),
                Wire::Gemini => assert_eq!(kind, google),
                Wire::Converse => assert_eq!(kind, amazon),
                _ => {}
            }
        }
    }
    let quota = FaultSpec {
        code: Some("insufficient_quota".to_owned()),
        ..FaultSpec::status(429)
    };
    let reply = put(&broken(quota).await, Wire::Messages, &Question::new(PROMPT)).await;
    let code = &reply.json()["error"]["details"]["error_code"];
    assert_eq!(code, "enforced_spend_limit_reached");
}

#[tokio::test]
async fn errors_inside_streams_have_each_protocols_form() {
    let fleet = broken(FaultSpec::new(FaultKind::ErrorInStream)).await;
    let question = Question::new(PROMPT);
    for wire in ALL {
        let reply = put(&fleet, wire, &question.streamed()).await;
        assert_eq!(reply.status, 200);
        let events = wire.events(&reply);
        assert!(events.len() > 3, "text came before");
        let (name, json) = &events[events.len() - 1];
        match wire {
            Wire::Chat => assert_eq!(json["error"]["type"], "server_error"),
            Wire::Responses => {
                assert_eq!(name, "response.failed");
                assert_eq!(json["response"]["status"], "failed");
                let (before, told) = &events[events.len() - 2];
                assert_eq!((before.as_str(), &told["type"]), ("error", &json!("error")));
                assert_eq!(told["sequence_number"], events.len() - 2);
            }
            Wire::Messages => {
                assert_eq!(
                    (name.as_str(), &json["error"]["type"]),
                    ("error", &json!("api_error"))
                );
            }
            Wire::Gemini | Wire::GeminiArray => assert_eq!(json["error"]["status"], "INTERNAL"),
            Wire::Converse => {
                let frame = frames::decode(&reply.body).pop().unwrap();
                assert_eq!(frame.headers[":message-type"], "exception");
                assert_eq!(frame.headers[":exception-type"], "internalServerException");
            }
            Wire::Cohere => assert_eq!(json["delta"]["finish_reason"], "ERROR"),
            Wire::Ollama | Wire::OllamaGenerate => assert!(json["error"].is_string()),
        }
        let plain = put(&fleet, wire, &question).await;
        assert_eq!(plain.status, 200);
        assert_eq!(wire.read(&plain.json()).text, "", "{wire:?}");
    }
    let totals = fleet.stats().totals();
    assert_eq!((totals.served, totals.faulted), (0, 2 * ALL.len() as u64));
}

/// Returns everything that comes after the head of an answer, and whether the connection was reset.
async fn raw(fleet: &Fleet, wire: Wire, question: &Question<'_>) -> (Vec<u8>, bool) {
    let mut client = Client::connect(fleet.address()).await;
    let headers = format!("connection: close\r\n{}", wire.headers(None));
    let request = post(&wire.path(question), &headers, &wire.body(question));
    client.send(&request).await;
    client.rest().await
}

#[tokio::test]
async fn every_fault_works_with_every_protocol() {
    for kind in FaultKind::ALL {
        let endless = matches!(
            kind,
            FaultKind::EndlessBody | FaultKind::EndlessHeaders | FaultKind::EndlessSseLine
        );
        let fault = FaultSpec {
            lasts: Some(HumanDuration(Duration::from_millis(1))),
            ..FaultSpec::new(*kind)
        };
        let fleet = broken(fault).await;
        for wire in ALL {
            for question in [Question::new(PROMPT), Question::new(PROMPT).streamed()] {
                if endless {
                    let mut client = Client::connect(fleet.address()).await;
                    let path = wire.path(&question);
                    let request = post(&path, &wire.headers(None), &wire.body(&question));
                    client.send(&request).await;
                    assert!(client.take(100_000).await.len() >= 100_000);
                } else {
                    raw(&fleet, wire, &question).await;
                }
            }
        }
        let faults = &fleet.stats().providers["alpha"].faults;
        assert_eq!(faults.get(kind.as_str()), Some(&(2 * ALL.len() as u64)));
    }
}

#[tokio::test]
async fn cut_streams_lack_their_end() {
    let fleet = broken(FaultSpec::new(FaultKind::Cut)).await;
    for wire in ALL {
        let (bytes, _) = raw(&fleet, wire, &Question::new(PROMPT).streamed()).await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 200 OK"));
        for end in [
            "message_stop",
            "[DONE]",
            "\"done\":true",
            "finishReason",
            "messageStop",
            "response.completed",
        ] {
            assert!(!text.contains(end), "{wire:?} {end}");
        }
    }
}

#[tokio::test]
async fn spoiled_texts_keep_the_frames_whole() {
    let fleet = broken(FaultSpec::new(FaultKind::InvalidUtf8)).await;
    for wire in ALL {
        let reply = put(&fleet, wire, &Question::new(PROMPT).streamed()).await;
        assert!(String::from_utf8(reply.body.clone()).is_err(), "{wire:?}");
        if wire == Wire::Converse {
            assert!(frames::decode(&reply.body).len() > 3);
        }
        let reply = put(&fleet, wire, &Question::new(PROMPT)).await;
        assert!(String::from_utf8(reply.body).is_err(), "{wire:?}");
    }
}

#[tokio::test]
async fn ends_said_twice_add_no_text() {
    let twice = broken(FaultSpec::new(FaultKind::DuplicateDone)).await;
    let once = fleet(alpha()).await;
    for wire in ALL {
        let question = Question::new(PROMPT).streamed();
        let wanted = wire.events(&put(&once, wire, &question).await);
        let found = wire.events(&put(&twice, wire, &question).await);
        assert!(found.len() > wanted.len(), "{wire:?}");
        let kinds =
            |events: &[(String, Value)]| events.iter().map(|e| e.0.clone()).collect::<Vec<_>>();
        assert_eq!(kinds(&found[..wanted.len()]), kinds(&wanted));
        for (_, event) in &found[wanted.len()..] {
            assert_eq!(event["delta"]["text"], Value::Null, "{event}");
            assert_eq!(wire.read(event).text, "", "{event}");
        }
    }
    assert_eq!(twice.stats().totals().served, ALL.len() as u64);
}
