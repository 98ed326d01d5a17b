//! What models refuse and what filters withhold, by words of the prompt.

use retort_types::PromptInput;

use crate::model::{Ask, Ended, Generation, Token, add_tail};
use crate::spec::ModelSpec;
use crate::words;

/// What a refusal says.
const REFUSAL: &str = "I'm sorry, but I can't help with that.";

/// How sure a model is of each word of a refusal.
const CERTAINTY: f64 = 0.995;

/// Which prompts a model does not answer.
#[derive(Debug)]
pub(crate) struct Manners {
    refuses: Vec<String>,
    filters: Vec<String>,
}

impl Manners {
    pub(crate) fn new(spec: &ModelSpec) -> Self {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_lowercase()).collect();
        Self {
            refuses: lower(&spec.refuses_containing),
            filters: lower(&spec.filters_containing),
        }
    }

    /// Returns what is said instead of an answer, or nothing when the prompt is answered.
    pub(crate) fn withheld(&self, ask: &Ask) -> Option<Generation> {
        if self.refuses.is_empty() && self.filters.is_empty() {
            return None;
        }
        let prompt = prompt_text(&ask.input).to_lowercase();
        if self.filters.iter().any(|text| prompt.contains(text)) {
            let mut withheld = Generation::new(Vec::new());
            withheld.ended = Ended::Filter;
            return Some(withheld);
        }
        if self.refuses.iter().any(|text| prompt.contains(text)) {
            let mut refusal = Generation::new(refusal(ask));
            refusal.refused = true;
            return Some(refusal);
        }
        None
    }
}

fn refusal(ask: &Ask) -> Vec<Token> {
    let is_chat = matches!(ask.input, PromptInput::Messages(_));
    let word = |(at, word): (usize, &str)| {
        let text = if is_chat && at == 0 {
            word.to_owned()
        } else {
            format!(" {word}")
        };
        let mut token = Token {
            text,
            logprob: CERTAINTY.ln(),
            alternatives: Vec::new(),
        };
        if let Some(count) = ask.top_logprobs {
            add_tail(&mut token, 1.0 - CERTAINTY, &words::COMMON, count as usize);
        }
        token
    };
    REFUSAL.split(' ').enumerate().map(word).collect()
}

/// Returns every text of an input, one per line.
fn prompt_text(input: &PromptInput) -> String {
    match input {
        PromptInput::Text(text) => text.clone(),
        PromptInput::Messages(messages) => {
            let texts: Vec<_> = messages.iter().map(|m| m.content.as_str()).collect();
            texts.join("\n")
        }
    }
}
