//! Requests of every protocol.

mod fields;
mod further;
mod properties;

use std::collections::BTreeMap;

use proptest::prelude::*;
use retort_types::Message;
use retort_types::catalog::StreamUsage;
use serde_json::{Value, json};

use super::*;

const BOTH: [WireProtocol; 2] = [WireProtocol::OpenaiChat, WireProtocol::OpenaiCompletions];

fn input(protocol: WireProtocol) -> PromptInput {
    if protocol == WireProtocol::OpenaiCompletions {
        return PromptInput::Text("Once upon a time\u{2028}there".to_owned());
    }
    PromptInput::Messages(vec![
        message("user", "Name a prime."),
        message("assistant", "7"),
        message("user", "Another, \"larger\" one?\n"),
    ])
}

/// Returns the parameters that a protocol has no words for, by their names in `params`.
fn unsupported(protocol: WireProtocol) -> &'static [&'static str] {
    match protocol {
        WireProtocol::OpenaiChat | WireProtocol::Ollama => &["echo"],
        WireProtocol::OpenaiCompletions => &["reasoning_effort"],
        WireProtocol::OpenaiResponses => &[
            "echo",
            "frequency_penalty",
            "min_p",
            "presence_penalty",
            "repetition_penalty",
            "seed",
            "stop",
            "top_k",
        ],
        WireProtocol::AnthropicMessages | WireProtocol::BedrockConverse => &[
            "echo",
            "frequency_penalty",
            "logprobs",
            "min_p",
            "presence_penalty",
            "repetition_penalty",
            "seed",
        ],
        WireProtocol::Gemini | WireProtocol::CohereV2 => &["echo", "min_p", "repetition_penalty"],
    }
}

fn message(role: &str, content: &str) -> Message {
    Message {
        role: role.to_owned(),
        content: content.to_owned(),
    }
}

#[derive(Clone, Default)]
struct Case {
    system: Option<&'static str>,
    params: Params,
    options: WireOptions,
}

fn asked(protocol: WireProtocol, case: &Case) -> Result<EncodedRequest, EncodeError> {
    encode(&Ask {
        protocol,
        request_model: "some-model",
        input: &input(protocol),
        system: case.system,
        params: &case.params,
        options: &case.options,
    })
}

fn body(request: &EncodedRequest) -> Value {
    serde_json::from_slice(&request.body).expect("a body is JSON")
}

fn snapshot(name: &str, protocol: WireProtocol, case: &Case) {
    let request = asked(protocol, case).expect("the case fits the protocol");
    insta::assert_json_snapshot!(format!("{protocol}_{name}"), view(&request));
}

fn view(request: &EncodedRequest) -> Value {
    json!({
        "headers": request.headers,
        "body": body(request),
        "request_params": request.request_params,
        "streamed": request.streamed,
    })
}

/// Returns parameters that set all that there is.
fn everything(protocol: WireProtocol) -> Params {
    let is_cohere = protocol == WireProtocol::CohereV2;
    Params {
        temperature: Some(0.7),
        top_p: Some(1.0),
        top_k: Some(40),
        min_p: Some(0.05),
        max_tokens: Some(128),
        stop: Some(vec!["\n\n".to_owned(), "END".to_owned()]),
        seed: Some(-7),
        frequency_penalty: Some(0.5),
        presence_penalty: Some(-0.5),
        repetition_penalty: Some(1.1),
        // Cohere tells no alternatives, and has a budget for thinking but no levels.
        logprobs: Some(if is_cohere { 0 } else { 5 }),
        reasoning_effort: Some(if is_cohere { "2048" } else { "low" }.to_owned()),
        stream: None,
        echo: Some(true),
        extra: BTreeMap::from([("user".to_owned(), json!("someone"))]),
    }
}

/// Returns parameters of which `is_kept` keeps some, by their names, and those that the protocol
/// requires.
fn some_params(protocol: WireProtocol, is_kept: impl Fn(&str) -> bool) -> Params {
    let all = serde_json::to_value(everything(protocol)).expect("parameters are JSON");
    let mut fields = all.as_object().expect("parameters are an object").clone();
    let is_required =
        |name: &str| protocol == WireProtocol::AnthropicMessages && name == "max_tokens";
    fields.retain(|name, _| is_kept(name) || is_required(name));
    serde_json::from_value(Value::Object(fields)).expect("they were parameters")
}

fn all_params(protocol: WireProtocol) -> Params {
    some_params(protocol, |name| !unsupported(protocol).contains(&name))
}

fn with(params: Params) -> Case {
    Case {
        params,
        ..Case::default()
    }
}

