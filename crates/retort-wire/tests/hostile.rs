//! Whatever arrives, in whatever pieces, is decoded without a panic and alike.

mod frames;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use retort_types::catalog::WireOptions;
use retort_types::{Outcome, Timestamp, WireProtocol};
use retort_wire::{AnswerHead, BodyEnd, Decoded, Decoder};

/// Returns answers to begin from, so that changes to them reach deep.
fn own(protocol: WireProtocol) -> Vec<Vec<u8>> {
    let texts = match protocol {
        WireProtocol::OpenaiChat | WireProtocol::OpenaiCompletions => CHATS,
        WireProtocol::OpenaiResponses => RESPONSES,
        WireProtocol::AnthropicMessages => MESSAGES,
        WireProtocol::Gemini => GEMINI,
        WireProtocol::BedrockConverse => CONVERSATIONS,
        WireProtocol::CohereV2 => COHERE,
        WireProtocol::Ollama => OLLAMA,
    };
    let mut seeds = bytes_of(texts);
    if protocol == WireProtocol::BedrockConverse {
        seeds.extend(FRAMES.iter().map(|lines| framed(lines.as_bytes())));
    }
    seeds
}

fn bytes_of(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Returns lines of `bytes`, each a name and a payload, as frames with right sums. Lines are what is
/// changed where something within a frame is to be reached.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let frames = lines.map(|line| {
        let at = line.iter().position(|byte| *byte == b' ');
        let (name, payload) = line.split_at(at.unwrap_or(line.len()));
        frames::event(name, payload)
    });
    frames.collect::<Vec<_>>().concat()
}

/// Chats and raw completions, which mix their shapes.
const CHATS: &[&str] = &[
    concat!(
        r#"{"id":"r","model":"m","provider":"P","choices":[{"index":0,"finish_reason":"stop","#,
        r#""message":{"role":"assistant","content":"H\u00e4llo \ud83d\ude00","refusal":null,"#,
        r#""reasoning_details":[{"type":"reasoning.text","text":"hm"}]},"logprobs":{"content":["#,
        r#"{"token":"H","logprob":-0.1,"bytes":[72],"top_logprobs":[{"token":"H","logprob":-0.1}]}"#,
        r#"]}}],"usage":{"prompt_tokens":9,"completion_tokens_details":{"reasoning_tokens":1}}}"#,
    ),
    concat!(
        r#"{"choices":[{"text":" there","index":0,"finish_reason":"length","logprobs":{"#,
        r#""tokens":["a"," b"],"token_logprobs":[null,-2.0],"top_logprobs":[null,{" b":-2,"c":-3}]"#,
        r#"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
    ),
    concat!(
        ": keep-alive\r\n\r\n",
        r#"data: {"id":"r","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        "\r\n\r\n",
        r#"data: {"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":"hm"}]}}]}"#,
        "\r\n\r\n",
        r#"data: {"choices":[{"index":0,"delta":{"content":"Hällo"},"finish_reason":"stop"}]}"#,
        "\r\n\r\n",
        r#"data: {"choices":[],"x_groq":{"usage":{"prompt_tokens":3}}}"#,
        "\r\n\r\ndata: [DONE]\r\n\r\n",
    ),
    concat!(
        r#"data: {"choices":[{"index":0,"delta":{"content":"<think>h"}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#,
        "\n\n",
        r#"data: {"error":{"code":429,"message":"Please try again in 1.2s"},"choices":[]}"#,
    ),
];

const RESPONSES: &[&str] = &[
    concat!(
        r#"{"id":"r","model":"m","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"#,
        r#""output":[{"type":"reasoning","summary":[{"text":"s"}],"encrypted_content":"x","content":["#,
        r#"{"type":"reasoning_text","text":"h\u00e4"}]},{"type":"function_call","call_id":"c","name":"f","#,
        r#""arguments":"{}"},{"type":"message","content":[{"type":"output_text","text":"H\ud83d\ude00","#,
        r#""logprobs":[{"token":"H","logprob":-0.1,"bytes":[72],"top_logprobs":[]}]},{"type":"refusal","#,
        r#""refusal":""}]}],"usage":{"input_tokens":9,"output_tokens_details":{"reasoning_tokens":1}}}"#,
    ),
    concat!(
        "event: response.created\r\n",
        r#"data: {"type":"response.created","response":{"id":"r","status":"in_progress","output":[]}}"#,
        "\r\n\r\n",
        r#"data: {"type":"response.reasoning_summary_text.delta","delta":"hm"}"#,
        "\r\n\r\n",
        r#"data: {"type":"response.output_text.delta","delta":"Hä","logprobs":[{"token":"Hä","logprob":-1}]}"#,
        "\r\n\r\n",
        r#"data: {"type":"response.completed","response":{"status":"completed","output":[{"type":"message","#,
        r#""content":[{"type":"output_text","text":"Hä","logprobs":[{"token":"Hä","logprob":-1}]}]}]}}"#,
        "\r\n\r\n",
    ),
    concat!(
        r#"data: {"type":"response.output_text.delta","delta":"Half"}"#,
        "\n\n",
        r#"data: {"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"}}}"#,
        "\n\n",
    ),
];

