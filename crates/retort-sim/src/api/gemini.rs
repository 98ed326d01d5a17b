//! `generateContent` of Gemini, plain and streamed.

use retort_types::{Message, PromptInput};
use serde_json::{Value, json};

use super::asked::{Asked, Facts, message, parts};
use super::content::at_most;
use super::fields::{Field, Object, Wrong};
use super::framing::Event;
use super::{Call, Shape};
use crate::model::{Ended, Generation, Token, join};

/// Most alternatives per token.
const LOGPROBS_MAX: u32 = 20;

/// Most stop texts.
const STOP_MAX: usize = 5;

/// Documented fields of a request that change nothing here.
const IGNORED: [&str; 7] = [
    "cachedContent",
    "labels",
    "model",
    "safetySettings",
    "serviceTier",
    "toolConfig",
    "tools",
];

/// Documented fields of `generationConfig` that change nothing here.
const IGNORED_CONFIG: [&str; 10] = [
    "audioTimestamp",
    "enableEnhancedCivicAnswers",
    "imageConfig",
    "mediaResolution",
    "modelSelectionConfig",
    "responseJsonSchema",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "speechConfig",
];

pub(super) fn read(call: &Call, bytes: &[u8]) -> Result<Asked, Wrong> {
    let mut body = Object::parse(bytes)?.renamed(&camel_name);
    let mut messages = Vec::new();
    if let Some(mut system) = body.object("systemInstruction")? {
        messages.push(message("system", texts(&mut system)?));
        system.text("role")?;
        system.end()?;
    }
    let contents = body.list("contents")?;
    if contents.is_empty() {
        return Err(Wrong::missing("contents"));
    }
    for content in contents {
        messages.push(one_content(content)?);
    }
    let model = call.model.clone().unwrap_or_default();
    let input = PromptInput::Messages(messages);
    let mut asked = Asked::new(Shape::Gemini, model, input);
    asked.framing = call.framing;
    asked.think(true, false);
    if let Some(config) = body.object("generationConfig")? {
        read_config(config, &mut asked)?;
    }
    body.ignore(&IGNORED);
    body.end()?;
    Ok(asked)
}

fn read_config(mut config: Object, asked: &mut Asked) -> Result<(), Wrong> {
    asked.ask.temperature = config.number("temperature", 0.0, 2.0)?.unwrap_or(1.0);
    config.number("topP", 0.0, 1.0)?;
    config.number("topK", 0.0, 1e6)?;
    config.number("presencePenalty", -2.0, 2.0)?;
    config.number("frequencyPenalty", -2.0, 2.0)?;
    asked.ask.max_tokens = config.limit("maxOutputTokens")?;
    asked.ask.seed = config.whole("seed")?;
    asked.stop = config.texts("stopSequences")?;
    if asked.stop.len() > STOP_MAX {
        let path = config.path("stopSequences");
        return Err(Wrong::rule(path, "must hold at most 5 texts"));
    }
    if config.whole("candidateCount")?.is_some_and(|n| n != 1) {
        return Err(Wrong::rule(config.path("candidateCount"), "must be 1"));
    }
    let wanted = config.flag("responseLogprobs")?.unwrap_or(false);
    let top = config.count("logprobs")?;
    if top.is_some() && !wanted {
        let path = config.path("logprobs");
        return Err(Wrong::rule(path, "needs responseLogprobs"));
    }
    let path = config.path("logprobs");
    let top = wanted.then(|| top.unwrap_or(0));
    asked.ask.top_logprobs = at_most(&path, top, LOGPROBS_MAX)?;
    if let Some(mut thinking) = config.object("thinkingConfig")? {
        let told = thinking.flag("includeThoughts")?.unwrap_or(false);
        asked.think(thinking.whole("thinkingBudget")? != Some(0), told);
        thinking.text("thinkingLevel")?;
        thinking.end()?;
    }
    config.ignore(&IGNORED_CONFIG);
    config.end()
}

fn one_content(field: Field) -> Result<Message, Wrong> {
    let mut content = field.object()?;
    let role = match content.text("role")?.as_deref() {
        None | Some("user") => "user",
        Some("model") => "assistant",
        Some(_) => {
            let rule = "must be one of user, model";
            return Err(Wrong::rule(content.path("role"), rule));
        }
    };
    let text = texts(&mut content)?;
    content.end()?;
    Ok(message(role, text))
}

/// Returns the texts of a content's parts; thoughts that a client sends back say nothing here.
fn texts(content: &mut Object) -> Result<String, Wrong> {
    let list = content.list("parts")?;
    if list.is_empty() {
        return Err(Wrong::missing(content.path("parts")));
    }
    let mut joined = String::new();
    for part in list {
        let mut part = part.object()?;
        let text = part.text("text")?;
        let text = text.ok_or_else(|| Wrong::missing(part.path("text")))?;
        if part.flag("thought")? != Some(true) {
            joined.push_str(&text);
        }
        part.text("thoughtSignature")?;
        part.end()?;
    }
    Ok(joined)
}

