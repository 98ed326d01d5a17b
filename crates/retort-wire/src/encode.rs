//! From a sample to the bytes of a request. Each protocol's own fields are in its module.

use bytes::Bytes;
use retort_types::catalog::WireOptions;
use retort_types::{Params, PromptInput, WireProtocol};

use crate::{bedrock, cohere, ollama, openai};

/// What is asked, of whom, and in which dialect.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The protocol to speak.
    pub protocol: WireProtocol,
    /// The model as sent.
    pub request_model: &'a str,
    /// The conversation, or the text to continue.
    pub input: &'a PromptInput,
    /// System text put in front of a conversation.
    pub system: Option<&'a str>,
    /// Sampling parameters. Unset ones are not sent.
    pub params: &'a Params,
    /// Quirks of the provider and the model.
    pub options: &'a WireOptions,
}

/// A request, complete but for its URL and authorisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRequest {
    /// Headers that belong to the body: (lowercase name, value).
    pub headers: Vec<(String, String)>,
    /// The body, JSON.
    pub body: Bytes,
    /// Everything sent besides the prompt, as canonical JSON text. Its numbers are in double
    /// precision, as that form has it; the body holds them exactly.
    pub request_params: String,
    /// Whether a streamed answer is asked for; a dialect may drop that wish.
    pub streamed: bool,
}

/// A sample cannot be put in a protocol's words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The input is of the other mode.
    #[error("`{protocol}` takes {takes}, and the prompt is {given}")]
    WrongInput {
        /// The protocol.
        protocol: WireProtocol,
        /// What it takes.
        takes: &'static str,
        /// What the prompt is.
        given: &'static str,
    },
    /// There is nothing to ask.
    #[error("the prompt has no messages")]
    NoMessages,
    /// The protocol has no place for a system text.
    #[error("`{protocol}` has no place for a system text")]
    SystemText {
        /// The protocol.
        protocol: WireProtocol,
    },
    /// The protocol has no such parameter.
    #[error("`{protocol}` has no parameter `{param}`")]
    Unsupported {
        /// The protocol.
        protocol: WireProtocol,
        /// The parameter, by its name in `params`.
        param: &'static str,
    },
    /// More alternatives per token are wanted than the provider tells.
    #[error("`logprobs: {asked}` exceeds the {max} alternatives that the provider tells")]
    TooManyLogprobs {
        /// Alternatives asked for.
        asked: u32,
        /// Alternatives told at most.
        max: u32,
    },
    /// A reasoning effort is not one that the protocol has a word for.
    #[error("`{protocol}` takes {takes} as `reasoning_effort`, not `{asked}`")]
    Effort {
        /// The protocol.
        protocol: WireProtocol,
        /// What it takes.
        takes: &'static str,
        /// What was asked for.
        asked: String,
    },
    /// A further field would replace what a sample's identity rests on.
    #[error("the extra field `{field}` would replace what the sample says")]
    Reserved {
        /// The field.
        field: String,
    },
    /// A further field asks for several answers in one request.
    #[error("the extra field `n` asks for several answers, and only the first would be kept")]
    SeveralAnswers,
    /// A parameter is not a finite number, which JSON cannot hold.
    #[error("the parameter `{param}` is not a finite number")]
    NotFinite {
        /// The parameter, by its name in `params`.
        param: &'static str,
    },
    /// The body could not be written as JSON.
    #[error("failed to write the request as JSON")]
    Json(#[from] serde_json::Error),
}

impl EncodeError {
    /// Returns what a person can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::WrongInput { .. } => {
                Some("ask in the other `mode`, or a provider that speaks the other protocol")
            }
            Self::NoMessages => Some("give the prompt at least one message"),
            Self::SystemText { .. } => Some("remove `system` from the arm, or ask in mode `chat`"),
            Self::Unsupported { .. } => {
                Some("unset it, or name it in the model's `drop_params` to leave it out there")
            }
            Self::Effort { .. } => {
                Some("use one of these, or say it in the provider's own fields with `extra`")
            }
            Self::TooManyLogprobs { .. } => Some(
                "lower `params.logprobs`, or raise `logprobs_max` if the provider does tell more",
            ),
            Self::Reserved { .. } => {
                Some("say it in the campaign or the catalog, not in `extra` or `extra_body`")
            }
            Self::SeveralAnswers => Some("use `samples` of the suite instead"),
            Self::NotFinite { .. } => Some("give a number, or leave it unset"),
            Self::Json(_) => None,
        }
    }
}

