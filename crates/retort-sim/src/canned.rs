//! Canned models: a small grammar whose every word is a weighted choice in a style of the model.
//!
//! A choice looks at eight words: four the model likes and four the prompt suggests. Their weights
//! are what temperature acts on and what log probabilities tell, so both are consistent.

pub(crate) mod short;

use retort_types::PromptInput;

use crate::manners::Manners;
use crate::mix::{below, key, mix, unit};
use crate::model::{Ask, CannotAnswer, Generation, SimModel, Token, add_tail};
use crate::spec::{ModelSpec, Vocabulary};
use crate::words;

/// Words that a choice looks at.
const CANDIDATES: usize = 8;

/// Probability of the looked-at words together; the rest belongs to the tail of alternatives.
const CANDIDATE_MASS: f64 = 0.98;

/// Temperatures at or below this mean the likeliest word.
const COLD: f64 = 1e-6;

/// How sentences follow each other.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Prose,
    Paragraphs,
    Bullets,
}

/// A model that writes sentences of a small grammar in a style of its own.
#[derive(Debug)]
pub(crate) struct Canned {
    seed: u64,
    vocabulary: Vocabulary,
    sensitivity: f64,
    words: (u32, u32),
    manners: Manners,
    reasoning_words: u32,
    layout: Layout,
    greeting: &'static str,
    farewell: &'static str,
}

impl Canned {
    /// Returns the model of `spec`; `fleet_seed` seeds it when the description does not.
    pub(crate) fn new(spec: &ModelSpec, fleet_seed: u64) -> Self {
        let seed = spec
            .seed
            .unwrap_or_else(|| mix(fleet_seed, key(&spec.name)));
        let layouts = [Layout::Prose, Layout::Paragraphs, Layout::Bullets];
        let pick = |salt, len| below(mix(seed, salt), len);
        Self {
            seed,
            vocabulary: spec.vocabulary,
            sensitivity: spec.temperature_sensitivity,
            words: (spec.words_min, spec.words_max),
            manners: Manners::new(spec),
            reasoning_words: spec.reasoning_words.unwrap_or(0),
            layout: layouts[pick(1, layouts.len())],
            greeting: words::GREETINGS[pick(2, words::GREETINGS.len())],
            farewell: words::FAREWELLS[pick(3, words::FAREWELLS.len())],
        }
    }
}

impl SimModel for Canned {
    fn answer(&self, ask: &Ask) -> Result<Generation, CannotAnswer> {
        if let Some(refusal) = self.manners.withheld(ask) {
            return Ok(refusal);
        }
        let mut writer = Writer::new(self, ask, 0);
        match short::question(ask.last_text()) {
            Some(question) => writer.short(&question),
            None => writer.essay(),
        }
        let mut made = Generation::new(writer.tokens);
        if self.reasoning_words > 0 {
            let mut thinker = Writer::new(self, ask, 1);
            thinker.sentences(self.reasoning_words, Layout::Prose);
            made.reasoning = thinker.tokens;
        }
        Ok(made)
    }
}

/// Returns what an input is for the model: the same input, the same number.
fn prompt_key(input: &PromptInput) -> u64 {
    match input {
        PromptInput::Text(text) => mix(11, key(text)),
        PromptInput::Messages(messages) => messages.iter().fold(12, |sum, message| {
            mix(mix(sum, key(&message.role)), key(&message.content))
        }),
    }
}

/// Writes one text.
struct Writer<'a> {
    model: &'a Canned,
    chat: bool,
    /// Of model and prompt.
    key: u64,
    /// Stream of random numbers; only moves when the temperature is above 0.
    random: u64,
    temperature: f64,
    top: Option<usize>,
    topics: Vec<String>,
    tokens: Vec<Token>,
}

impl<'a> Writer<'a> {
    fn new(model: &'a Canned, ask: &'a Ask, salt: u64) -> Self {
        let key = mix(mix(model.seed, prompt_key(&ask.input)), salt);
        let temperature = ask.temperature * model.sensitivity;
        let seed = ask
            .seed
            .map_or(mix(1, ask.draw), |s| mix(2, s.cast_unsigned()));
        let random = mix(mix(key, seed), ask.temperature.to_bits());
        let mut writer = Self {
            model,
            chat: matches!(ask.input, PromptInput::Messages(_)),
            key,
            random,
            temperature,
            top: ask.top_logprobs.map(|count| count as usize),
            topics: Vec::new(),
            tokens: Vec::new(),
        };
        writer.topics = topics(ask.last_text());
        writer
    }

