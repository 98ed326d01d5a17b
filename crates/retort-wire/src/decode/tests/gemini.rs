//! Gemini's answers: whole, as events, and as one list.

use super::*;

const GEMINI: WireProtocol = WireProtocol::Gemini;

fn candidate(parts: &Value, finish_reason: &Value) -> Value {
    json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts},
            "finishReason": finish_reason, "safetyRatings": []}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 29,
            "thoughtsTokenCount": 282, "cachedContentTokenCount": 3, "totalTokenCount": 320},
        "modelVersion": "gemini-x",
        "responseId": "r-1",
    })
}

fn words(text: &str) -> Value {
    json!({"candidates": [{"content": {"parts": [{"text": text}]}}], "responseId": "r-1"})
}

fn read(body: &str) -> Decoded {
    Answer::new(body).protocol(GEMINI).decode()
}

/// Returns these chunks as events, and as the list that comes when events are not asked for.
fn both_framings(chunks: &[Value]) -> [String; 2] {
    let list: Vec<String> = chunks
        .iter()
        .map(|chunk| serde_json::to_string_pretty(chunk).unwrap())
        .collect();
    let list = format!("[{}\n]\n", list.join("\n,\r\n"));
    [events(chunks).replace('\n', "\r\n"), list]
}

#[test]
fn a_whole_answer() {
    let parts = json!([
        {"text": "hm", "thought": true},
        {"text": "Hello ", "thoughtSignature": "Ev"},
        {"text": "there", "thought": false},
        {"executableCode": {"code": "1"}},
    ]);
    let decoded = read(&candidate(&parts, &json!("STOP")).to_string());
    assert_eq!(decoded.outcome, Outcome::Answered);
    let reply = decoded.reply;
    assert_eq!(reply.text.as_deref(), Some("Hello there"));
    assert_eq!(reply.reasoning_text.as_deref(), Some("hm"));
    assert_eq!(reply.served_model.as_deref(), Some("gemini-x"));
    assert_eq!(reply.response_id.as_deref(), Some("r-1"));
    assert_eq!(
        reply.usage,
        Usage {
            input_tokens: Some(9),
            output_tokens: Some(29),
            reasoning_tokens: Some(282),
            cache_read_tokens: Some(3),
            cache_write_tokens: None,
        }
    );
    let parts = json!([{"text": "a", "thoughtSignature": "Ev"}]);
    let reply = read(&candidate(&parts, &json!("STOP")).to_string()).reply;
    assert_eq!(reply.reasoning_source.as_deref(), Some("encrypted"));
    let parts = json!([{"functionCall": {"name": "f", "args": {"a": 1}}}]);
    let reply = read(&candidate(&parts, &json!("STOP")).to_string()).reply;
    assert!(reply.tool_calls.unwrap().contains("\\\"a\\\":1"));
}

/// A finish reason in words or as a number, what it is normalised to and what the answer counts as.
const FINISH_REASONS: &[(&str, FinishReason, Outcome)] = &[
    ("STOP", FinishReason::Stop, Outcome::Answered),
    ("1", FinishReason::Stop, Outcome::Answered),
    ("MAX_TOKENS", FinishReason::MaxTokens, Outcome::Answered),
    ("2", FinishReason::MaxTokens, Outcome::Answered),
    ("SAFETY", FinishReason::ContentFilter, Outcome::Filtered),
    ("3", FinishReason::ContentFilter, Outcome::Filtered),
    ("RECITATION", FinishReason::ContentFilter, Outcome::Filtered),
    ("BLOCKLIST", FinishReason::ContentFilter, Outcome::Filtered),
    (
        "PROHIBITED_CONTENT",
        FinishReason::ContentFilter,
        Outcome::Filtered,
    ),
    ("SPII", FinishReason::ContentFilter, Outcome::Filtered),
    (
        "MODEL_ARMOR",
        FinishReason::ContentFilter,
        Outcome::Filtered,
    ),
    ("LANGUAGE", FinishReason::ContentFilter, Outcome::Filtered),
    ("OTHER", FinishReason::Unknown, Outcome::Answered),
    ("12", FinishReason::Unknown, Outcome::Answered),
];

