//! Whatever arrives, in whatever pieces, is decoded without a panic and alike.

use proptest::prelude::*;

use super::*;
use crate::frames::tests::{event, frame};

/// Answers to begin from, so that changes to them reach deep.
fn seeds(protocol: WireProtocol) -> Vec<Vec<u8>> {
    let text = |text: &str| text.as_bytes().to_vec();
    match protocol {
        WireProtocol::BedrockConverse => vec![
            [
                event("messageStart", r#"{"role":"assistant"}"#),
                event(
                    "contentBlockDelta",
                    r#"{"delta":{"reasoningContent":{"text":"hm"}}}"#,
                ),
                event("contentBlockDelta", r#"{"delta":{"text":"H\u00e4llo"}}"#),
                event("messageStop", r#"{"stopReason":"end_turn"}"#),
                event(
                    "metadata",
                    r#"{"usage":{"inputTokens":1,"outputTokens":2}}"#,
                ),
            ]
            .concat(),
            frame(
                &[
                    (":exception-type", "throttlingException"),
                    (":message-type", "exception"),
                ],
                r#"{"message":"Please try again in 1.2s"}"#,
            ),
            text(concat!(
                r#"{"output":{"message":{"content":[{"text":"a"},{"reasoningContent":{"#,
                r#""reasoningText":{"text":"r"}}}]}},"stopReason":"max_tokens","usage":{}}"#
            )),
            text(r#"{"message":"The security token included in the request is expired"}"#),
        ],
        WireProtocol::CohereV2 => vec![
            text(concat!(
                "event: message-start\r\ndata: {\"type\":\"message-start\",\"id\":\"r\"}\r\n\r\n",
                "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":",
                "{\"thinking\":\"h\"}}},\"logprobs\":{\"text\":\"h\",\"logprobs\":[-1]}}\r\n\r\n",
                "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":",
                "{\"text\":\"Häl\"}}}}\r\n\r\n",
                "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",",
                "\"usage\":{\"tokens\":{\"input_tokens\":1}}}}\r\n\r\ndata: [DONE]\r\n\r\n",
            )),
            text(concat!(
                r#"{"id":"r","finish_reason":"ERROR","message":{"content":[{"type":"text","#,
                r#""text":"a"}]},"logprobs":[{"text":"a","logprobs":[-0.5,-1e9]}]}"#
            )),
        ],
        WireProtocol::Ollama => vec![
            text(concat!(
                "{\"model\":\"m\",\"message\":{\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n",
                "{\"message\":{\"content\":\"<think>Hä\"},\"logprobs\":[{\"token\":\"H\",",
                "\"logprob\":-1,\"top_logprobs\":[]}]}\n",
                "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",",
                "\"prompt_eval_count\":3,\"eval_count\":2}\n{\"error\":\"late\"}\n",
            )),
            text(r#"{"response":"a","thinking":"b","done":true,"eval_count":1}"#),
            text("{\"response\":\"a\",\"done\":false}\n{\"error\":\"out of memory\"}"),
        ],
        WireProtocol::OpenaiChat
        | WireProtocol::OpenaiCompletions
        | WireProtocol::OpenaiResponses
        | WireProtocol::AnthropicMessages
        | WireProtocol::Gemini => unreachable!("not among the protocols of these tests"),
    }
}

fn change(bytes: &mut Vec<u8>, (place, byte, kind, other): (usize, u8, u8, usize)) {
    if bytes.is_empty() {
        return;
    }
    let (place, other) = (place % bytes.len(), other % bytes.len());
    match kind {
        0 => bytes[place] = byte,
        1 => bytes.insert(place, byte),
        2 => drop(bytes.remove(place)),
        3 => bytes.swap(place, other),
        _ => bytes.extend_from_within(place.min(other)..place.max(other)),
    }
}

/// Returns `bytes` in a frame whose sums are right, so that what is in it is read.
fn framed(payload: &[u8]) -> Vec<u8> {
    let payload = String::from_utf8_lossy(payload);
    let names = [
        "contentBlockDelta",
        "contentBlockStart",
        "messageStop",
        "metadata",
    ];
    let name = names[payload.len() % names.len()];
    event(name, &payload)
}

fn answer() -> impl Strategy<Value = Answer> {
    let protocol = prop::sample::select(vec![
        WireProtocol::BedrockConverse,
        WireProtocol::CohereV2,
        WireProtocol::Ollama,
    ]);
    let changes =
        prop::collection::vec((any::<usize>(), any::<u8>(), 0..5_u8, any::<usize>()), 0..6);
    let status = prop_oneof![4 => Just(200_u16), 1 => 0..1_000_u16];
    let noise = prop::collection::vec(any::<u8>(), 0..120);
    let kinds = prop::sample::select(vec![
        "application/json",
        "text/event-stream",
        "application/vnd.amazon.eventstream",
        "application/x-ndjson",
    ]);
    let rest = (any::<usize>(), any::<bool>(), 0..3_u8, 0..4_u8);
    (
        protocol,
        changes,
        status,
        noise,
        prop::option::of(kinds),
        rest,
    )
        .prop_map(
            |(protocol, changes, status, noise, kind, (seed, streamed, end, shape))| {
                let seeds = seeds(protocol);
                let mut body = seeds[seed % seeds.len()].clone();
                match shape {
                    0 => body = noise,
                    1 => body = body.repeat(2),
                    _ => changes.into_iter().for_each(|c| change(&mut body, c)),
                }
                if shape == 3 && protocol == WireProtocol::BedrockConverse {
                    body = framed(&body);
                }
                Answer {
                    protocol,
                    status,
                    headers: kind
                        .map(|kind| ("content-type", kind))
                        .into_iter()
                        .collect(),
                    streamed,
                    body,
                    end: match end {
                        0 => BodyEnd::Complete,
                        1 => BodyEnd::Broken("connection reset".to_owned()),
                        _ => BodyEnd::TooLarge,
                    },
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn pieces_do_not_matter(
        answer in answer(),
        cuts in prop::collection::vec(1_usize..40, 1..5),
    ) {
        let whole = answer.decode();
        prop_assert_eq!(&answer.in_pieces(&cuts), &whole);
        prop_assert_eq!(&answer.in_pieces(&[1]), &whole);
    }

    #[test]
    fn what_is_decoded_holds_together(answer in answer()) {
        let decoded = answer.decode();
        if decoded.outcome == Outcome::Answered {
            prop_assert!((200..300).contains(&answer.status));
            prop_assert_eq!(decoded.stream_end, Some(StreamEnd::Complete));
            prop_assert!(decoded.reply.text.is_some() || decoded.reply.tool_calls.is_some());
        }
        // What is kept is no more than what came.
        let reply = &decoded.reply;
        let kept = [&reply.text, &reply.reasoning_text, &reply.usage_raw];
        let kept: usize = kept.into_iter().flatten().map(String::len).sum();
        // A byte that is no text becomes a character of three.
        prop_assert!(kept <= 3 * answer.body.len() + 16);
        let json = serde_json::to_string(reply).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Reply>(&json).unwrap(), reply);
    }
}
