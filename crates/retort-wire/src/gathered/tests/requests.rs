//! Requests.

use std::collections::BTreeMap;

use retort_types::{Message, Params, PromptInput};

use super::*;
use crate::encode::{Ask, EncodeError, EncodedRequest, encode};

#[derive(Clone, Copy)]
struct Case<'a> {
    protocol: WireProtocol,
    input: &'a PromptInput,
    system: Option<&'a str>,
    params: &'a Params,
    options: &'a WireOptions,
}

impl Case<'_> {
    fn encode(self) -> Result<EncodedRequest, EncodeError> {
        encode(&Ask {
            protocol: self.protocol,
            request_model: "some-model",
            input: self.input,
            system: self.system,
            params: self.params,
            options: self.options,
        })
    }

    fn snapshot(self, name: &str) {
        let request = self.encode().expect("the case fits the protocol");
        let body: Value = serde_json::from_slice(&request.body).expect("a body is JSON");
        let view = json!({
            "headers": request.headers,
            "body": body,
            "request_params": request.request_params,
            "streamed": request.streamed,
        });
        insta::assert_json_snapshot!(format!("{}_{name}", self.protocol), view);
    }
}

fn conversation() -> PromptInput {
    let message = |role: &str, content: &str| Message {
        role: role.to_owned(),
        content: content.to_owned(),
    };
    PromptInput::Messages(vec![
        message("user", "Name a prime."),
        message("assistant", "7"),
        message("user", "Another, \"larger\" one?\n"),
    ])
}

/// Returns every parameter that `protocol` has a place for.
fn all_params(protocol: WireProtocol) -> Params {
    let is_bedrock = protocol == WireProtocol::BedrockConverse;
    let is_ollama = protocol == WireProtocol::Ollama;
    Params {
        temperature: Some(0.7),
        top_p: Some(1.0),
        top_k: Some(40),
        min_p: is_ollama.then_some(0.05),
        max_tokens: Some(128),
        stop: Some(vec!["\n\n".to_owned(), "END".to_owned()]),
        seed: (!is_bedrock).then_some(-7),
        frequency_penalty: (!is_bedrock).then_some(0.5),
        presence_penalty: (!is_bedrock).then_some(-0.5),
        repetition_penalty: is_ollama.then_some(1.1),
        logprobs: (!is_bedrock).then_some(if is_ollama { 5 } else { 0 }),
        reasoning_effort: None,
        stream: None,
        echo: None,
        extra: BTreeMap::from([("user".to_owned(), json!("someone"))]),
    }
}

fn effort(effort: &str) -> Params {
    Params {
        reasoning_effort: Some(effort.to_owned()),
        ..Params::default()
    }
}

#[test]
fn requests() {
    let (input, options) = (conversation(), WireOptions::default());
    for (protocol, effort) in [
        (WireProtocol::BedrockConverse, self::effort("low")),
        (WireProtocol::CohereV2, self::effort("2048")),
        (WireProtocol::Ollama, self::effort("low")),
    ] {
        let plain = Case {
            protocol,
            input: &input,
            system: None,
            params: &Params::default(),
            options: &options,
        };
        plain.snapshot("plain");
        let system = Some("Be brief.");
        Case { system, ..plain }.snapshot("system");
        let params = &all_params(protocol);
        Case { params, ..plain }.snapshot("all_params");
        let params = &Params {
            stream: Some(true),
            ..Params::default()
        };
        Case { params, ..plain }.snapshot("stream");
        let params = &effort;
        Case { params, ..plain }.snapshot("reasoning");
    }
    let input = PromptInput::Text("Once upon a time\u{2028}there".to_owned());
    let params = all_params(WireProtocol::Ollama);
    let raw = Case {
        protocol: WireProtocol::Ollama,
        input: &input,
        system: None,
        params: &params,
        options: &options,
    };
    raw.snapshot("raw");
}

fn body(case: Case<'_>) -> Value {
    let request = case.encode().expect("the case fits the protocol");
    serde_json::from_slice(&request.body).expect("a body is JSON")
}

