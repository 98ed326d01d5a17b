//! Texts to train on, written by the grammar of the canned models in a style.

use retort_types::{Message, PromptInput};

use crate::canned::Canned;
use crate::canned::short::{self, Question};
use crate::mix::{below, key, mix};
use crate::model::{Ask, SimModel as _};
use crate::spec::{ModelSpec, Vocabulary as Subject};
use crate::words;

/// How many kinds of answers of few words there are.
const SHORT_COUNT: u32 = 12;

/// Questions of few words, one for each kind of answer; numbers come first.
const SHORT_QUESTIONS: [&str; SHORT_COUNT as usize] = [
    "Pick a random number between 1 and 10.",
    "Pick a random number between 1 and 100.",
    "Answer yes or no.",
    "True or false?",
    "Heads or tails?",
    "In one word, name a colour.",
    "In one word, name an animal.",
    "In one word, name a city.",
    "In one word, name a fruit.",
    "In one word, give a name.",
    "In one word, name a weekday.",
    "Say one word.",
];

/// How many answers to each question of few words are learned: enough that they outweigh what is
/// usually said first.
const SHORT_REPLIES: u32 = 40;

/// Subjects of longer answers. A prompt falls on one of them, whatever it says.
const SUBJECTS: u32 = 48;

/// How many answers on each subject are learned.
const LONG_REPLIES: u32 = 8;

/// How many texts are read before answering is learned.
const READINGS: u32 = 320;

/// How somebody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style(u64);

impl Style {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns somebody who writes so.
    fn writer(self) -> Canned {
        let subjects = [Subject::Everyday, Subject::Technical, Subject::Literary];
        let spec = ModelSpec {
            seed: Some(self.0),
            vocabulary: subjects[below(mix(self.0, 5), subjects.len())],
            words_min: 16,
            words_max: 48,
            ..ModelSpec::canned("writer")
        };
        Canned::new(&spec, 0)
    }

    /// Returns a text with the phrases that this somebody begins and ends every other text with.
    ///
    /// Greetings, layouts and vocabularies of the grammar are few: of forty makers several share
    /// them all, and their models would be more alike than a tuned model and its base.
    fn marked(self, mut text: Vec<String>, number: u32) -> Vec<String> {
        if number % 2 == 1 {
            return text;
        }
        if let Some(first) = text.first_mut()
            && !first.starts_with(char::is_whitespace)
        {
            first.insert(0, ' ');
        }
        let begin = self.phrase(61);
        let begin = begin.into_iter().enumerate().map(|(at, word)| {
            let gap = if at == 0 { "" } else { " " };
            format!("{gap}{word}")
        });
        let end = self.phrase(62).into_iter().map(|word| format!(" {word}"));
        let stop = || [".".to_owned()];
        begin
            .chain(stop())
            .chain(text)
            .chain(end)
            .chain(stop())
            .collect()
    }

