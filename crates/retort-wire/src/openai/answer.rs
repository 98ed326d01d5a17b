//! Puts an answer together, whole or chunk by chunk.

use retort_types::catalog::WireOptions;
use retort_types::reply::TokenLogprob;
use retort_types::{Timestamp, WireProtocol};
use serde_json::value::RawValue;

use super::body::{Body, Choice, Groq};
use super::logprobs::{self, Cut};
use super::message::Content;
use super::speech::Speech;
use super::usage;
use crate::decode::{Assembled, Fault};
use crate::draft::{Draft, Drafted, keep_first};
use crate::errors::is_told;
use crate::lenient::Object;

/// Puts one answer together.
pub(crate) struct Assembler {
    protocol: WireProtocol,
    draft: Draft,
    speech: Speech,
    /// Whether the stream's last word was seen, or the body was whole.
    is_done: bool,
}

impl Assembler {
    pub(crate) fn new(protocol: WireProtocol, options: &WireOptions, now: Timestamp) -> Self {
        let mut draft = Draft::new(now);
        draft.has_think_tags = protocol == WireProtocol::OpenaiChat;
        Self {
            protocol,
            draft,
            speech: Speech::new(options.reasoning_fields.as_deref()),
            is_done: false,
        }
    }

    /// Reads an answer or a chunk of one; returns whether it is JSON of the expected kind.
    fn read(&mut self, text: &str) -> bool {
        self.read_without_logprobs(text).is_some()
            || body_of(text)
                .map(|body| self.read_body(body, text, None))
                .is_some()
    }

    /// Reads an answer whose log probabilities are of the usual shape.
    fn read_without_logprobs(&mut self, text: &str) -> Option<()> {
        let Cut { rest, at, tokens } = logprobs::cut(text)?;
        let body = body_of(&rest)?;
        let place = rest.get(at..)?;
        let mut taken = Taken { place, tokens };
        let choices = body.choices.0.iter().flatten();
        let mut told = choices.filter_map(|choice| choice.0.as_ref()?.logprobs);
        told.any(|raw| taken.is_from(raw)).then_some(())?;
        self.read_body(body, text, Some(&mut taken));
        Some(())
    }

    /// Reads the `body` of `text`, and the log probabilities that were taken out of it.
    fn read_body(&mut self, body: Body<'_>, text: &str, mut taken: Option<&mut Taken<'_>>) {
        let was_finished = self.draft.reply.finish_reason_raw.is_some();
        self.describe(&body);
        let groq = body.x_groq.and_then(|raw| {
            let groq = serde_json::from_str::<Object<Groq<'_>>>(raw.get());
            groq.ok()?.0
        });
        for raw in [body.usage, groq.as_ref().and_then(|groq| groq.usage)]
            .into_iter()
            .flatten()
        {
            usage::read(raw.get(), &mut self.draft.reply);
        }
        let errors = [body.error, groq.and_then(|groq| groq.error)];
        let mut has_error = errors.into_iter().flatten().any(|raw| is_told(raw.get()));
        let is_bare_error = [&body.object, &body.kind]
            .iter()
            .any(|word| word.told() == Some("error"));
        has_error |= body.choices.0.is_none() && is_bare_error;
        for choice in body
            .choices
            .0
            .unwrap_or_default()
            .into_iter()
            .filter_map(|choice| choice.0)
        {
            if choice.index.0.is_none_or(|index| index == 0.0) {
                self.choice(&choice, taken.as_deref_mut());
                has_error |= choice.error.is_some_and(|raw| is_told(raw.get()));
            }
        }
        if has_error {
            self.draft.fail_with(text, was_finished);
        }
    }

    fn describe(&mut self, body: &Body<'_>) {
        self.draft.describe(&body.id, &body.model);
        let reply = &mut self.draft.reply;
        keep_first(&mut reply.system_fingerprint, &body.system_fingerprint);
        keep_first(&mut reply.upstream_provider, &body.provider);
    }

    /// Reads the first choice.
    fn choice(&mut self, choice: &Choice<'_>, taken: Option<&mut Taken<'_>>) {
        let is_whole = self.draft.since_sent.is_none();
        let said = &mut self.draft.said;
        let (delta, message) = (choice.delta.0.as_ref(), choice.message.0.as_ref());
        let message = if is_whole {
            message.or(delta)
        } else {
            // A whole message beside or after deltas repeats them.
            delta.or(message.filter(|_| said.spoken_bytes() == 0))
        };
        let is_raw = self.protocol == WireProtocol::OpenaiCompletions;
        let raw_text = choice.text.filter(|_| is_raw || message.is_none());
        self.draft.has_answer |= match (raw_text, message) {
            (Some(raw), _) => self.speech.add_content(said, &Content::of(raw.get())),
            (None, Some(message)) => self.speech.add(said, message, is_whole),
            (None, None) => false,
        };
        // Some servers write "null" in every chunk but the last.
        if let Some(reason) = choice
            .finish_reason
            .told()
            .filter(|reason| *reason != "null")
        {
            self.draft.stop(reason);
            self.draft.has_ended = true;
        }
        let arrived_ms = self.draft.arrived_ms();
        let tokens = &mut self.draft.tokens;
        let added = match (choice.logprobs, taken) {
            (Some(raw), Some(taken)) if taken.is_from(raw) => {
                tokens.extend(std::mem::take(&mut taken.tokens), arrived_ms)
            }
            (Some(raw), _) => tokens.add(raw.get(), arrived_ms),
            (None, _) => Ok(()),
        };
        if added.is_err() {
            self.draft.make_faulty(Fault::TooLarge);
        }
        if let Some(raw) = choice.usage {
            usage::read(raw.get(), &mut self.draft.reply);
        }
    }
}