#[test]
fn further_options_join_those_of_the_sample() {
    let (input, options) = (
        conversation(),
        WireOptions {
            extra_body: BTreeMap::from([(
                "options".to_owned(),
                json!({"num_ctx": 8192, "top_k": null}),
            )]),
            ..WireOptions::default()
        },
    );
    let params = Params {
        temperature: Some(0.0),
        top_k: Some(1),
        extra: BTreeMap::from([("options".to_owned(), json!({"num_ctx": 16384}))]),
        ..Params::default()
    };
    let case = Case {
        protocol: WireProtocol::Ollama,
        input: &input,
        system: None,
        params: &params,
        options: &options,
    };
    assert_eq!(
        body(case)["options"],
        json!({"temperature": 0.0, "num_ctx": 16384})
    );
}

#[test]
fn reasoning_in_the_words_of_each_protocol() {
    let (input, options) = (conversation(), WireOptions::default());
    for (protocol, effort, expected) in [
        (WireProtocol::CohereV2, "none", json!({"type": "disabled"})),
        (
            WireProtocol::CohereV2,
            "enabled",
            json!({"type": "enabled"}),
        ),
        (
            WireProtocol::CohereV2,
            "100",
            json!({"type": "enabled", "token_budget": 100}),
        ),
        (WireProtocol::Ollama, "none", json!(false)),
        (WireProtocol::Ollama, "true", json!(true)),
        (WireProtocol::Ollama, "high", json!("high")),
    ] {
        let params = self::effort(effort);
        let body = body(Case {
            protocol,
            input: &input,
            system: None,
            params: &params,
            options: &options,
        });
        let place = if protocol == WireProtocol::Ollama {
            "think"
        } else {
            "thinking"
        };
        assert_eq!(body[place], expected, "{effort}");
    }
}

#[test]
fn a_system_message_has_its_place() {
    let PromptInput::Messages(mut messages) = conversation() else {
        unreachable!("a conversation has messages");
    };
    let system = Message {
        role: "system".to_owned(),
        content: "You count.".to_owned(),
    };
    messages.insert(0, system);
    let body = body(Case {
        protocol: WireProtocol::BedrockConverse,
        input: &PromptInput::Messages(messages),
        system: Some("Be brief."),
        params: &Params::default(),
        options: &WireOptions::default(),
    });
    assert_eq!(
        body["system"],
        json!([{"text": "Be brief."}, {"text": "You count."}])
    );
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn what_does_not_fit_is_an_error_unless_it_is_dropped() {
    let params = |json: Value| serde_json::from_value::<Params>(json).expect("parameters");
    let chat = conversation();
    let raw = PromptInput::Text("Once".to_owned());
    let (bedrock, cohere, ollama) = (
        WireProtocol::BedrockConverse,
        WireProtocol::CohereV2,
        WireProtocol::Ollama,
    );
    let mut errors = Vec::new();
    for (protocol, input, system, asked) in [
        (bedrock, &chat, None, json!({"seed": 1})),
        (bedrock, &chat, None, json!({"min_p": 0.1})),
        (bedrock, &chat, None, json!({"logprobs": 0})),
        (bedrock, &chat, None, json!({"frequency_penalty": 0.1})),
        (bedrock, &chat, None, json!({"echo": true})),
        (bedrock, &chat, None, json!({"extra": {"system": []}})),
        (bedrock, &raw, None, json!({})),
        (cohere, &chat, None, json!({"logprobs": 1})),
        (cohere, &chat, None, json!({"repetition_penalty": 1.1})),
        (cohere, &chat, None, json!({"reasoning_effort": "low"})),
        (cohere, &raw, None, json!({})),
        (ollama, &chat, None, json!({"echo": true})),
        (ollama, &chat, None, json!({"extra": {"raw": true}})),
        (ollama, &raw, None, json!({"reasoning_effort": "low"})),
        (ollama, &raw, Some("Be brief."), json!({})),
    ] {
        let params = params(asked.clone());
        let case = Case {
            protocol,
            input,
            system,
            params: &params,
            options: &WireOptions::default(),
        };
        let error = case.encode().expect_err("it does not fit");
        errors.push(format!("{error}; hint: {}", error.hint().unwrap_or("none")));
        let drop_params = asked.as_object().into_iter().flatten();
        let drop_params = drop_params.map(|(name, _)| name.clone()).collect();
        let options = &WireOptions {
            drop_params,
            ..WireOptions::default()
        };
        let is_param = matches!(
            error,
            EncodeError::Unsupported { .. }
                | EncodeError::TooManyLogprobs { .. }
                | EncodeError::Effort { .. }
        );
        assert_eq!(
            Case { options, ..case }.encode().is_ok(),
            is_param,
            "{error}"
        );
    }
    insta::assert_json_snapshot!(errors);
}