/// Returns the request that puts `ask` to a provider.
///
/// Only what was asked for is sent: no defaults, and no null.
///
/// # Errors
/// When the input, the system text or a parameter has no place in the protocol or its dialect.
pub fn encode(ask: &Ask<'_>) -> Result<EncodedRequest, EncodeError> {
    match ask.protocol {
        WireProtocol::OpenaiChat => openai::chat::encode(ask),
        WireProtocol::OpenaiCompletions => openai::completions::encode(ask),
        WireProtocol::OpenaiResponses => unimplemented!(),
        WireProtocol::AnthropicMessages => unimplemented!(),
        WireProtocol::Gemini => unimplemented!(),
        WireProtocol::BedrockConverse => bedrock::encode(ask),
        WireProtocol::CohereV2 => cohere::encode(ask),
        WireProtocol::Ollama => ollama::encode(ask),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use retort_types::Message;
    use retort_types::catalog::StreamUsage;
    use serde_json::{Value, json};

    use super::*;

    const BOTH: [WireProtocol; 2] = [WireProtocol::OpenaiChat, WireProtocol::OpenaiCompletions];

    fn input(protocol: WireProtocol) -> PromptInput {
        match protocol {
            WireProtocol::OpenaiChat => PromptInput::Messages(vec![
                message("user", "Name a prime."),
                message("assistant", "7"),
                message("user", "Another, \"larger\" one?\n"),
            ]),
            WireProtocol::OpenaiCompletions => {
                PromptInput::Text("Once upon a time\u{2028}there".to_owned())
            }
            other => unreachable!("not among the protocols of these tests: {other}"),
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
        let view = json!({
            "headers": request.headers,
            "body": body(&request),
            "request_params": request.request_params,
            "streamed": request.streamed,
        });
        insta::assert_json_snapshot!(format!("{protocol}_{name}"), view);
    }

    fn all_params(protocol: WireProtocol) -> Params {
        let is_chat = protocol == WireProtocol::OpenaiChat;
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
            logprobs: Some(5),
            reasoning_effort: is_chat.then(|| "low".to_owned()),
            stream: None,
            echo: (!is_chat).then_some(true),
            extra: BTreeMap::from([("user".to_owned(), json!("someone"))]),
        }
    }

    #[test]
    fn requests() {
        for protocol in BOTH {
            snapshot("plain", protocol, &Case::default());
            let params = all_params(protocol);
            snapshot(
                "all_params",
                protocol,
                &Case {
                    params: params.clone(),
                    ..Case::default()
                },
            );
            let stream = Params {
                stream: Some(true),
                ..Params::default()
            };
            snapshot(
                "stream",
                protocol,
                &Case {
                    params: stream,
                    ..Case::default()
                },
            );
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
            let extra = BTreeMap::from([("store".to_owned(), json!(true))]);
            let params = Params {
                stream: Some(true),
                extra,
                ..params
            };
            snapshot(
                "dialect",
                protocol,
                &Case {
                    params,
                    options,
                    ..Case::default()
                },
            );
        }
        let system = Case {
            system: Some("Be brief."),
            ..Case::default()
        };
        snapshot("system", WireProtocol::OpenaiChat, &system);
    }

    #[test]
    fn usage_of_streams_is_asked_for_unless_told_anyway() {
        for (told, is_asked) in [
            (None, true),
            (Some(StreamUsage::Option), true),
            (Some(StreamUsage::Always), false),
            (Some(StreamUsage::Never), false),
        ] {
            for stream in [None, Some(false), Some(true)] {
                let case = Case {
                    params: Params {
                        stream,
                        ..Params::default()
                    },
                    options: WireOptions {
                        stream_usage: told,
                        ..WireOptions::default()
                    },
                    ..Case::default()
                };
                let request = asked(WireProtocol::OpenaiChat, &case).unwrap();
                let expected = (stream == Some(true) && is_asked).then_some(true);
                let asked = body(&request)["stream_options"]["include_usage"].as_bool();
                assert_eq!(asked, expected, "{told:?} {stream:?}");
                assert_eq!(request.streamed, stream == Some(true));
            }
        }
    }

    #[test]
    fn logprobs_in_the_words_of_each_protocol() {
        for (protocol, asked_for, expected) in [
            (BOTH[0], 0, json!([true, null])),
            (BOTH[0], 20, json!([true, 20])),
            (BOTH[1], 0, json!([0, null])),
            (BOTH[1], 5, json!([5, null])),
        ] {
            let params = Params {
                logprobs: Some(asked_for),
                ..Params::default()
            };
            let body = body(
                &asked(
                    protocol,
                    &Case {
                        params,
                        ..Case::default()
                    },
                )
                .unwrap(),
            );
            assert_eq!(json!([body["logprobs"], body["top_logprobs"]]), expected);
        }
    }

    #[test]
    fn a_seed_is_sent_exactly() {
        let params = Params {
            seed: Some(i64::MIN + 1),
            ..Params::default()
        };
        let request = asked(
            BOTH[0],
            &Case {
                params,
                ..Case::default()
            },
        )
        .unwrap();
        assert_eq!(body(&request)["seed"].as_i64(), Some(i64::MIN + 1));
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
        let with = |params: Params| Case {
            params,
            ..Case::default()
        };
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

    fn holds_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(holds_null),
            Value::Object(fields) => fields.values().any(holds_null),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    fn params() -> impl Strategy<Value = Params> {
        let maybe = prop::option::of::<BoxedStrategy<f64>>;
        let further = prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from)];
        (
            (
                maybe(any::<f64>().boxed()),
                maybe((0.0..1.0).boxed()),
                any::<Option<u32>>(),
            ),
            (
                any::<Option<u32>>(),
                any::<Option<i64>>(),
                any::<Option<bool>>(),
            ),
            prop::option::of(prop::collection::vec(".*", 0..3)),
            prop::collection::btree_map("[a-z]{3,9}", further, 0..4),
        )
            .prop_map(
                |((temperature, min_p, top_k), (max_tokens, seed, stream), stop, extra)| Params {
                    temperature,
                    min_p,
                    top_k,
                    max_tokens,
                    seed,
                    stream,
                    stop,
                    extra,
                    ..Params::default()
                },
            )
    }

    proptest! {
        #[test]
        fn nothing_is_null_and_nothing_unasked(params in params()) {
            let case = Case { params: params.clone(), ..Case::default() };
            if let Ok(request) = asked(WireProtocol::OpenaiChat, &case) {
                let body = body(&request);
                prop_assert!(!holds_null(&body));
                let fields = body.as_object().unwrap();
                let asked_for = [
                    ("temperature", params.temperature.is_some()),
                    ("min_p", params.min_p.is_some()),
                    ("top_k", params.top_k.is_some()),
                    ("max_tokens", params.max_tokens.is_some()),
                    ("seed", params.seed.is_some()),
                ];
                for (name, is_asked) in asked_for {
                    prop_assert_eq!(fields.contains_key(name), is_asked, "{}", name);
                }
                let known = ["model", "messages", "stop", "stream", "stream_options"];
                for name in fields.keys() {
                    let is_known = known.contains(&name.as_str())
                        || asked_for.iter().any(|(known, _)| known == name)
                        || params.extra.contains_key(name);
                    prop_assert!(is_known, "{}", name);
                }
                // The parameters are the body without the prompt.
                let mut rest = fields.clone();
                rest.remove("messages");
                let told: Value = serde_json::from_str(&request.request_params).unwrap();
                prop_assert_eq!(told.as_object().unwrap().len(), rest.len());
            } else {
                prop_assert!(params.temperature.is_some_and(|t| !t.is_finite()));
            }
        }
    }
}