const MESSAGES: &[&str] = &[
    concat!(
        r#"{"id":"m","type":"message","model":"c","content":[{"type":"thinking","thinking":"h\u00e4"},"#,
        r#"{"type":"redacted_thinking","data":"x"},{"type":"text","text":"H\ud83d\ude00"},"#,
        r#"{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"refusal","#,
        r#""stop_details":{"explanation":"no"},"usage":{"input_tokens":9,"output_tokens":2}}"#,
    ),
    concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":9}}}"#,
        "\n\nevent: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}"#,
        "\n\nevent: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hä"}}"#,
        "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
        "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ),
    concat!(
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t"}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        "\n\nevent: error\n",
        r#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        "\n\n",
    ),
];

const GEMINI: &[&str] = &[
    concat!(
        r#"{"candidates":[{"content":{"parts":[{"text":"h\u00e4","thought":true},{"text":"H\ud83d\ude00","#,
        r#""thoughtSignature":"x"},{"functionCall":{"name":"f","args":{"a":1}}}]},"finishReason":1,"#,
        r#""logprobsResult":{"chosenCandidates":[{"token":"H","logProbability":-0.1}],"topCandidates":["#,
        r#"{"candidates":[{"token":"H","logProbability":-0.1}]}]}}],"modelVersion":"g","responseId":"r","#,
        r#""usageMetadata":{"promptTokenCount":9,"thoughtsTokenCount":3}}"#,
    ),
    concat!(
        r#"data: {"candidates":[{"content":{"parts":[{"text":"Hä"}]},"index":0}]}"#,
        "\r\n\r\n",
        r#"data: {"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9}}"#,
        "\r\n\r\n",
    ),
    concat!(
        r#"[{"candidates":[{"content":{"parts":[{"text":"Hä"}]}}]}"#,
        "\n,\r\n",
        r#"{"candidates":[{"finishReason":"SAFETY"}]}]"#,
    ),
    r#"{"promptFeedback":{"blockReason":"SAFETY","blockReasonMessage":"no"}}"#,
];

const CONVERSATIONS: &[&str] = &[
    concat!(
        r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"#,
        r#""text":"h\u00e4"}}},{"text":"H\ud83d\ude00"},{"toolUse":{"toolUseId":"t","name":"f","input":"#,
        r#"{"a":1}}},{"citationsContent":{"content":[{"text":"c"}]}}]}},"stopReason":"end_turn","#,
        r#""usage":{"inputTokens":9,"outputTokens":2}}"#,
    ),
    r#"{"message":"The security token included in the request is expired"}"#,
];

/// Streams of frames, a line for each: its name and its payload.
const FRAMES: &[&str] = &[
    concat!(
        "messageStart {\"role\":\"assistant\"}\n",
        "contentBlockDelta {\"delta\":{\"reasoningContent\":{\"text\":\"hm\"}}}\n",
        "contentBlockDelta {\"delta\":{\"text\":\"H\\u00e4llo\"}}\n",
        "contentBlockStart {\"start\":{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\"}}}\n",
        "contentBlockDelta {\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}\n",
        "messageStop {\"stopReason\":\"end_turn\"}\n",
        "metadata {\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}",
    ),
    concat!(
        "contentBlockDelta {\"delta\":{\"text\":\"Half\"}}\n",
        "throttlingException {\"message\":\"Please try again in 1.2s\"}",
    ),
];

