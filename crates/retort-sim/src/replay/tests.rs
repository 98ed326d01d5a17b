//! Tests of recordings.

use std::fs::File;

use arrow::array::{
    ArrayRef, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, StructBuilder,
};
use arrow::datatypes::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::model::join;

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let file = File::create(path).expect("the folder is temporary");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a plain schema");
    writer.write(&batch).expect("a batch of that schema");
    writer.close().expect("a complete file");
}

fn texts(texts: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

fn ask(input: PromptInput, seed: Option<i64>) -> Ask {
    Ask {
        input,
        temperature: 1.0,
        seed,
        draw: 0,
        sample_id: None,
        max_tokens: None,
        top_logprobs: None,
    }
}

fn user(prompt: &str) -> PromptInput {
    PromptInput::Messages(vec![message("user", prompt)])
}

fn message(role: &str, content: &str) -> Message {
    Message {
        role: role.to_owned(),
        content: content.to_owned(),
    }
}

fn reply(models: &ReplayModels, model: &str, ask: &Ask) -> Option<String> {
    let made = models.model(model)?.answer(ask).ok()?;
    Some(join(&made.tokens))
}

#[test]
fn plain_columns_are_replayed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.parquet");
    write(
        &path,
        vec![
            (
                "model",
                texts(&[Some("a"), Some("a"), Some("a"), Some("b")]),
            ),
            (
                "instruction",
                texts(&[Some("x"), Some("x"), Some("y"), Some("x")]),
            ),
            (
                "output",
                texts(&[Some("second"), Some("first, é"), None, Some("b's")]),
            ),
            ("repeat", Arc::new(Int64Array::from(vec![1, 0, 0, 0]))),
        ],
    );
    let models = ReplayModels::open(&path).unwrap();
    assert_eq!((models.models(), models.rows()), (vec!["a", "b"], 4));
    assert_eq!((models.samples(), models.prompts().len()), (2, 2));
    for expected in ["first, é", "second", "first, é"] {
        let said = reply(&models, "a", &ask(user("x"), None));
        assert_eq!(said.as_deref(), Some(expected));
    }
    for _ in 0..2 {
        let said = reply(&models, "a", &ask(user("x"), Some(1)));
        assert_eq!(said.as_deref(), Some("second"));
        let said = reply(&models, "b", &ask(user("x"), None));
        assert_eq!(said.as_deref(), Some("b's"));
    }
    let sample = |id: &str| Ask {
        sample_id: Some(id.to_owned()),
        ..ask(user("x"), None)
    };
    for (id, expected) in [("s1", "second"), ("s2", "first, é"), ("s1", "second")] {
        let said = reply(&models, "a", &sample(id));
        assert_eq!(said.as_deref(), Some(expected));
    }
    assert_eq!(
        reply(&models, "a", &ask(user("y"), None)).as_deref(),
        Some("")
    );
    assert_eq!(reply(&models, "b", &ask(user("y"), None)), None);
    let text = PromptInput::Text("x".to_owned());
    assert_eq!(
        reply(&models, "b", &ask(text, None)).as_deref(),
        Some("b's")
    );
}

#[test]
fn our_own_columns_are_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let fields = Fields::from(vec![
        Field::new("role", DataType::Utf8, true),
        Field::new("content", DataType::Utf8, true),
    ]);
    let mut lists = ListBuilder::new(StructBuilder::from_fields(fields, 4));
    let conversations: [&[(&str, &str)]; 3] = [
        &[("user", "plain")],
        &[("system", "be brief"), ("user", "hi")],
        &[("user", "plain")],
    ];
    for conversation in conversations {
        for (role, content) in conversation {
            let entry = lists.values();
            for (at, text) in [role, content].into_iter().enumerate() {
                let column = entry.field_builder::<StringBuilder>(at);
                column.expect("a text column").append_value(text);
            }
            entry.append(true);
        }
        lists.append(true);
    }
    std::fs::create_dir(folder.path().join("part")).unwrap();
    write(
        &folder.path().join("part/one.parquet"),
        vec![
            ("model", texts(&[Some("m"), Some("m"), Some("m")])),
            ("messages", Arc::new(lists.finish())),
            ("response_text", texts(&[Some("ok"), Some("hello"), None])),
            (
                "outcome",
                texts(&[Some("answered"), Some("answered"), Some("gave_up")]),
            ),
        ],
    );
    let models = ReplayModels::open(folder.path()).unwrap();
    assert_eq!(models.rows(), 2);
    let brief = |system: &str, prompt: &str| {
        PromptInput::Messages(vec![message("system", system), message("user", prompt)])
    };
    let said = |input| reply(&models, "m", &ask(input, None));
    assert_eq!(said(brief("be brief", "hi")).as_deref(), Some("hello"));
    assert_eq!(said(brief("another", "hi")), None);
    assert_eq!(said(brief("another", "plain")).as_deref(), Some("ok"));
    assert_eq!(said(user("hi")), None);

    let campaign = models.campaign(CampaignId::new("rehearsal").unwrap());
    let inline = campaign.suites[0].inline.as_ref().unwrap();
    assert_eq!(inline.prompts.len(), 2);
    assert_eq!(campaign.suites[0].samples.get(), 1);
    assert!(models.spec().check().is_ok());
}

#[test]
fn recordings_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.parquet");
    let reason = |path: &Path| match ReplayModels::open(path) {
        Err(SimError::Recording { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(&path).contains("No such file"));
    assert_eq!(reason(folder.path()), "it holds no answered rows");
    write(&path, vec![("model", texts(&[Some("m")]))]);
    assert_eq!(
        reason(&path),
        "column `response_text` or `output` is missing"
    );
    std::fs::write(&path, b"not parquet at all").unwrap();
    assert!(!reason(&path).is_empty());
}
