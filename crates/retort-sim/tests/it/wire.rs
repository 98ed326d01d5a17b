//! How a test asks in each protocol, and where it finds what it wants in the answer.

use serde_json::{Value, json};

use crate::client::{Reply, with};
use crate::frames;

/// An endpoint that asks a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Chat,
    Responses,
    Messages,
    Gemini,
    GeminiArray,
    Converse,
    Cohere,
    Ollama,
    OllamaGenerate,
}

/// Every endpoint that takes a conversation.
pub(crate) const ALL: [Wire; 9] = [
    Wire::Chat,
    Wire::Responses,
    Wire::Messages,
    Wire::Gemini,
    Wire::GeminiArray,
    Wire::Converse,
    Wire::Cohere,
    Wire::Ollama,
    Wire::OllamaGenerate,
];

/// Token limit of requests that do not care; one protocol needs a limit.
const ENOUGH: u32 = 4_000;

/// What is asked, at temperature 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) model: &'a str,
    pub(crate) system: Option<&'a str>,
    pub(crate) prompt: &'a str,
    pub(crate) most: u32,
    pub(crate) stop: Option<&'a str>,
    pub(crate) stream: bool,
}

impl<'a> Question<'a> {
    pub(crate) fn new(prompt: &'a str) -> Self {
        Self {
            model: "m",
            system: None,
            prompt,
            most: ENOUGH,
            stop: None,
            stream: false,
        }
    }

    fn stops(&self, name: &str) -> Value {
        self.stop.map_or(json!({}), |stop| json!({name: [stop]}))
    }

    fn system_as(&self, name: &str, form: impl Fn(&str) -> Value) -> Value {
        self.system
            .map_or(json!({}), |text| json!({name: form(text)}))
    }

    fn messages(&self) -> Value {
        let system = self.system;
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let user = json!({"role": "user", "content": self.prompt});
        system.into_iter().chain([user]).collect()
    }

    pub(crate) fn streamed(self) -> Self {
        Self {
            stream: true,
            ..self
        }
    }
}

impl Wire {
    pub(crate) fn path(self, question: &Question<'_>) -> String {
        let model = question.model;
        let root = "/p/alpha";
        match self {
            Self::Chat => format!("{root}/v1/chat/completions"),
            Self::Responses => format!("{root}/v1/responses"),
            Self::Messages => format!("{root}/v1/messages"),
            Self::Gemini if question.stream => {
                format!("{root}/v1beta/models/{model}:streamGenerateContent?alt=sse")
            }
            Self::GeminiArray if question.stream => {
                format!("{root}/v1beta/models/{model}:streamGenerateContent")
            }
            Self::Gemini | Self::GeminiArray => {
                format!("{root}/v1beta/models/{model}:generateContent")
            }
            Self::Converse if question.stream => format!("{root}/model/{model}/converse-stream"),
            Self::Converse => format!("{root}/model/{model}/converse"),
            Self::Cohere => format!("{root}/v2/chat"),
            Self::Ollama => format!("{root}/api/chat"),
            Self::OllamaGenerate => format!("{root}/api/generate"),
        }
    }

    pub(crate) fn headers(self, key: Option<&str>) -> String {
        let version = if self == Self::Messages {
            "anthropic-version: 2023-06-01\r\n"
        } else {
            ""
        };
        let name = match self {
            Self::Messages => "x-api-key: ",
            Self::Gemini | Self::GeminiArray => "x-goog-api-key: ",
            _ => "authorization: Bearer ",
        };
        let key = key.map_or_else(String::new, |key| format!("{name}{key}\r\n"));
        format!("{version}{key}")
    }