const COHERE: &[&str] = &[
    concat!(
        r#"{"id":"r","finish_reason":"MAX_TOKENS","message":{"content":[{"type":"thinking","thinking":"#,
        r#""h\u00e4"},{"type":"text","text":"H\ud83d\ude00"}],"tool_calls":[{"id":"t","function":{"#,
        r#""name":"f","arguments":"{}"}}]},"logprobs":[{"text":"a","logprobs":[-0.5,-1e9]}],"#,
        r#""usage":{"billed_units":{"input_tokens":1},"tokens":{"output_tokens":2}}}"#,
    ),
    concat!(
        "event: message-start\r\ndata: {\"type\":\"message-start\",\"id\":\"r\"}\r\n\r\n",
        "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":",
        "{\"thinking\":\"h\"}}},\"logprobs\":{\"text\":\"h\",\"logprobs\":[-1]}}\r\n\r\n",
        "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"Häl\"}}}}\r\n\r\n",
        "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",",
        "\"usage\":{\"tokens\":{\"input_tokens\":1}}}}\r\n\r\ndata: [DONE]\r\n\r\n",
    ),
];

const OLLAMA: &[&str] = &[
    concat!(
        "{\"model\":\"m\",\"message\":{\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n",
        "{\"message\":{\"content\":\"<think>Hä\"},\"logprobs\":[{\"token\":\"H\",\"logprob\":-1}]}\n",
        "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]},\"done\":true,",
        "\"done_reason\":\"length\",\"prompt_eval_count\":3,\"eval_count\":2}\n{\"error\":\"late\"}\n",
    ),
    r#"{"response":"a","thinking":"b","done":true,"eval_count":1}"#,
    "{\"response\":\"a\",\"done\":false}\n{\"error\":\"out of memory\"}",
];

/// Errors in the shapes of every protocol.
const ERRORS: &[&str] = &[
    r#"{"error":{"message":"Please try again in 6m0s.","type":"t","param":null,"code":"c"}}"#,
    r#"[{"error":{"code":400,"status":"S","details":[{"reason":"R"},{"retryDelay":"48.9s"}]}}]"#,
    r#"{"detail":[{"loc":["body","model"],"msg":"bad"}],"message":{"detail":"m"}}"#,
    r#"{"type":"error","error":{"type":"t","details":{"error_code":"c"}},"request_id":"r"}"#,
    r#"{"error":{"code":429,"details":[{"violations":[{"quotaId":"PerDay"}]}]}}"#,
];

/// Bytes that show as text in failures.
#[derive(Clone)]
struct Body(Vec<u8>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

#[derive(Debug, Clone)]
struct Received {
    protocol: WireProtocol,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
    end: u8,
}

fn decode(received: &Received, cuts: &[usize]) -> Decoded {
    let mut headers = HeaderMap::new();
    for (name, value) in &received.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let head = AnswerHead {
        status: received.status,
        headers: &headers,
        received_at: Timestamp::from_micros(1_790_000_000_000_000),
    };
    let mut decoder = Decoder::new(received.protocol, &WireOptions::default(), true, &head);
    let mut rest = received.body.0.as_slice();
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let cut = cuts
            .next()
            .map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
        let (piece, tail) = rest.split_at(cut);
        decoder.push(piece, Duration::ZERO);
        decoder.push(b"", Duration::ZERO);
        rest = tail;
    }
    decoder.finish(match received.end {
        0 => BodyEnd::Complete,
        1 => BodyEnd::Broken("connection reset".to_owned()),
        _ => BodyEnd::TooLarge,
    })
}

fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        any::<u8>(),
        0..5_u8,
        any::<prop::sample::Index>(),
    );
    let changes = prop::collection::vec(change, 0..6);
    (prop::sample::select(seeds), changes).prop_map(|(seed, changes)| {
        let mut bytes = seed;
        for (place, byte, kind, other) in changes {
            if bytes.is_empty() {
                break;
            }
            let (place, other) = (place.index(bytes.len()), other.index(bytes.len()));
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                3 => bytes.swap(place, other),
                _ => bytes.extend_from_within(place.min(other)..place.max(other)),
            }
        }
        bytes
    })
}