    fn essay(&mut self) {
        let (least, most) = self.model.words;
        let drawn = if self.temperature > COLD {
            self.random
        } else {
            0
        };
        let span = f64::from(most - least) * unit(mix(mix(self.key, 77), drawn));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 100000"
        )]
        let target = least + span as u32;
        if self.chat {
            self.fixed(self.model.greeting);
        }
        self.sentences(target, self.model.layout);
        if self.chat {
            self.fixed(self.model.farewell);
        }
    }

    /// Writes sentences until there are `target` words.
    fn sentences(&mut self, target: u32, layout: Layout) {
        let mut count = 0;
        let begin = self.tokens.len();
        while self.tokens.len() - begin < target.max(1) as usize {
            match layout {
                Layout::Paragraphs if count % 3 == 0 && !self.tokens.is_empty() => {
                    self.certain("\n\n");
                }
                Layout::Bullets => {
                    self.certain(if self.tokens.is_empty() { "-" } else { "\n-" });
                }
                Layout::Prose | Layout::Paragraphs => {}
            }
            self.sentence();
            count += 1;
        }
    }

    fn sentence(&mut self) {
        let nouns = words::nouns(self.model.vocabulary);
        let pattern = self.choose(1, &words::OPENERS);
        match pattern {
            0 => {
                self.choose(2, &words::ADJECTIVES);
                self.topic(nouns);
                self.choose(4, &words::VERBS_SINGULAR);
                self.fixed("the");
                self.topic(nouns);
            }
            1 | 11 => {
                self.choose(2, &words::ADJECTIVES);
                self.choose(3, nouns);
                self.fixed("can");
                self.choose(5, &words::VERBS);
                self.fixed("the");
                self.topic(nouns);
                self.fixed("without");
                self.choose(6, &words::GERUNDS);
                self.choose(7, &words::PLURALS);
            }
            2 => {
                self.fixed("practice,");
                self.choose(7, &words::PLURALS);
                self.choose(5, &words::VERBS);
                self.choose(7, &words::PLURALS);
                self.clause(nouns);
            }
            3 => {
                self.choose(7, &words::PLURALS);
                self.choose(5, &words::VERBS);
                self.certain(",");
                self.fixed("the");
                self.topic(nouns);
                self.fixed("becomes");
                self.choose(2, &words::ADJECTIVES);
            }
            4 => {
                self.fixed("is");
                self.choose(8, &words::ADVERBS);
                self.choose(2, &words::ADJECTIVES);
                self.fixed("to");
                self.choose(5, &words::VERBS);
                self.fixed("the");
                self.topic(nouns);
            }
            _ => self.plural_sentence(pattern, nouns),
        }
        self.certain(".");
    }

    fn plural_sentence(&mut self, pattern: usize, nouns: &'static [&'static str]) {
        match words::OPENERS[pattern] {
            "For" => self.fixed("example, some"),
            "However," | "Ultimately," => self.fixed("these"),
            _ => {}
        }
        self.choose(2, &words::ADJECTIVES);
        self.choose(7, &words::PLURALS);
        self.choose(8, &words::ADVERBS);
        self.choose(5, &words::VERBS);
        self.fixed("the");
        self.topic(nouns);
        if self.key & 1 == 0 {
            self.clause(nouns);
        } else {
            self.choose(9, &words::PREPOSITIONS);
            self.choose(7, &words::PLURALS);
        }
    }

    fn clause(&mut self, nouns: &'static [&'static str]) {
        self.choose(10, &words::LINKS);
        self.fixed("the");
        self.choose(3, nouns);
        self.choose(4, &words::VERBS_SINGULAR);
        self.choose(7, &words::PLURALS);
    }

    /// Writes a noun, or now and then a word of the prompt.
    fn topic(&mut self, nouns: &'static [&'static str]) {
        let draw = mix(self.key, self.tokens.len() as u64);
        if self.topics.is_empty() || draw.is_multiple_of(3) {
            self.choose(3, nouns);
            return;
        }
        let topic = self.topics[below(draw >> 8, self.topics.len())].clone();
        self.certain_word(&topic);
    }

    /// Writes the words of `text` as tokens that were nearly certain.
    fn fixed(&mut self, text: &str) {
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            self.certain_word(word);
        }
    }

    fn certain_word(&mut self, word: &str) {
        let text = self.spaced(word);
        self.push(text, 0.995_f64.ln(), Vec::new(), 0.005);
    }

    fn certain(&mut self, text: &str) {
        self.push(text.to_owned(), 0.995_f64.ln(), Vec::new(), 0.005);
    }

    /// Returns `word` with a space before it, except at the begin of a chat answer or a paragraph.
    fn spaced(&self, word: &str) -> String {
        let bare = match self.tokens.last() {
            None => self.chat,
            Some(last) => last.text.ends_with('\n'),
        };
        if bare {
            word.to_owned()
        } else {
            let mut text = String::with_capacity(word.len() + 1);
            text.push(' ');
            text.push_str(word);
            text
        }
    }

    /// Chooses a word of `list` for a place of the grammar and writes it. Returns its position.
    fn choose(&mut self, slot: u64, list: &[&'static str]) -> usize {
        let at = self.tokens.len() as u64;
        let (liked, told) = (mix(self.model.seed, slot), mix(mix(self.key, at), slot));
        let mut picks = [0_usize; CANDIDATES];
        let mut logits = [0_f64; CANDIDATES];
        for i in 0..CANDIDATES {
            let source = if i < CANDIDATES / 2 { liked } else { told };
            let mut pick = below(mix(source, i as u64), list.len());
            while picks[..i].contains(&pick) {
                pick = (pick + 1) % list.len();
            }
            picks[i] = pick;
            let fondness = if i < CANDIDATES / 2 {
                2.0 - 0.4 * i as f64
            } else {
                0.0
            };
            logits[i] = fondness + 2.5 * unit(mix(told, 100 + i as u64));
        }
        let chosen = self.draw(&logits);
        let text = self.spaced(list[picks[chosen]]);
        if self.top.is_none() {
            self.push(text, 0.0, Vec::new(), 0.0);
            return picks[chosen];
        }
        let logprobs = log_softmax(&logits);
        let alternatives = picks
            .iter()
            .zip(&logprobs)
            .map(|(pick, logprob)| (self.spaced(list[*pick]), *logprob))
            .collect();
        self.push(text, logprobs[chosen], alternatives, 1.0 - CANDIDATE_MASS);
        picks[chosen]
    }

    /// Returns the position of the drawn one: the likeliest when it is cold.
    fn draw(&mut self, logits: &[f64]) -> usize {
        let (best, most) =
            logits
                .iter()
                .enumerate()
                .fold((0, f64::NEG_INFINITY), |best, (i, logit)| {
                    if *logit > best.1 { (i, *logit) } else { best }
                });
        if self.temperature <= COLD {
            return best;
        }
        // Each option replaces the one held with its share of the weight so far, which in the end
        // is its share of the whole: one exponential per option.
        let (mut total, mut held) = (0.0, best);
        for (i, logit) in logits.iter().enumerate() {
            let weight = ((logit - most) / self.temperature).exp();
            total += weight;
            self.random = mix(self.random, 1);
            if unit(self.random) * total < weight {
                held = i;
            }
        }
        held
    }

    fn push(&mut self, text: String, logprob: f64, alternatives: Vec<(String, f64)>, mass: f64) {
        let mut token = Token {
            text,
            logprob,
            alternatives,
        };
        if let Some(count) = self.top {
            add_tail(&mut token, mass, &words::COMMON, count);
        }
        self.tokens.push(token);
    }

    /// Writes one of the answers to a question of few words.
    fn short(&mut self, question: &short::Question) {
        let options = question.options();
        let style = mix(self.model.seed, question.key());
        let logits: Vec<f64> = (0..options.len())
            .map(|i| 5.0 * unit(mix(style, i as u64)).powi(3) + unit(mix(self.key, i as u64)))
            .collect();
        let chosen = self.draw(&logits);
        let texts: Vec<String> = options.iter().map(|option| self.spaced(option)).collect();
        let logprobs = log_softmax(&logits);
        let (text, logprob) = (texts[chosen].clone(), logprobs[chosen]);
        let mut alternatives = Vec::new();
        if self.top.is_some() {
            alternatives = texts.into_iter().zip(logprobs).collect();
        }
        self.push(text, logprob, alternatives, 1.0 - CANDIDATE_MASS);
    }
}

/// Returns log probabilities of the looked-at words, which share [`CANDIDATE_MASS`].
fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    let shift = most + total.ln() - CANDIDATE_MASS.ln();
    logits.iter().map(|logit| logit - shift).collect()
}

/// Most words of a prompt that become topics.
const TOPICS: usize = 4;

/// Returns the longer words of a prompt, in order.
fn topics(prompt: &str) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    let letters = |word: &&str| word.len() >= 5 && word.bytes().all(|b| b.is_ascii_lowercase());
    for word in prompt.split(|c: char| !c.is_alphanumeric()).filter(letters) {
        if topics.len() < TOPICS && topics.iter().all(|topic| topic != word) {
            topics.push(word.to_owned());
        }
    }
    topics
}

#[cfg(test)]
mod tests;