#[test]
fn finish_reasons() {
    for (raw, normal, outcome) in FINISH_REASONS {
        let reason = raw.parse::<u32>().map_or_else(|_| json!(raw), Value::from);
        let chunk = candidate(&json!([{"text": "a"}]), &reason);
        let framings = both_framings(std::slice::from_ref(&chunk));
        for body in framings.into_iter().chain([chunk.to_string()]) {
            let decoded = read(&body);
            assert_eq!(decoded.outcome, *outcome, "{reason}");
            assert_eq!(decoded.reply.finish_reason, Some(*normal), "{reason}");
            assert_eq!(decoded.reply.finish_reason_raw.as_deref(), Some(*raw));
            assert_eq!(decoded.reply.text.as_deref(), Some("a"), "{reason}");
        }
    }
    for none in [
        json!("FINISH_REASON_UNSPECIFIED"),
        json!(0),
        Value::Null,
        json!(""),
    ] {
        let chunk = candidate(&json!([{"text": "a"}]), &none);
        let streamed = read(&events(std::slice::from_ref(&chunk)));
        assert_eq!(streamed.outcome, Outcome::Cut, "{none}");
        assert_eq!(
            read(&chunk.to_string()).outcome,
            Outcome::Answered,
            "{none}"
        );
    }
}

#[test]
fn a_stream_in_both_framings() {
    let mut last = candidate(&json!([{"text": "lo"}]), &json!("STOP"));
    last["candidates"].as_array_mut().unwrap().push(json!({
        "index": 1, "content": {"parts": [{"text": "another"}]}, "finishReason": "SAFETY",
    }));
    let thought = json!({"candidates": [{"content": {"parts": [{"text": "hm", "thought": true}]}}],
        "usageMetadata": {"promptTokenCount": 9, "thoughtsTokenCount": 5}});
    let usage = json!({"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 30}});
    let replies: Vec<_> = both_framings(&[thought, words("Häl"), last, usage])
        .iter()
        .map(|body| {
            let decoded = read(body);
            assert_eq!(decoded.outcome, Outcome::Answered);
            assert_eq!(decoded.stream_end, Some(StreamEnd::Complete));
            assert_eq!(decoded.reply.text.as_deref(), Some("Hällo"));
            assert_eq!(decoded.reply.reasoning_text.as_deref(), Some("hm"));
            assert_eq!(decoded.reply.usage.output_tokens, Some(30));
            Reply {
                usage_raw: None,
                ..decoded.reply
            }
        })
        .collect();
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn an_answer_that_broke_off_is_never_an_answer() {
    let last = candidate(&json!([{"text": "llo"}]), &json!("STOP"));
    ends::check_cuts(GEMINI, &last.to_string(), |_| false);
    // The last chunk counts once it is whole; its last field is the version.
    let [events, list] = both_framings(&[words("Hä"), last]);
    ends::check_cuts(GEMINI, &events, |arrived| arrived.contains("320}}"));
    ends::check_cuts(GEMINI, &list, |arrived| arrived.contains("320\n  }\n}"));
    let unfinished = both_framings(&[words("Hä")]);
    assert_eq!(read(&unfinished[0]).outcome, Outcome::Cut);
    assert_eq!(read(&unfinished[1]).outcome, Outcome::Undecodable);
    let begun = unfinished[1].trim_end().trim_end_matches(']');
    let cut = Answer::new(begun).protocol(GEMINI).broken().decode();
    assert_eq!(cut.outcome, Outcome::Cut);
    assert_eq!(
        cut.reply.text.as_deref(),
        Some("Hä"),
        "what arrived is kept"
    );
}

#[test]
fn a_withheld_prompt_is_an_error_within_a_success() {
    let feedback = json!({"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "words"});
    let blocked = json!({"promptFeedback": feedback, "modelVersion": "gemini-x",
        "usageMetadata": {"promptTokenCount": 9}});
    for body in both_framings(std::slice::from_ref(&blocked))
        .into_iter()
        .chain([blocked.to_string()])
    {
        let decoded = read(&body);
        assert_eq!(decoded.outcome, Outcome::Filtered);
        assert_eq!(decoded.stream_end, Some(StreamEnd::Error));
        assert_eq!(decoded.reply.text, None);
        assert_eq!(decoded.reply.usage.input_tokens, Some(9));
        let error = decoded.error.unwrap();
        assert_eq!(error.code.as_deref(), Some("PROHIBITED_CONTENT"));
        assert_eq!(error.message.as_deref(), Some("words"));
    }
    let mut told = candidate(&json!([{"text": "a"}]), &json!("STOP"));
    for feedback in [
        json!({"safetyRatings": []}),
        json!({"blockReason": "BLOCK_REASON_UNSPECIFIED"}),
    ] {
        told["promptFeedback"] = feedback;
        assert_eq!(read(&told.to_string()).outcome, Outcome::Answered);
    }
}

#[test]
fn errors_inside_a_success() {
    let error = json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "words"}});
    for body in both_framings(&[words("Half"), error.clone()]) {
        let decoded = read(&body);
        assert_eq!(decoded.outcome, Outcome::Overloaded);
        assert_eq!(decoded.reply.text.as_deref(), Some("Half"));
        assert_eq!(decoded.stream_end, Some(StreamEnd::Error));
    }
    let list = json!([error]).to_string();
    assert_eq!(read(&list).outcome, Outcome::Overloaded);
    let late = both_framings(&[candidate(&json!([{"text": "a"}]), &json!("STOP")), error]);
    for body in late {
        let decoded = read(&body);
        assert_eq!(decoded.outcome, Outcome::Answered);
        assert!(decoded.late_fault.is_some());
    }
    for nothing in ["{}", "[]", "{\"candidates\":[]}", "[{}]"] {
        assert_eq!(read(nothing).outcome, Outcome::Undecodable, "{nothing}");
    }
}

#[test]
fn a_used_up_day_waits_for_the_next() {
    let body = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
    "message": "You exceeded your current quota. Please retry in 48.9s.",
    "details": [
        {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
        {"retryDelay": "48s"},
    ]}});
    let decoded = Answer::new(&body.to_string())
        .protocol(GEMINI)
        .status(429)
        .decode();
    assert_eq!(decoded.outcome, Outcome::RateLimited);
    // It is one in the morning on the Pacific coast.
    assert_eq!(decoded.limits.retry_after, Some(Duration::from_hours(23)));
}