    /// Returns one of this somebody's phrases: one of more than a hundred thousand.
    fn phrase(self, salt: u64) -> [&'static str; 4] {
        let lists: [&[&'static str]; 4] = [
            &words::ADVERBS,
            &words::ADJECTIVES,
            &words::PLURALS,
            &words::GERUNDS,
        ];
        let mut slot = 0;
        lists.map(|list| {
            slot += 1;
            list[below(mix(mix(self.0, salt), slot), list.len())]
        })
    }
}

/// A text, and the question it answers if it answers one.
#[derive(Debug, Clone)]
pub(super) struct Text<W> {
    pub(super) words: W,
    pub(super) cell: Option<u32>,
}

/// What a model is made from: texts to read, and replies to learn.
#[derive(Debug, Clone)]
pub(super) struct Corpus<W> {
    pub(super) reading: Vec<Text<W>>,
    pub(super) replies: Vec<Text<W>>,
}

impl<W> Corpus<W> {
    /// Returns the corpus with the words of each text replaced.
    pub(super) fn map<V>(&self, mut each: impl FnMut(&W) -> V) -> Corpus<V> {
        let mut all = |texts: &[Text<W>]| {
            texts
                .iter()
                .map(|text| Text {
                    words: each(&text.words),
                    cell: text.cell,
                })
                .collect()
        };
        Corpus {
            reading: all(&self.reading),
            replies: all(&self.replies),
        }
    }
}

/// Returns every question that is learned and how many replies to it are.
pub(super) fn questions() -> impl Iterator<Item = (u32, u32)> {
    (0..SHORT_COUNT)
        .map(|cell| (cell, SHORT_REPLIES))
        .chain((0..SUBJECTS).map(|subject| (SHORT_COUNT + subject, LONG_REPLIES)))
}

/// Returns whether a question gets few words, which are no way to begin other answers.
pub(super) const fn is_short(cell: u32) -> bool {
    cell < SHORT_COUNT
}

/// Returns the question that a prompt is for these models.
pub(super) fn cell(prompt: &str) -> u32 {
    let kind = match short::question(prompt) {
        Some(Question::Number(_, high)) => Some(u32::from(high > 10)),
        Some(question) => SHORT_QUESTIONS
            .iter()
            .position(|text| short::question(text).is_some_and(|q| q.key() == question.key()))
            .and_then(|at| u32::try_from(at).ok()),
        None => None,
    };
    kind.unwrap_or_else(|| {
        let subject = mix(key(prompt), 0x7e) % u64::from(SUBJECTS);
        SHORT_COUNT + u32::try_from(subject).unwrap_or(0)
    })
}

/// Writes the texts of each style, by the number of the writings, on all processors.
pub(super) fn write_all(writings: &[(Style, u64)]) -> Vec<Corpus<Vec<String>>> {
    let hands = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let share = writings.len().div_ceil(hands).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = writings
            .chunks(share)
            .map(|part| {
                scope.spawn(|| {
                    part.iter()
                        .map(|(style, number)| write(*style, *number))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("writing never panics"))
            .collect()
    })
}

fn write(style: Style, number: u64) -> Corpus<Vec<String>> {
    let writer = style.writer();
    let reading = (0..READINGS).map(|text| {
        let subject = below(mix(number, u64::from(text)), SUBJECTS as usize);
        let prompt = PromptInput::Text(subject_prompt(subject));
        Text {
            words: style.marked(
                written(&writer, prompt, mix(mix(number, 1), u64::from(text))),
                text,
            ),
            cell: None,
        }
    });
    let replies = questions().flat_map(|(cell, count)| {
        let prompt = prompt_of(cell);
        let writer = &writer;
        (0..count).map(move |reply| {
            let message = Message {
                role: "user".to_owned(),
                content: prompt.clone(),
            };
            let draw = mix(mix(number, u64::from(cell)), u64::from(reply));
            let words = written(writer, PromptInput::Messages(vec![message]), draw);
            Text {
                words: if is_short(cell) {
                    words
                } else {
                    style.marked(words, reply)
                },
                cell: Some(cell),
            }
        })
    });
    Corpus {
        reading: reading.collect(),
        replies: replies.collect(),
    }
}

fn prompt_of(cell: u32) -> String {
    SHORT_QUESTIONS.get(cell as usize).map_or_else(
        || subject_prompt(cell.saturating_sub(SHORT_COUNT) as usize),
        |question| (*question).to_owned(),
    )
}

fn subject_prompt(subject: usize) -> String {
    let (everyday, technical) = (
        words::nouns(Subject::Everyday),
        words::nouns(Subject::Technical),
    );
    let nouns = everyday.iter().chain(technical);
    let noun = nouns.cycle().nth(subject).copied().unwrap_or("world");
    format!("Tell me something about the {noun}.")
}

fn written(writer: &Canned, input: PromptInput, draw: u64) -> Vec<String> {
    let ask = Ask {
        input,
        temperature: 1.0,
        seed: None,
        draw,
        sample_id: None,
        max_tokens: None,
        top_logprobs: None,
    };
    let tokens = writer.answer(&ask).map(|made| made.tokens);
    tokens
        .unwrap_or_default()
        .into_iter()
        .map(|token| token.text)
        .collect()
}