    pub(crate) fn body(self, question: &Question<'_>) -> Value {
        let (prompt, most) = (question.prompt, question.most);
        let user = json!([{"role": "user", "content": prompt}]);
        let base = json!({"model": question.model, "stream": question.stream, "temperature": 0});
        match self {
            Self::Chat => {
                let options = json!({"messages": question.messages(), "max_tokens": most});
                let body = with(with(base, &options), &question.stops("stop"));
                if question.stream {
                    return with(body, &json!({"stream_options": {"include_usage": true}}));
                }
                body
            }
            Self::Responses => {
                let reasoning = json!({"summary": "auto"});
                let body = json!({"input": user, "max_output_tokens": most});
                let body = with(body, &json!({"reasoning": reasoning}));
                let system = question.system_as("instructions", |text| json!(text));
                with(with(base, &body), &system)
            }
            Self::Messages => {
                let body = json!({"messages": user, "max_tokens": most});
                let system = question.system_as("system", |text| json!(text));
                let body = with(with(base, &body), &system);
                with(body, &question.stops("stop_sequences"))
            }
            Self::Cohere => {
                let body = json!({"messages": question.messages(), "max_tokens": most});
                with(with(base, &body), &question.stops("stop_sequences"))
            }
            Self::Gemini | Self::GeminiArray | Self::Converse => self.body_beside_path(question),
            Self::Ollama | Self::OllamaGenerate => {
                let options = json!({"num_predict": most, "temperature": 0});
                let options = with(options, &question.stops("stop"));
                let body = if self == Self::Ollama {
                    json!({"messages": question.messages(), "options": options})
                } else {
                    json!({"prompt": prompt, "system": question.system, "options": options})
                };
                let base = json!({"model": question.model, "stream": question.stream});
                with(base, &body)
            }
        }
    }

    /// Returns the body of a request whose path names the model.
    fn body_beside_path(self, question: &Question<'_>) -> Value {
        let (prompt, most) = (question.prompt, question.most);
        let stops = question.stops("stopSequences");
        if self == Self::Converse {
            let config = with(json!({"maxTokens": most, "temperature": 0}), &stops);
            let messages = json!([{"role": "user", "content": [{"text": prompt}]}]);
            let body = json!({"messages": messages, "inferenceConfig": config});
            let system = question.system_as("system", |text| json!([{"text": text}]));
            return with(body, &system);
        }
        let thinking = json!({"includeThoughts": true});
        let config = json!({"maxOutputTokens": most, "temperature": 0});
        let config = with(config, &json!({"thinkingConfig": thinking}));
        let contents = json!([{"role": "user", "parts": [{"text": prompt}]}]);
        let body = json!({"contents": contents, "generationConfig": with(config, &stops)});
        let system = question.system_as(
            "systemInstruction",
            |text| json!({"parts": [{"text": text}]}),
        );
        with(body, &system)
    }

    /// Returns the answer's text, thoughts, finish reason and tokens.
    pub(crate) fn read(self, json: &Value) -> Read {
        let at = |pointer: &str| json.pointer(pointer).unwrap_or(&Value::Null);
        let count = |pointer: &str| at(pointer).as_u64().unwrap_or_default();
        let [finish, input, output] = match self {
            Self::Chat => [
                "/choices/0/finish_reason",
                "/usage/prompt_tokens",
                "/usage/completion_tokens",
            ],
            Self::Responses => [
                "/incomplete_details/reason",
                "/usage/input_tokens",
                "/usage/output_tokens",
            ],
            Self::Messages => [
                "/stop_reason",
                "/usage/input_tokens",
                "/usage/output_tokens",
            ],
            Self::Gemini | Self::GeminiArray => [
                "/candidates/0/finishReason",
                "/usageMetadata/promptTokenCount",
                "/usageMetadata/candidatesTokenCount",
            ],
            Self::Converse => ["/stopReason", "/usage/inputTokens", "/usage/outputTokens"],
            Self::Cohere => [
                "/finish_reason",
                "/usage/tokens/input_tokens",
                "/usage/tokens/output_tokens",
            ],
            Self::Ollama | Self::OllamaGenerate => {
                ["/done_reason", "/prompt_eval_count", "/eval_count"]
            }
        };
        let (text, thoughts) = self.texts(json);
        let finish = at(finish).as_str();
        let finish = finish.or_else(|| at("/status").as_str());
        Read {
            text,
            thoughts,
            finish: finish.unwrap_or_default().to_owned(),
            input: count(input),
            // Only one protocol leaves thoughts out of the answer's tokens.
            output: count(output) + count("/usageMetadata/thoughtsTokenCount"),
        }
    }