/// Returns a name in the form that the protocol documents first; it takes both.
fn camel_name(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut chars = part.chars();
        camel.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        camel.push_str(chars.as_str());
    }
    camel
}

/// Writes the documents of one answer.
struct Writer<'a> {
    asked: &'a Asked,
    made: &'a Generation,
    facts: &'a Facts,
}

pub(super) fn document(asked: &Asked, made: &Generation, facts: &Facts) -> Value {
    let writer = Writer { asked, made, facts };
    let thoughts = asked.thoughts(made);
    let mut parts = Vec::new();
    if !thoughts.is_empty() {
        parts.push(part(thoughts, true));
    }
    if !made.tokens.is_empty() {
        parts.push(part(&made.tokens, false));
    }
    writer.whole(&parts, &made.tokens, true)
}

pub(super) fn events(asked: &Asked, made: &Generation, facts: &Facts) -> Vec<Event> {
    let writer = Writer { asked, made, facts };
    let mut out = Vec::new();
    for some in parts(asked.thoughts(made), 1) {
        let document = writer.whole(&[part(some, true)], &[], false);
        out.push(Event::new("", &document).holding(some.len()));
    }
    let silent = made.reasoning.len() - asked.thoughts(made).len();
    for (at, some) in parts(&made.tokens, facts.id).into_iter().enumerate() {
        let document = writer.whole(&[part(some, false)], some, false);
        // Thoughts that are not told take their time all the same.
        let waited = if at == 0 { silent } else { 0 };
        out.push(Event::new("", &document).holding(some.len() + waited));
    }
    let last = if made.ended == Ended::Filter {
        Vec::new()
    } else {
        vec![json!({"text": ""})]
    };
    out.push(Event::new("", &writer.whole(&last, &[], true)));
    out
}

fn part(tokens: &[Token], thought: bool) -> Value {
    let mut part = json!({"text": join(tokens)});
    if thought {
        part["thought"] = json!(true);
    }
    part
}

impl Writer<'_> {
    /// Returns a document with these parts; the last one tells how the answer ended.
    fn whole(&self, parts: &[Value], tokens: &[Token], last: bool) -> Value {
        let mut document = json!({
            "usageMetadata": self.usage(last),
            "modelVersion": self.asked.model,
            "responseId": self.facts.named(""),
        });
        if self.made.ended == Ended::Filter {
            document["promptFeedback"] = json!({"blockReason": "SAFETY"});
            return document;
        }
        let mut content = json!({"role": "model"});
        if !parts.is_empty() {
            content["parts"] = json!(parts);
        }
        let mut candidate = json!({"content": content, "index": 0});
        if last {
            candidate["finishReason"] = json!(match self.made.ended {
                Ended::Stop => "STOP",
                Ended::Length => "MAX_TOKENS",
                Ended::Filter => "SAFETY",
            });
        }
        if self.asked.wants_logprobs() && !tokens.is_empty() {
            let sum: f64 = tokens.iter().map(|token| token.logprob).sum();
            candidate["avgLogprobs"] = json!(sum / tokens.len() as f64);
            candidate["logprobsResult"] = logprobs(tokens);
        }
        document["candidates"] = json!([candidate]);
        document
    }

    /// Returns the counts; those of the answer come with the last document, and none is zero.
    fn usage(&self, last: bool) -> Value {
        let (prompt, answer) = (self.asked.prompt_tokens, self.made.tokens.len() as u64);
        let thoughts = self.made.reasoning.len() as u64;
        let mut usage = json!({
            "promptTokenCount": prompt,
            "totalTokenCount": prompt,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        });
        if last {
            usage["totalTokenCount"] = json!(prompt + answer + thoughts);
        }
        if last && answer > 0 {
            usage["candidatesTokenCount"] = json!(answer);
        }
        if last && thoughts > 0 {
            usage["thoughtsTokenCount"] = json!(thoughts);
        }
        usage
    }
}

fn logprobs(tokens: &[Token]) -> Value {
    let entry = |text: &str, logprob: f64| json!({"token": text, "logProbability": logprob});
    let chosen = tokens.iter().map(|token| entry(&token.text, token.logprob));
    let mut result = json!({"chosenCandidates": chosen.collect::<Vec<_>>()});
    if tokens.iter().any(|token| !token.alternatives.is_empty()) {
        let top = tokens.iter().map(|token| {
            let all = token.alternatives.iter();
            let all = all.map(|(text, logprob)| entry(text, *logprob));
            json!({"candidates": all.collect::<Vec<_>>()})
        });
        result["topCandidates"] = json!(top.collect::<Vec<_>>());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_names_are_understood() {
        assert_eq!(camel_name("system_instruction"), "systemInstruction");
        assert_eq!(camel_name("topP"), "topP");
    }
}