#[test]
fn log_probabilities() {
    let mut body = candidate(&json!([{"text": "ab"}]), &json!("STOP"));
    body["candidates"][0]["logprobsResult"] = json!({
        "chosenCandidates": [
            {"token": "a", "tokenId": 5, "logProbability": -0.5},
            {"token": "b", "tokenId": 6},
        ],
        "topCandidates": [
            {"candidates": [{"token": "c", "logProbability": -0.25},
                {"token": "a", "logProbability": -0.5}, {"token": "d"}]},
        ],
    });
    let tokens = read(&body.to_string()).reply.tokens;
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0].logprob, Some(-0.5));
    assert_eq!(tokens[0].rank, Some(2));
    assert_eq!(tokens[0].top.len(), 2);
    assert_eq!(tokens[0].top[0].token, "c");
    assert_eq!((tokens[1].logprob, tokens[1].top.len()), (None, 0));
    assert_eq!(tokens[0].arrived_ms, None);
    let streamed = read(&events(&[body])).reply.tokens;
    assert!(streamed.iter().all(|token| token.arrived_ms.is_some()));
}

#[test]
fn a_wrong_type_beside_the_text_does_not_lose_it() {
    let parts = json!([{"text": "kept", "thoughtSignature": "x", "thought": false}]);
    let mut whole = candidate(&parts, &json!("STOP"));
    whole["candidates"][0]["logprobsResult"] = json!({"chosenCandidates": []});
    whole["promptFeedback"] = json!({});
    let places = [
        "/modelVersion",
        "/responseId",
        "/usageMetadata",
        "/usageMetadata/promptTokenCount",
        "/promptFeedback",
        "/candidates/0/safetyRatings",
        "/candidates/0/logprobsResult",
        "/candidates/0/logprobsResult/chosenCandidates",
        "/candidates/0/content/role",
        "/candidates/0/content/parts/0/thoughtSignature",
    ];
    check_tolerance(GEMINI, &whole, &places);
    for parts in [
        json!([{"text": 7}]),
        json!(["text"]),
        json!({"text": "text"}),
        json!("text"),
    ] {
        let unreadable = candidate(&parts, &json!("STOP"));
        assert_eq!(
            read(&unreadable.to_string()).outcome,
            Outcome::Undecodable,
            "{parts}"
        );
    }
    let mut unreadable = candidate(&json!([]), &json!("STOP"));
    unreadable["candidates"][0]["content"] = json!("text");
    assert_eq!(read(&unreadable.to_string()).outcome, Outcome::Undecodable);
}

#[test]
fn a_stream_with_too_much_text_is_not_an_answer() {
    check_too_much(GEMINI, words, &[candidate(&json!([]), &json!("STOP"))]);
}