#[test]
fn requests() {
    for protocol in WireProtocol::ALL {
        let required = some_params(protocol, |_| false);
        snapshot("plain", protocol, &with(required.clone()));
        snapshot("all_params", protocol, &with(all_params(protocol)));
        let stream = Params {
            stream: Some(true),
            ..required.clone()
        };
        snapshot("stream", protocol, &with(stream));
        if protocol == WireProtocol::OpenaiCompletions {
            continue;
        }
        let system = Case {
            system: Some("Be brief."),
            ..with(required.clone())
        };
        snapshot("system", protocol, &system);
        let reasoning = |effort: &str| {
            with(Params {
                reasoning_effort: Some(effort.to_owned()),
                ..required.clone()
            })
        };
        let is_cohere = protocol == WireProtocol::CohereV2;
        let effort = if is_cohere { "2048" } else { "high" };
        snapshot("reasoning", protocol, &reasoning(effort));
        if [WireProtocol::AnthropicMessages, WireProtocol::Gemini].contains(&protocol) {
            snapshot("reasoning_none", protocol, &reasoning("none"));
            snapshot("reasoning_budget", protocol, &reasoning("2048"));
        }
    }
}

#[test]
fn raw_text_of_a_protocol_that_chats_too() {
    let protocol = WireProtocol::Ollama;
    let without_effort = |name: &str| !["echo", "reasoning_effort"].contains(&name);
    let case = with(some_params(protocol, without_effort));
    let raw = input(WireProtocol::OpenaiCompletions);
    let request = further::put(protocol, &raw, &case).expect("it is continued");
    insta::assert_json_snapshot!("ollama_raw", view(&request));
}

#[test]
fn dialects() {
    for protocol in WireProtocol::ALL {
        let options = WireOptions {
            max_tokens_field: Some("max_completion_tokens".to_owned()),
            seed_field: Some("random_seed".to_owned()),
            drop_params: ["temperature", "top_k", "reasoning_effort", "echo", "user"]
                .map(str::to_owned)
                .into(),
            extra_body: BTreeMap::from([
                (
                    "provider".to_owned(),
                    json!({"order": ["x"], "allow_fallbacks": false}),
                ),
                ("min_p".to_owned(), Value::Null),
                ("store".to_owned(), json!(false)),
            ]),
            stream_usage: Some(StreamUsage::Always),
            ..WireOptions::default()
        };
        let params = Params {
            stream: Some(true),
            extra: BTreeMap::from([("store".to_owned(), json!(true))]),
            ..all_params(protocol)
        };
        let case = Case {
            options,
            ..with(params)
        };
        snapshot("dialect", protocol, &case);
    }
}

#[test]
fn parameters_without_a_place_are_refused_unless_dropped() {
    for protocol in WireProtocol::ALL {
        let all = serde_json::to_value(everything(protocol)).expect("parameters are JSON");
        let names: Vec<&String> = all.as_object().expect("an object").keys().collect();
        assert_eq!(names.len(), 14);
        for name in &names {
            let mut case = with(some_params(protocol, |kept| kept == *name));
            let result = asked(protocol, &case).map_err(|error| error.to_string());
            if unsupported(protocol).contains(&name.as_str()) {
                let expected = format!("`{protocol}` has no parameter `{name}`");
                assert_eq!(result, Err(expected));
                case.options.drop_params.insert((*name).clone());
                let plain = with(some_params(protocol, |_| false));
                let dropped = asked(protocol, &case).expect("it is dropped");
                assert_eq!(dropped, asked(protocol, &plain).expect("nothing is asked"));
            } else {
                assert!(result.is_ok(), "{protocol} {name}: {result:?}");
            }
        }
    }
}

#[test]
fn further_fields_join_those_of_parameters() {
    let mut case = with(Params {
        temperature: Some(0.5),
        top_p: Some(0.9),
        reasoning_effort: Some("high".to_owned()),
        ..Params::default()
    });
    let further = json!({"topP": null, "thinkingConfig": {"includeThoughts": false}});
    let extra = &mut case.options.extra_body;
    extra.insert("generationConfig".to_owned(), further);
    let request = asked(WireProtocol::Gemini, &case).unwrap();
    let expected = json!({
        "temperature": 0.5,
        "thinkingConfig": {"thinkingLevel": "high", "includeThoughts": false},
    });
    assert_eq!(body(&request)["generationConfig"], expected);
}

#[test]
fn a_required_limit_is_never_made_up() {
    let anthropic = WireProtocol::AnthropicMessages;
    let mut case = Case::default();
    let error = refused(anthropic, &case);
    case.options
        .extra_body
        .insert("max_tokens".to_owned(), json!(99));
    let request = asked(anthropic, &case).expect("the catalog sets it");
    assert_eq!(body(&request)["max_tokens"], 99);
    case.params.max_tokens = Some(1);
    let request = asked(anthropic, &case).expect("the campaign sets it");
    assert_eq!(body(&request)["max_tokens"], 1);
    case.options.drop_params.insert("max_tokens".to_owned());
    let request = asked(anthropic, &case).expect("the catalog sets it");
    assert_eq!(body(&request)["max_tokens"], 99);
    insta::assert_snapshot!(error);
}