fn body_of(text: &str) -> Option<Body<'_>> {
    serde_json::from_str::<Object<Body<'_>>>(text).ok()?.0
}

/// Log probabilities that were taken out of an answer.
struct Taken<'a> {
    /// The rest of the answer, from where they stood.
    place: &'a str,
    tokens: Vec<TokenLogprob>,
}

impl Taken<'_> {
    /// Returns whether `raw`, a part of the same rest, stands where they stood.
    fn is_from(&self, raw: &RawValue) -> bool {
        std::ptr::eq(self.place.as_ptr(), raw.get().as_ptr())
    }
}

impl Drafted for Assembler {
    fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    fn read_whole(&mut self, text: &str) {
        self.is_done = self.read(text);
        self.draft.has_ended |= self.is_done;
    }

    fn read_event(&mut self, name: &str, data: &str) -> bool {
        let data = data.trim();
        if self.is_done {
            return true;
        }
        if data == "[DONE]" {
            self.is_done = true;
            self.draft.has_ended = true;
            return true;
        }
        let is_error = name == "error";
        (!is_error && self.read(data)) || self.draft.read_unexpected(name, data)
    }

    fn has_last_word(&self) -> bool {
        self.is_done
    }

    fn assembled(self) -> Assembled {
        self.draft.finish_as_told()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Reads `text` as it comes, or as one whose log probabilities are not taken out before.
    fn read(text: &str, takes_out: bool) -> (bool, Assembler) {
        let now = Timestamp::from_micros(0);
        let mut assembler = Assembler::new(WireProtocol::OpenaiChat, &WireOptions::default(), now);
        let is_read = if takes_out {
            assembler.read(text)
        } else {
            let body = body_of(text);
            body.map(|body| assembler.read_body(body, text, None))
                .is_some()
        };
        (is_read, assembler)
    }

    fn check(text: &str) -> Assembler {
        let (is_read, assembler) = read(text, true);
        let (is_read_thoroughly, thorough) = read(text, false);
        assert_eq!(is_read, is_read_thoroughly, "{text}");
        assert_eq!(assembler.draft.reply, thorough.draft.reply, "{text}");
        let (tokens, thorough) = (&assembler.draft.tokens, &thorough.draft.tokens);
        assert_eq!(tokens.list, thorough.list, "{text}");
        assembler
    }

    fn token(text: &str) -> serde_json::Value {
        let top = json!([{ "token": text, "logprob": -0.25, "bytes": text.as_bytes() },
            { "token": "\u{1f600}\n", "logprob": -2e-3, "bytes": null }]);
        json!({ "token": text, "logprob": -1.5, "bytes": null, "top_logprobs": top })
    }

    #[test]
    fn log_probabilities_are_taken_from_where_they_belong() {
        let told = json!({ "content": [token("a"), token("b")], "refusal": null });
        let is_taken = |text: &str| read(text, true).1.read_without_logprobs(text).is_some();
        let choice = json!({ "index": 0, "message": { "content": "ab" }, "logprobs": told });
        let usual = json!({ "choices": [choice], "usage": { "prompt_tokens": 7 } });
        for text in [
            usual.to_string(),
            serde_json::to_string_pretty(&usual).unwrap(),
        ] {
            assert!(is_taken(&text));
            assert_eq!(check(&text).draft.tokens.list.len(), 2);
        }
        // Elsewhere, they are part of what is kept as it came, or belong to nobody.
        for (before, is_usual) in [
            (format!(r#""usage":{{"logprobs":{told}}}"#), false),
            (format!(r#""logprobs":{told}"#), false),
            (r#""a":"\"logprobs\":{}""#.to_owned(), true),
            (r#""\"logprobs":{"content":[]}"#.to_owned(), false),
            (r#""a":"logprobs""#.to_owned(), false),
            (r#""a":{}"#.to_owned(), true),
        ] {
            let text = format!(r#"{{{before},"choices":[{choice}]}}"#);
            assert_eq!(is_taken(&text), is_usual, "{text}");
            assert_eq!(check(&text).draft.tokens.list.len(), 2);
        }
        let second = format!(r#"{{"index":1,"logprobs":{told}}}"#);
        let text = format!(r#"{{"choices":[{second},{choice}]}}"#);
        assert!(is_taken(&text));
        assert_eq!(check(&text).draft.tokens.list.len(), 2);
        let text = format!(r#"{{"choices":[{{"message":{{"logprobs":{told}}}}}]}}"#);
        assert!(!is_taken(&text));
        assert!(check(&text).draft.tokens.list.is_empty());
    }

    #[test]
    fn no_damage_is_read_over() {
        let choice = json!({ "message": { "content": "a\"" },
            "logprobs": { "content": [token("a\"")], "refusal": null } });
        let whole: Vec<char> = json!({ "choices": [choice] }).to_string().chars().collect();
        let new = "[]{},:\"\\0123.eE+-tn \u{e9}\u{1}".chars().map(Some);
        let new: Vec<Option<char>> = new.chain([None]).collect();
        for place in 0..whole.len() {
            for (new, taken) in new.iter().flat_map(|new| [(new, 0), (new, 1)]) {
                let mut text = whole.clone();
                text.splice(place..place + taken, *new);
                check(&text.into_iter().collect::<String>());
            }
        }
    }
}