/// Returns a protocol and a body: its own, an error, or one of another protocol.
fn body() -> impl Strategy<Value = (WireProtocol, Body)> {
    let protocol = || prop::sample::select(WireProtocol::ALL.to_vec());
    (protocol(), protocol()).prop_flat_map(|(protocol, other)| {
        let within_frames = u32::from(protocol == WireProtocol::BedrockConverse) * 4;
        let bytes = prop_oneof![
            1 => prop::collection::vec(any::<u8>(), 0..200),
            4 => mutated(own(protocol)),
            within_frames => mutated(bytes_of(FRAMES)).prop_map(|lines| framed(&lines)),
            1 => mutated(bytes_of(ERRORS)),
            1 => mutated(own(other)),
        ];
        (Just(protocol), bytes.prop_map(Body))
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        "-?[0-9]{1,25}(\\.[0-9]{1,9})?(e[0-9]{1,4})?",
        "([0-9]{1,9}(\\.[0-9])?(ms|s|m|h|d)){1,3}",
        Just("Tue, 24 Nov 2026 09:00:00 GMT".to_owned()),
        Just("9999-12-31T23:59:59Z".to_owned()),
        Just("text/event-stream".to_owned()),
    ]
}

fn received() -> impl Strategy<Value = Received> {
    let names = vec![
        "date",
        "retry-after",
        "retry-after-ms",
        "content-type",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
        "x-ratelimit-limit-tokens-day",
        "x-ratelimit-reset",
        "anthropic-ratelimit-tokens-reset",
    ];
    let headers = prop::collection::vec((prop::sample::select(names), value()), 0..5);
    let status = prop_oneof![3 => Just(200_u16), 1 => 0..1_000_u16];
    (status, headers, body(), 0..3_u8).prop_map(|(status, headers, (protocol, body), end)| {
        Received {
            protocol,
            status,
            headers,
            body,
            end,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn pieces_do_not_matter(
        received in received(),
        cuts in prop::collection::vec(1_usize..40, 1..5),
    ) {
        let whole = decode(&received, &[]);
        prop_assert_eq!(&decode(&received, &cuts), &whole);
        prop_assert_eq!(&decode(&received, &[1]), &whole);
    }

    #[test]
    fn what_is_decoded_holds_together(received in received()) {
        let decoded = decode(&received, &[]);
        let is_success = (200..300).contains(&received.status);
        if decoded.outcome == Outcome::Answered {
            prop_assert!(is_success);
            prop_assert!(decoded.reply.text.is_some() || decoded.reply.tool_calls.is_some()
                || decoded.reply.reasoning_text.is_some());
        }
        // It goes to files as JSON, and comes back the same.
        let json = serde_json::to_string(&decoded.reply).unwrap();
        prop_assert_eq!(&serde_json::from_str::<retort_types::Reply>(&json).unwrap(), &decoded.reply);
        // No text comes from nowhere, and nothing that is told grows much on the way.
        let body = received.body.0.len();
        let is_bounded = json.len() <= 2_048 + 64 * body;
        prop_assert!(is_bounded, "{} bytes of {body}", json.len());
        let text = decoded.reply.text.as_ref().map_or(0, String::len);
        let reasoning = decoded.reply.reasoning_text.as_ref().map_or(0, String::len);
        prop_assert!(text + reasoning <= 3 * body);
        let wait = decoded.limits.retry_after.unwrap_or_default();
        prop_assert!(wait <= Duration::from_hours(24));
    }
}

#[test]
fn seeds_split_in_two_are_the_same() {
    for protocol in WireProtocol::ALL {
        for seed in own(protocol).into_iter().chain(bytes_of(ERRORS)) {
            let received = Received {
                protocol,
                status: 200,
                headers: Vec::new(),
                body: Body(seed),
                end: 0,
            };
            let whole = decode(&received, &[]);
            for cut in 1..received.body.0.len() {
                assert_eq!(
                    decode(&received, &[cut, usize::MAX]),
                    whole,
                    "{protocol}: {:?} at {cut}",
                    received.body
                );
            }
        }
    }
}

/// Answers without end: each part is a body that goes on with the next for ever.
const ENDLESS: &[&str] = &[
    "a",
    "data: {}\n\n",
    "data: ping\n\n",
    ": keep-alive\n\n",
    "data: {\"type\":\"error\"",
    "[",
    "[{},",
    "{\"a\":",
    "\"",
    "event: a\n",
];

#[test]
fn answers_without_end_are_no_answers() {
    for protocol in WireProtocol::ALL {
        let own = own(protocol);
        for part in bytes_of(ENDLESS).iter().chain(&own) {
            let headers = HeaderMap::new();
            let head = AnswerHead {
                status: 200,
                headers: &headers,
                received_at: Timestamp::from_micros(0),
            };
            let mut decoder = Decoder::new(protocol, &WireOptions::default(), true, &head);
            let piece = part.repeat((1 << 18) / part.len());
            for _ in 0..8 {
                decoder.push(&piece, Duration::ZERO);
            }
            let is_done = decoder.is_done();
            let decoded = decoder.finish(BodyEnd::TooLarge);
            // A whole answer within may have been seen; what never ended must not pass for one.
            assert!(
                is_done || own.contains(part) || decoded.outcome != Outcome::Answered,
                "{protocol}: {}",
                part.escape_ascii()
            );
        }
    }
}
