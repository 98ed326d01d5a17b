//! Errors as providers and gateways word them, and what they come to.

use retort_types::Outcome;
use retort_types::catalog::ErrorOverride;

use super::*;

fn now() -> Timestamp {
    "2026-11-24T09:00:00Z".parse().expect("a time")
}

/// Checks (kind, code, message) of an error body.
#[track_caller]
fn check_words(body: &str, expected: (Option<&str>, Option<&str>, Option<&str>)) {
    let error = read(body, now()).error;
    let ours = (
        error.kind.as_deref(),
        error.code.as_deref(),
        error.message.as_deref(),
    );
    assert_eq!(ours, expected, "{body}");
}

#[test]
fn shapes_of_bodies() {
    check_words(
        r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#,
        (Some("t"), Some("c"), Some("m")),
    );
    check_words(
        r#"{"error":{"message":"m","type":"","code":401}}"#,
        (None, Some("401"), Some("m")),
    );
    check_words(r#"{"error":"m"}"#, (None, None, Some("m")));
    check_words(r#"{"error":["m","n"]}"#, (None, None, Some("m")));
    check_words(r#"{"code":"c","error":"m"}"#, (None, Some("c"), Some("m")));
    check_words(
        r#"{"error":"m","error_type":"validation"}"#,
        (Some("validation"), None, Some("m")),
    );
    check_words(r#"{"message":"m"}"#, (None, None, Some("m")));
    check_words(r#"{"error":true,"message":"m"}"#, (None, None, Some("m")));
    check_words(r#"{"detail":"m"}"#, (None, None, Some("m")));
    check_words(
        r#"{"detail":[{"type":"t","loc":["body","messages",0],"msg":"m","input":"secret prompt"},
            {"loc":[],"msg":"n"},"o",{"x":1}]}"#,
        (None, None, Some("body.messages.0: m; n; o")),
    );
    check_words(
        r#"{"object":"error","message":{"detail":[{"loc":["a"],"msg":"m"}]},"type":"t","code":"c"}"#,
        (Some("t"), Some("c"), Some("a: m")),
    );
    check_words(
        r#"{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}"#,
        (Some("t"), None, Some("m")),
    );
    let google = r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[]}}"#;
    check_words(google, (Some("INVALID_ARGUMENT"), Some("400"), Some("m")));
    check_words(
        &format!("[{google}]"),
        (Some("INVALID_ARGUMENT"), Some("400"), Some("m")),
    );
    check_words(
        r#"{"success":false,"errors":[{"code":7003,"message":"m"}]}"#,
        (None, Some("7003"), Some("m")),
    );
    check_words(
        r#"{"type":"about:blank","title":"t","status":503,"detail":"m"}"#,
        (Some("about:blank"), None, Some("m")),
    );
    check_words(
        r#"{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"m"}}}"#,
        (None, Some("400"), Some("Provider returned error: m")),
    );
    check_words(
        "data: {\"error\":{\"message\":\"m\"}}\n\ndata: [DONE]\n\n",
        (None, None, Some("m")),
    );
    check_words("\"m\"", (None, None, Some("m")));
    check_words("\u{feff} m \n", (None, None, Some("m")));
    check_words("<html>m</html>", (None, None, Some("<html>m</html>")));
    check_words("{\"error\":", (None, None, Some("{\"error\":")));
    check_words("", (None, None, None));
    check_words("{}", (None, None, Some("{}")));
}

#[test]
fn words_are_cut_at_characters() {
    let long = "é".repeat(ERROR_MESSAGE_MAX_CHARS + 5);
    let body = serde_json::json!({"error": {"message": long, "type": long, "code": long}});
    for body in [body.to_string(), long] {
        let error = read(&body, now()).error;
        let length = |text: Option<String>| text.map_or(0, |text| text.chars().count());
        assert_eq!(length(error.message), ERROR_MESSAGE_MAX_CHARS);
        assert!(length(error.kind) <= WORD_MAX_CHARS && length(error.code) <= WORD_MAX_CHARS);
    }
}

#[test]
fn waits_in_bodies() {
    for (body, expected_ms) in [
        (
            r#"{"error":{"message":"Please try again in 20s."}}"#,
            Some(20_000),
        ),
        ("Please retry after 26 seconds.", Some(26_000)),
        (
            r#"[{"error":{"message":"m","details":[{"@type":"Help"},{"retryDelay":"48.9s"}]}}]"#,
            Some(48_900),
        ),
        (
            r#"{"error":{"message":"m","metadata":{"headers":{"X-RateLimit-Reset":"1795510820000"}}}}"#,
            Some(20_000),
        ),
        (
            r#"{"error":{"message":"m","metadata":{"headers":{"X-RateLimit-Reset":1795510820}}}}"#,
            Some(20_000),
        ),
        (
            r#"{"error":{"message":"m","details":[{"retryDelay":48}]}}"#,
            None,
        ),
        ("", None),
    ] {
        let wait = read(body, now()).wait.map(|wait| wait.as_millis());
        assert_eq!(wait, expected_ms, "{body}");
    }
    // A wait that stands behind what is kept still counts.
    let body = format!("{} try again in 7s", "x".repeat(ERROR_MESSAGE_MAX_CHARS));
    assert_eq!(read(&body, now()).wait, Some(Duration::from_secs(7)));
}

fn outcome_of(status: u16, body: &str) -> Outcome {
    outcome(status, &read(body, now()), &[])
}

#[test]
fn statuses_without_words() {
    for (status, expected) in [
        (302, Outcome::ProviderError),
        (400, Outcome::InvalidRequest),
        (401, Outcome::Unauthorized),
        (402, Outcome::QuotaExhausted),
        (403, Outcome::Unauthorized),
        (404, Outcome::NotFound),
        (405, Outcome::InvalidRequest),
        (408, Outcome::Timeout),
        (409, Outcome::ProviderError),
        (410, Outcome::NotFound),
        (413, Outcome::InvalidRequest),
        (422, Outcome::InvalidRequest),
        (424, Outcome::ProviderError),
        (429, Outcome::RateLimited),
        (498, Outcome::Overloaded),
        (500, Outcome::ProviderError),
        (502, Outcome::ProviderError),
        (503, Outcome::Overloaded),
        (504, Outcome::Timeout),
        (524, Outcome::Timeout),
        (529, Outcome::Overloaded),
        (999, Outcome::ProviderError),
    ] {
        for body in [
            "",
            "<html>Gateway</html>",
            r#"{"error":{"message":"Something."}}"#,
        ] {
            assert_eq!(outcome_of(status, body), expected, "{status} {body}");
        }
    }
}

/// Status, body and what they come to.
const WORDS: &[(u16, &str, Outcome)] = &[
    (
        400,
        r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***"}"#,
        Outcome::Unauthorized,
    ),
    (
        400,
        r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
        Outcome::Unauthorized,
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"m","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        Outcome::Unauthorized,
    ),
    (
        400,
        r#"{"error":{"code":"model_not_found","message":"m"}}"#,
        Outcome::NotFound,
    ),
    (
        400,
        r#"{"error":{"message":"x/y is not a valid model ID","code":400}}"#,
        Outcome::NotFound,
    ),
    (
        400,
        r#"{"message":"Invalid model: x","type":"invalid_model","code":"1500"}"#,
        Outcome::NotFound,
    ),
    (
        400,
        r#"{"message":"The provided model identifier is invalid."}"#,
        Outcome::NotFound,
    ),
    (
        400,
        r#"{"error":{"code":"context_length_exceeded","message":"m"}}"#,
        Outcome::ContextLength,
    ),
    (
        400,
        r#"{"error":{"message":"prompt is too long: 200001 tokens > 200000 maximum"}}"#,
        Outcome::ContextLength,
    ),
    (
        400,
        r#"{"message":"This model's maximum context length is 4096 tokens"}"#,
        Outcome::ContextLength,
    ),
    (
        400,
        r#"{"error":{"type":"exceed_context_size_error","message":"m"}}"#,
        Outcome::ContextLength,
    ),
    (
        400,
        r#"{"error":{"message":"The input token count (9) exceeds the maximum number of tokens allowed (8)."}}"#,
        Outcome::ContextLength,
    ),
    (
        422,
        r#"{"error":"Input validation error: `inputs` must have less than 1024 tokens.","error_type":"validation"}"#,
        Outcome::ContextLength,
    ),
    (
        413,
        r#"{"error":{"message":"Request too large for model"}}"#,
        Outcome::InvalidRequest,
    ),
    (
        400,
        r#"{"error":{"code":"content_filter","message":"m"}}"#,
        Outcome::Filtered,
    ),
    (
        400,
        r#"{"error":{"message":"Content Exists Risk"}}"#,
        Outcome::Filtered,
    ),
    (
        403,
        r#"{"error":{"code":403,"message":"Your input was flagged"}}"#,
        Outcome::Filtered,
    ),
    (
        429,
        r#"{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}"#,
        Outcome::QuotaExhausted,
    ),
    (
        429,
        r#"{"error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
        Outcome::QuotaExhausted,
    ),
    (
        400,
        r#"{"error":{"message":"Your credit balance is too low"}}"#,
        Outcome::QuotaExhausted,
    ),
    (
        403,
        r#"{"error":"Your team has used all available credits"}"#,
        Outcome::QuotaExhausted,
    ),
    (
        429,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan","status":"RESOURCE_EXHAUSTED"}}"#,
        Outcome::RateLimited,
    ),
    (
        429,
        r#"{"error":{"code":"rate_limit_exceeded","message":"Request too large: Limit 10, Requested 20"}}"#,
        Outcome::InvalidRequest,
    ),
    (
        429,
        r#"{"error":{"type":"engine_overloaded_error","message":"m"}}"#,
        Outcome::Overloaded,
    ),
    (
        429,
        r#"{"message":"Model is not ready","__type":"ModelNotReadyException"}"#,
        Outcome::Overloaded,
    ),
    (
        500,
        r#"{"error":{"type":"overloaded_error","message":"m"}}"#,
        Outcome::Overloaded,
    ),
    // Words quoted from a prompt do not count where the rule comes from another field.
    (
        422,
        r#"{"detail":[{"loc":["body"],"msg":"bad","input":"credit balance is too low"}]}"#,
        Outcome::InvalidRequest,
    ),
    (
        401,
        r#"{"error":{"message":"maximum context length"}}"#,
        Outcome::Unauthorized,
    ),
];

#[test]
fn words_that_say_more_than_the_status() {
    for (status, body, expected) in WORDS {
        assert_eq!(outcome_of(*status, body), *expected, "{status} {body}");
    }
}

#[test]
fn overrides_go_first() {
    let found = || {
        read(
            r#"{"error":{"code":"C7","message":"Come Back Later"}}"#,
            now(),
        )
    };
    let over = |status, contains: Option<&str>, outcome| ErrorOverride {
        status,
        contains: contains.map(str::to_owned),
        outcome,
    };
    let overrides = [
        over(Some(500), None, Outcome::Timeout),
        over(Some(400), Some("come BACK"), Outcome::Overloaded),
        over(None, Some("c7"), Outcome::Filtered),
    ];
    for (status, expected) in [
        (500, Outcome::Timeout),
        (400, Outcome::Overloaded),
        (422, Outcome::Filtered),
        (200, Outcome::Filtered),
    ] {
        assert_eq!(outcome(status, &found(), &overrides), expected, "{status}");
    }
    assert_eq!(
        outcome(400, &Found::default(), &overrides),
        Outcome::InvalidRequest
    );
    assert_eq!(
        outcome(500, &Found::default(), &overrides),
        Outcome::Timeout
    );
}