    /// Returns the text and the thoughts of a whole answer.
    fn texts(self, json: &Value) -> (String, String) {
        let at = |pointer: &str| text(json.pointer(pointer).unwrap_or(&Value::Null));
        match self {
            Self::Chat => (
                at("/choices/0/message/content"),
                at("/choices/0/message/reasoning_content"),
            ),
            Self::Responses => {
                let items = || json["output"].as_array().into_iter().flatten();
                let texts = items().map(|item| typed(&item["content"], "output_text", "text"));
                let thoughts = items().map(|item| typed(&item["summary"], "summary_text", "text"));
                (texts.collect(), thoughts.collect())
            }
            Self::Messages => {
                let content = &json["content"];
                (
                    typed(content, "text", "text"),
                    typed(content, "thinking", "thinking"),
                )
            }
            Self::Cohere => {
                let content = &json["message"]["content"];
                (
                    typed(content, "text", "text"),
                    typed(content, "thinking", "thinking"),
                )
            }
            Self::Gemini | Self::GeminiArray => {
                let parts = &json["candidates"][0]["content"]["parts"];
                let parts = || parts.as_array().into_iter().flatten();
                let of = |thought: bool| {
                    let thoughts = parts().filter(|part| (part["thought"] == true) == thought);
                    thoughts.map(|part| text(&part["text"])).collect()
                };
                (of(false), of(true))
            }
            Self::Converse => {
                let parts = &json["output"]["message"]["content"];
                let parts = || parts.as_array().into_iter().flatten();
                let thoughts = parts().map(|part| &part["reasoningContent"]["reasoningText"]);
                (
                    parts().map(|part| text(&part["text"])).collect(),
                    thoughts.map(|thought| text(&thought["text"])).collect(),
                )
            }
            Self::Ollama => (at("/message/content"), at("/message/thinking")),
            Self::OllamaGenerate => (at("/response"), at("/thinking")),
        }
    }

    /// Returns the events of a streamed answer: their names, where they have any, and documents.
    pub(crate) fn events(self, reply: &Reply) -> Vec<(String, Value)> {
        let body = || String::from_utf8(reply.body.clone()).expect("UTF-8");
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        match self {
            Self::Converse => {
                let frames = frames::decode(&reply.body);
                let named = frames.into_iter().map(|frame| {
                    let name = frame.headers.get(":event-type");
                    let name = name.or_else(|| frame.headers.get(":exception-type"));
                    (name.expect("a name").clone(), frame.json())
                });
                named.collect()
            }
            Self::GeminiArray => {
                let list = parse(&body());
                let documents = list.as_array().expect("an array").iter();
                documents
                    .map(|json| (String::new(), json.clone()))
                    .collect()
            }
            Self::Ollama | Self::OllamaGenerate => body()
                .lines()
                .map(|line| (String::new(), parse(line)))
                .collect(),
            Self::Gemini => {
                let body = body();
                assert!(body.ends_with("\r\n\r\n"), "lines end with CRLF");
                let events = body.split("\r\n\r\n").filter(|event| !event.is_empty());
                let data = events.map(|e| e.strip_prefix("data: ").expect("data"));
                data.map(|data| (String::new(), parse(data))).collect()
            }
            Self::Chat | Self::Responses | Self::Messages | Self::Cohere => {
                let body = body();
                let events = body.split("\n\n").filter(|event| !event.is_empty());
                events.map(|event| sse(event, &parse)).collect()
            }
        }
    }
}

fn sse(event: &str, parse: &dyn Fn(&str) -> Value) -> (String, Value) {
    let (name, data) = match event.strip_prefix("event: ") {
        Some(rest) => rest.split_once("\ndata: ").expect("data follows the name"),
        None => ("", event.strip_prefix("data: ").expect("data")),
    };
    let json = match data {
        "[DONE]" => json!("[DONE]"),
        _ => parse(data),
    };
    (name.to_owned(), json)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the texts of the parts of one type.
fn typed(list: &Value, kind: &str, field: &str) -> String {
    let parts = list.as_array().into_iter().flatten();
    let parts = parts.filter(|part| part["type"] == kind);
    parts.map(|part| text(&part[field])).collect()
}

/// What a test looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) text: String,
    pub(crate) thoughts: String,
    pub(crate) finish: String,
    pub(crate) input: u64,
    pub(crate) output: u64,
}
