//! Files of prompts: every format, and what people read when one is wrong.

use super::*;
use crate::fixtures::{CAMPAIGN, campaign_from, catalog, check, shown};

fn named(id: &str, text: &str) -> PromptSpec {
    PromptSpec::Named(NamedPrompt {
        id: id.to_owned(),
        text: text.to_owned(),
    })
}

fn text(text: &str) -> PromptSpec {
    PromptSpec::Text(text.to_owned())
}

fn talk(id: &str) -> PromptSpec {
    PromptSpec::Conversation(ConversationPrompt {
        id: id.to_owned(),
        messages: vec![Message {
            role: "user".to_owned(),
            content: "Hi".to_owned(),
        }],
    })
}

#[test]
fn a_text_file_has_a_prompt_per_line() {
    let read = parse_prompts("\u{feff}one\r\n\n  two words \n", "a/b.txt").unwrap();
    assert_eq!(read, [text("one"), text("two words")]);
}

#[test]
fn json_lines_hold_texts_objects_and_rows_of_datasets() {
    let lines = r#""plain \u00e9 \ud83d\ude00"
{"id": "a", "text": "named"}
{"text": "unnamed"}

{"messages": [{"role": "user", "content": "Hi"}]}
{"instruction": "Sort.", "input": "", "output": "ignored"}
{"question": "Why?", "id": "q"}
{"prompt": "Once", "id": 5}
"#;
    let expected = [
        text("plain é 😀"),
        named("a", "named"),
        text("unnamed"),
        talk("4"),
        text("Sort."),
        named("q", "Why?"),
        text("Once"),
    ];
    assert_eq!(parse_prompts(lines, "x.jsonl").unwrap(), expected);
    assert_eq!(parse_prompts(lines, "x.NDJSON").unwrap(), expected);
}

#[test]
fn whole_documents_are_lists_or_suites() {
    let yaml = "name: mine\nprompts:\n  - one\n  - {id: a, text: two}\n  - messages: [{role: user, content: Hi}]\n";
    let expected = [text("one"), named("a", "two"), talk("3")];
    assert_eq!(parse_prompts(yaml, "x.yaml").unwrap(), expected);
    let json =
        r#"["one", {"id": "a", "text": "two"}, {"messages": [{"role": "user", "content": "Hi"}]}]"#;
    assert_eq!(parse_prompts(json, "x.json").unwrap(), expected);
}

#[test]
fn mistakes_in_files_are_named_with_place_and_hint() {
    let cases = [
        ("x.csv", "a,b"),
        ("x", "a"),
        ("x.txt", "\n \n"),
        ("x.jsonl", "\"one\"\nplain"),
        ("x.jsonl", "\"one\"\n{\"txt\": \"two\"}"),
        ("x.jsonl", "\"one\"\n{\"text\": \"two\""),
        (
            "x.jsonl",
            "{\"instruction\": \"Sort.\", \"input\": \"3 1 2\"}",
        ),
        ("x.jsonl", "{\"text\": 5}"),
        ("x.jsonl", "{\"id\": \"a\"}"),
        (
            "x.jsonl",
            "{\"id\": \"a\", \"text\": \"t\", \"messages\": []}",
        ),
        ("x.jsonl", "{\"messages\": \"Hi\"}"),
        ("x.jsonl", "{\"messages\": [{\"role\": \"user\"}]}"),
        ("x.yaml", "- one\n- 2\n"),
        ("x.yaml", "prompt: [one]\n"),
        ("x.yaml", "name: a\n"),
        ("x.yaml", "prompts: one\n"),
        ("x.yaml", "just a text\n"),
        ("x.json", "[\"one\",\n \"two]"),
    ];
    let shown: Vec<String> = cases
        .into_iter()
        .map(|(name, content)| {
            let error = parse_prompts(content, name).expect_err(content);
            format!("{content:?}\n{}\n", shown(&error))
        })
        .collect();
    check("files", &shown.join("\n"));
}

fn campaign_with_file(file: &str) -> Campaign {
    let (head, rest) = CAMPAIGN
        .split_once("suites:\n")
        .expect("the fixture has suites");
    let (_, tail) = rest.split_once("arms:\n").expect("the fixture has arms");
    campaign_from(&format!(
        "{head}suites: [{{file: {file}, samples: 2}}]\narms:\n{tail}"
    ))
}

#[test]
fn files_become_part_of_the_campaign() {
    let mut asked = Vec::new();
    let mut read = |name: &str| {
        asked.push(name.to_owned());
        Ok("one\ntwo\n".to_owned())
    };
    let campaign = inline_files(campaign_with_file("more/my-prompts.txt"), &mut read).unwrap();
    assert_eq!(asked, ["more/my-prompts.txt"]);
    let entry = &campaign.suites[0];
    assert_eq!((&entry.file, entry.samples.get()), (&None, 2));
    let inline = entry.inline.as_ref().unwrap();
    assert_eq!(inline.name.as_str(), "my-prompts");
    assert_eq!(inline.prompts, [text("one"), text("two")]);
    assert_eq!(
        crate::Plan::build(campaign, &catalog()).unwrap().len(),
        2 * 2 * 2 * 2 * 2
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let attempt = |file: &str, content: Result<&str, &str>| {
        let mut read = |_: &str| content.map(str::to_owned).map_err(str::to_owned);
        inline_files(campaign_with_file(file), &mut read)
            .unwrap_err()
            .to_string()
    };
    let cases = [
        attempt("no.txt", Err("no such file")),
        attempt("my prompts.txt", Ok("one")),
        attempt("style.txt", Ok("one")),
        attempt("a.yaml", Ok("- one\n- ' '\n")),
        attempt("a.yaml", Ok("- 1\n")),
    ];
    check("inlined", &cases.join("\n"));
}
