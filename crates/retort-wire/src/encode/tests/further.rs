//! What is particular to some protocols.

use super::*;

pub(super) fn put(
    protocol: WireProtocol,
    input: &PromptInput,
    case: &Case,
) -> Result<EncodedRequest, EncodeError> {
    encode(&Ask {
        protocol,
        request_model: "some-model",
        input,
        system: case.system,
        params: &case.params,
        options: &case.options,
    })
}

#[test]
fn further_options_join_those_of_the_sample() {
    let mut case = with(Params {
        temperature: Some(0.0),
        top_k: Some(1),
        extra: BTreeMap::from([("options".to_owned(), json!({"num_ctx": 16384}))]),
        ..Params::default()
    });
    let further = json!({"num_ctx": 8192, "top_k": null});
    case.options
        .extra_body
        .insert("options".to_owned(), further);
    let request = asked(WireProtocol::Ollama, &case).unwrap();
    assert_eq!(
        body(&request)["options"],
        json!({"temperature": 0.0, "num_ctx": 16384})
    );
}

#[test]
fn reasoning_in_the_words_of_each_protocol() {
    let (cohere, ollama) = (WireProtocol::CohereV2, WireProtocol::Ollama);
    for (protocol, place, effort, expected) in [
        (cohere, "thinking", "none", json!({"type": "disabled"})),
        (cohere, "thinking", "enabled", json!({"type": "enabled"})),
        (
            cohere,
            "thinking",
            "100",
            json!({"type": "enabled", "token_budget": 100}),
        ),
        (ollama, "think", "none", json!(false)),
        (ollama, "think", "true", json!(true)),
        (ollama, "think", "high", json!("high")),
    ] {
        let case = with(Params {
            reasoning_effort: Some(effort.to_owned()),
            ..Params::default()
        });
        let request = asked(protocol, &case).unwrap();
        assert_eq!(body(&request)[place], expected, "{effort}");
    }
}

#[test]
fn what_does_not_fit_is_an_error_unless_it_is_dropped() {
    let params = |json: Value| serde_json::from_value::<Params>(json).expect("parameters");
    let chat = input(WireProtocol::OpenaiChat);
    let raw = input(WireProtocol::OpenaiCompletions);
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
        let mut case = Case {
            system,
            ..with(params)
        };
        let error = put(protocol, input, &case).expect_err("it does not fit");
        errors.push(format!("{error}; hint: {}", error.hint().unwrap_or("none")));
        let drop_params = asked.as_object().into_iter().flatten();
        case.options.drop_params = drop_params.map(|(name, _)| name.clone()).collect();
        let is_param = matches!(
            error,
            EncodeError::Unsupported { .. }
                | EncodeError::TooManyLogprobs { .. }
                | EncodeError::Effort { .. }
        );
        let is_dropped = put(protocol, input, &case).is_ok();
        assert_eq!(is_dropped, is_param, "{error}");
    }
    insta::assert_json_snapshot!(errors);
}
