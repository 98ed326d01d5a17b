//! Tests of the corpus.

use super::*;

fn raw(model: &str, id: &str, order: u32, text: &str) -> RawReply {
    RawReply {
        model: model.to_owned(),
        prompt: Prompt {
            suite: "s".to_owned(),
            id: id.to_owned(),
            arm: String::new(),
            mode: Mode::Chat,
        },
        order: (0, order),
        outcome: Outcome::Answered,
        text: text.to_owned(),
        reasoning: None,
        input_tokens: None,
        output_tokens: None,
        row: String::new(),
    }
}

#[test]
fn order_of_the_input_does_not_matter() {
    let mut rows = vec![
        raw("b", "2", 0, "x"),
        raw("a", "1", 1, "second"),
        raw("a", "1", 0, "first"),
        raw("a", "2", 0, "same"),
        raw("a", "2", 0, "also"),
    ];
    let corpus = Corpus::from_replies(rows.clone());
    rows.reverse();
    assert_eq!(Corpus::from_replies(rows), corpus);
    assert_eq!(corpus.models, ["a", "b"]);
    let texts: Vec<&str> = corpus.cell(0, 1).iter().map(|r| r.text.as_str()).collect();
    assert_eq!(texts, ["also", "same"]);
    assert_eq!(corpus.cell(0, 0)[1].draw, 1);
    assert_eq!(corpus.cell(1, 0).len(), 0);
    assert_eq!(corpus.replies_of(1)[0].row, "b/s/2/0");
}

#[test]
fn a_part_keeps_its_replies() {
    let rows = vec![
        raw("a", "1", 0, "x"),
        raw("b", "2", 0, "y"),
        raw("c", "2", 0, "z"),
    ];
    let part = Corpus::from_replies(rows).without(&BTreeSet::from(["a".to_owned()]));
    assert_eq!(part.models, ["b", "c"]);
    assert_eq!(part.prompts.len(), 1);
    assert_eq!(part.cell(1, 0)[0].text, "z");
    assert_eq!(part.model("c"), Some(1));
    assert_eq!(part.model("a"), None);
}

#[test]
fn empty_and_constant_models_are_unfit() {
    let mut rows = Vec::new();
    for number in 0..20 {
        let id = number.to_string();
        rows.push(raw("constant", &id, 0, "hello"));
        rows.push(raw("empty", &id, 0, " \n"));
        rows.push(raw("fit", &id, 0, &format!("answer {number}")));
    }
    let unfit = Corpus::from_replies(rows).unfit();
    let names: Vec<&str> = unfit.iter().map(|unfit| unfit.model.as_str()).collect();
    assert_eq!(names, ["constant", "empty"]);
    assert!(
        unfit[0].reason.contains("1 texts answer 20 prompts"),
        "{unfit:?}"
    );
}
