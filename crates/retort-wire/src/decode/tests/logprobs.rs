//! Log probabilities in both shapes, from both endpoints.

use retort_types::reply::TokenSegment;

use super::*;

#[test]
fn logprobs_in_the_shape_of_chats() {
    let logprobs = json!({"content": [
        {"token": "He", "logprob": -0.1, "bytes": [72, 101], "top_logprobs": [
            {"token": "He", "logprob": -0.1, "bytes": [72, 101]},
            {"token": "She", "logprob": -2.5, "bytes": null}]},
        {"token": "\u{fffd}", "logprob": -1.0, "bytes": [226], "top_logprobs": [
            {"token": "\u{fffd}", "logprob": -3.0, "bytes": [240]},
            {"token": "\u{fffd}", "logprob": -1.0, "bytes": [226]},
            {"token": "x", "logprob": 1e300}, {"logprob": -1}]},
        {"token": "rare", "logprob": -9999.0, "bytes": [1, 999], "top_logprobs": [
            {"token": "common", "logprob": -0.5}]},
    ]});
    let choice = json!({"index": 0, "message": {"content": "He"}, "text": "He",
        "finish_reason": "stop", "logprobs": logprobs});
    let whole = json!({"choices": [choice]}).to_string();
    let streamed = format!("data: {whole}\n\n{DONE}");
    for (body, arrived_ms) in [(whole, None), (streamed, Some(5.0))] {
        for protocol in [CHAT, COMPLETIONS] {
            let tokens = Answer::new(&body).protocol(protocol).decode().reply.tokens;
            let ranks: Vec<_> = tokens.iter().map(|token| token.rank).collect();
            assert_eq!(ranks, [Some(1), Some(1), None]);
            let tops: Vec<_> = tokens.iter().map(|token| token.top.len()).collect();
            assert_eq!(tops, [2, 2, 1]);
            assert_eq!(tokens[0].bytes.as_deref(), Some(b"He".as_slice()));
            assert_eq!(tokens[1].top[0].bytes.as_deref(), Some([226].as_slice()));
            assert_eq!(
                (tokens[2].bytes.as_deref(), tokens[2].logprob),
                (None, Some(-9_999.0))
            );
            assert!(tokens.iter().all(|token| token.arrived_ms == arrived_ms));
            assert!(
                tokens
                    .iter()
                    .all(|token| token.segment == TokenSegment::Response)
            );
        }
    }
}

#[test]
fn logprobs_in_the_shape_of_raw_completions() {
    let body = r#"{"choices":[{"index":0,"text":"Once upon a","finish_reason":"length","logprobs":{
        "tokens":["Once"," upon"," a"],"token_logprobs":[null,-2.0,-0.5],"text_offset":[0,4,9],
        "top_logprobs":[null,{" upon":-2.0," more":-0.25},{" a":-0.5," the":-0.5,"z":"?"}]}}],
        "usage":{"prompt_tokens":2,"completion_tokens":1}}"#;
    for protocol in [CHAT, COMPLETIONS] {
        let tokens = Answer::new(body).protocol(protocol).decode().reply.tokens;
        let segments: Vec<_> = tokens.iter().map(|token| token.segment.as_str()).collect();
        assert_eq!(
            segments,
            ["prompt", "prompt", "response"],
            "the echo is told apart"
        );
        let ranks: Vec<_> = tokens.iter().map(|token| token.rank).collect();
        assert_eq!(ranks, [None, Some(2), Some(1)]);
        let top: Vec<_> = tokens[1].top.iter().map(|top| top.token.as_str()).collect();
        assert_eq!(top, [" more", " upon"], "likeliest first");
        assert_eq!(tokens[2].top.len(), 2);
        assert_eq!(tokens[1].bytes, None);
    }
}

#[test]
fn logprobs_of_reasoning_are_told_apart() {
    let entry = |token: &str| json!({"token": token, "logprob": -0.5});
    let logprobs = json!({"reasoning_content": [entry("r")], "content": [entry("a")]});
    let message = json!({"content": "a", "reasoning_content": "r"});
    let body = json!({"choices": [{"message": message, "logprobs": logprobs}]}).to_string();
    let segments = |body: &str| {
        let tokens = decode(body).reply.tokens;
        tokens
            .iter()
            .map(|token| token.segment.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(segments(&body), ["reasoning", "response"]);
    let tokens: Vec<Value> = ["<think>", "r", "</thi", "nk>", "a"].map(entry).into();
    let body = json!({"choices": [{"message": {"content": "<think>r</think>a"},
        "finish_reason": "stop", "logprobs": {"content": tokens}}]});
    assert_eq!(
        segments(&body.to_string()),
        [
            "reasoning",
            "reasoning",
            "reasoning",
            "reasoning",
            "response"
        ]
    );
}

#[test]
fn more_logprobs_than_are_kept_are_too_large() {
    let entries = vec!["{}"; (1 << 17) + 2].join(",");
    let body = format!(
        r#"{{"choices":[{{"message":{{"content":"a"}},"logprobs":{{"content":[{entries}]}}}}]}}"#
    );
    assert_eq!(decode(&body).outcome, Outcome::Undecodable);
}