#[test]
fn system_messages_stand_at_the_start() {
    let options = WireOptions::default();
    let params = some_params(WireProtocol::AnthropicMessages, |_| false);
    let conversation = |roles: &[&str]| {
        let messages = roles.iter().map(|role| message(role, role));
        PromptInput::Messages(messages.collect())
    };
    for (protocol, field, expected) in [
        (
            WireProtocol::AnthropicMessages,
            "system",
            json!([{"type": "text", "text": "arm"}, {"type": "text", "text": "system"}]),
        ),
        (
            WireProtocol::BedrockConverse,
            "system",
            json!([{"text": "arm"}, {"text": "system"}]),
        ),
        (
            WireProtocol::Gemini,
            "systemInstruction",
            json!({"parts": [{"text": "arm"}, {"text": "system"}]}),
        ),
    ] {
        let asked = |input: &PromptInput| {
            encode(&Ask {
                protocol,
                request_model: "m",
                input,
                system: Some("arm"),
                params: &params,
                options: &options,
            })
        };
        let request = asked(&conversation(&["system", "user"])).unwrap();
        assert_eq!(body(&request)[field], expected);
        for roles in [&["user", "system"], &["developer", "user"]] {
            let error = asked(&conversation(roles)).expect_err("it has no place");
            assert!(matches!(error, EncodeError::Role { .. }), "{error}");
        }
        let error = asked(&conversation(&["system"])).expect_err("nobody asks");
        assert!(matches!(error, EncodeError::NoMessages), "{error}");
    }
}

#[track_caller]
fn refused(protocol: WireProtocol, case: &Case) -> String {
    let error = asked(protocol, case).expect_err("the case does not fit");
    format!("{error}; hint: {}", error.hint().unwrap_or("none"))
}

#[test]
fn what_does_not_fit_is_an_error_with_a_hint() {
    let [chat, completions] = BOTH;
    let plain = Case::default();
    let extra = |name: &str, value: Value| {
        let extra = BTreeMap::from([(name.to_owned(), value)]);
        with(Params {
            extra,
            ..Params::default()
        })
    };
    let system = Case {
        system: Some("Be brief."),
        ..plain.clone()
    };
    let echo = with(Params {
        echo: Some(true),
        ..Params::default()
    });
    let reasoning_effort = Some("low".to_owned());
    let effort = with(Params {
        reasoning_effort,
        ..Params::default()
    });
    let not_finite = with(Params {
        top_p: Some(f64::NAN),
        ..Params::default()
    });
    let mut logprobs = with(Params {
        logprobs: Some(6),
        ..Params::default()
    });
    logprobs.options.logprobs_max = Some(5);
    let errors = [
        refused(completions, &system),
        refused(chat, &echo),
        refused(completions, &effort),
        refused(chat, &logprobs),
        refused(completions, &logprobs),
        refused(chat, &not_finite),
        refused(chat, &extra("model", json!("another"))),
        refused(chat, &extra("messages", Value::Null)),
        refused(completions, &extra("prompt", json!(""))),
        refused(chat, &extra("stream", json!(true))),
        refused(chat, &extra("n", json!(2))),
    ];
    insta::assert_json_snapshot!(errors);
}

#[test]
fn what_keeps_or_replaces_a_conversation_is_refused() {
    for protocol in WireProtocol::ALL {
        let own: &[&str] = match protocol {
            WireProtocol::OpenaiResponses => &["input", "instructions", "background"],
            WireProtocol::AnthropicMessages | WireProtocol::BedrockConverse => {
                &["messages", "system"]
            }
            WireProtocol::Gemini => &["contents", "systemInstruction", "cachedContent"],
            WireProtocol::Ollama => &["messages", "prompt", "raw"],
            WireProtocol::OpenaiChat | WireProtocol::OpenaiCompletions | WireProtocol::CohereV2 => {
                &["messages"]
            }
        };
        for field in own.iter().chain(&["stream", "model"]) {
            let mut case = with(some_params(protocol, |_| false));
            case.params.extra.insert((*field).to_owned(), json!("x"));
            let error = asked(protocol, &case).expect_err("it is reserved");
            assert!(matches!(error, EncodeError::Reserved { .. }), "{error}");
        }
    }
    let mut case = Case::default();
    let several = json!({"candidateCount": 2});
    let extra = &mut case.params.extra;
    extra.insert("generationConfig".to_owned(), several);
    let error = refused(WireProtocol::Gemini, &case);
    assert!(error.contains("`candidateCount` asks for several answers"));
}

#[test]
fn an_input_of_the_other_mode_is_refused() {
    let [chat, completions] = BOTH;
    let (params, options) = (Params::default(), WireOptions::default());
    let refused = |protocol, input: PromptInput| {
        let ask = Ask {
            protocol,
            request_model: "m",
            input: &input,
            system: None,
            params: &params,
            options: &options,
        };
        encode(&ask)
            .expect_err("the input does not fit")
            .to_string()
    };
    let errors = [
        refused(chat, input(completions)),
        refused(completions, input(chat)),
        refused(chat, PromptInput::Messages(Vec::new())),
    ];
    insta::assert_json_snapshot!(errors);
}
