//! In which shapes texts and reasoning come.

use super::*;

/// Message, text, reasoning and its source.
type Shape = (
    &'static str,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
);

const SHAPES: &[Shape] = &[
    (r#"{"content":"Hello"}"#, "Hello", None, None),
    (r#"{"content":""}"#, "", None, None),
    (r#"{"content":null}"#, "", None, None),
    (
        r#"{"content":[{"type":"thinking","thinking":[{"text":"hm"},{"text":"m"}]},
            {"type":"text","text":"He"},{"type":"reference","reference_ids":[1]},
            {"type":"text","text":"llo"}]}"#,
        "Hello",
        Some("hmm"),
        Some("field"),
    ),
    (
        r#"{"content":"a","reasoning_content":"r"}"#,
        "a",
        Some("r"),
        Some("field"),
    ),
    (
        r#"{"content":"a","reasoning":"r"}"#,
        "a",
        Some("r"),
        Some("field"),
    ),
    (
        r#"{"content":"a","reasoning_content":"","reasoning":null}"#,
        "a",
        None,
        None,
    ),
    (
        r#"{"content":"a","reasoning":"r",
            "reasoning_details":[{"type":"reasoning.text","text":"r"}]}"#,
        "a",
        Some("r"),
        Some("field"),
    ),
    (
        r#"{"content":"a","reasoning_details":[{"text":"r"},{"text":"s"},7]}"#,
        "a",
        Some("rs"),
        Some("field"),
    ),
    (
        r#"{"content":"a","reasoning_details":[{"summary":"s"},{"data":"xx"}]}"#,
        "a",
        Some("s"),
        Some("summary"),
    ),
    (
        r#"{"content":"a","reasoning_details":[{"type":"reasoning.encrypted","data":"xx"}]}"#,
        "a",
        None,
        Some("encrypted"),
    ),
    (
        r#"{"content":"<think>r</think>\n\na"}"#,
        "\n\na",
        Some("r"),
        Some("think-tag"),
    ),
    (
        r#"{"content":"\n<think>r</think>a</think>"}"#,
        "a</think>",
        Some("r"),
        Some("think-tag"),
    ),
    (
        r#"{"content":"<think></think>a"}"#,
        "a",
        None,
        Some("think-tag"),
    ),
    (
        r#"{"content":"<think> is a tag"}"#,
        "<think> is a tag",
        None,
        None,
    ),
    (
        r#"{"content":"a <think>r</think>"}"#,
        "a <think>r</think>",
        None,
        None,
    ),
    (
        r#"{"content":"<think>x</think>a","reasoning":"r"}"#,
        "<think>x</think>a",
        Some("r"),
        Some("field"),
    ),
];

#[test]
fn texts_come_in_many_shapes() {
    for (message, text, reasoning, source) in SHAPES {
        let message: Value = serde_json::from_str(message).expect("a message");
        let streamed = stream(std::slice::from_ref(&message), FINISHED);
        for body in [chat(&message, "stop"), streamed] {
            let decoded = decode(&body);
            assert_eq!(decoded.outcome, Outcome::Answered, "{body}");
            assert_eq!(decoded.stream_end, Some(StreamEnd::Complete), "{body}");
            assert_eq!(decoded.reply.text.as_deref(), Some(*text), "{body}");
            assert_eq!(
                decoded.reply.reasoning_text.as_deref(),
                *reasoning,
                "{body}"
            );
            assert_eq!(decoded.reply.reasoning_source.as_deref(), *source, "{body}");
        }
    }
}
