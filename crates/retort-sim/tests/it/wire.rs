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
        let stops = |name: &str| match question.stop {
            Some(stop) => json!({name: [stop]}),
            None => json!({}),
        };
        let messages = || {
            let system = question
                .system
                .map(|text| json!({"role": "system", "content": text}));
            let user = json!({"role": "user", "content": prompt});
            system.into_iter().chain([user]).collect::<Value>()
        };
        let user = json!([{"role": "user", "content": prompt}]);
        let base = json!({"model": question.model, "stream": question.stream});
        let cold = json!({"temperature": 0});
        match self {
            Self::Chat => {
                let options = json!({"messages": messages(), "max_tokens": most});
                let body = with(with(with(base, &cold), &options), &stops("stop"));
                if question.stream {
                    return with(body, &json!({"stream_options": {"include_usage": true}}));
                }
                body
            }
            Self::Responses => {
                let reasoning = json!({"summary": "auto"});
                let body =
                    json!({"input": user, "max_output_tokens": most, "reasoning": reasoning});
                let system = question
                    .system
                    .map_or(json!({}), |s| json!({"instructions": s}));
                with(with(with(base, &cold), &body), &system)
            }
            Self::Messages => {
                let body = json!({"messages": user, "max_tokens": most});
                let system = question.system.map_or(json!({}), |s| json!({"system": s}));
                let body = with(with(with(base, &cold), &body), &system);
                with(body, &stops("stop_sequences"))
            }
            Self::Gemini | Self::GeminiArray => {
                let thinking = json!({"includeThoughts": true});
                let config = json!({"maxOutputTokens": most, "thinkingConfig": thinking});
                let config = with(with(config, &cold), &stops("stopSequences"));
                let part = |text: &str| json!({"parts": [{"text": text}]});
                let contents = json!([with(part(prompt), &json!({"role": "user"}))]);
                let system = question.system.map(part);
                let system = system.map_or(json!({}), |s| json!({"systemInstruction": s}));
                with(
                    json!({"contents": contents, "generationConfig": config}),
                    &system,
                )
            }
            Self::Converse => {
                let config = with(
                    with(json!({"maxTokens": most}), &cold),
                    &stops("stopSequences"),
                );
                let messages = json!([{"role": "user", "content": [{"text": prompt}]}]);
                let system = question
                    .system
                    .map_or(json!({}), |s| json!({"system": [{"text": s}]}));
                with(
                    json!({"messages": messages, "inferenceConfig": config}),
                    &system,
                )
            }
            Self::Cohere => {
                let body = json!({"messages": messages(), "max_tokens": most});
                with(with(with(base, &cold), &body), &stops("stop_sequences"))
            }
            Self::Ollama | Self::OllamaGenerate => {
                let options = with(with(json!({"num_predict": most}), &cold), &stops("stop"));
                let body = if self == Self::Ollama {
                    json!({"messages": messages(), "options": options})
                } else {
                    json!({"prompt": prompt, "system": question.system, "options": options})
                };
                with(base, &body)
            }
        }
    }

    /// Returns the answer's text, thoughts, finish reason and output tokens.
    pub(crate) fn read(self, json: &Value) -> Read {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |list: &Value, kind: &str, field: &str| {
            let parts = list.as_array().into_iter().flatten();
            let parts = parts.filter(|part| part["type"] == kind);
            parts.map(|part| text(&part[field])).collect::<String>()
        };
        let (answer, thoughts, finish, usage) = match self {
            Self::Chat => {
                let choice = &json["choices"][0];
                let message = &choice["message"];
                let thoughts = text(&message["reasoning_content"]);
                let (finish, usage) = (&choice["finish_reason"], &json["usage"]);
                (
                    text(&message["content"]),
                    thoughts,
                    finish,
                    [usage, &usage["prompt_tokens"], &usage["completion_tokens"]],
                )
            }
            Self::Responses => {
                let (mut answer, mut thoughts) = (String::new(), String::new());
                for item in json["output"].as_array().into_iter().flatten() {
                    answer += &of(&item["content"], "output_text", "text");
                    thoughts += &of(&item["summary"], "summary_text", "text");
                }
                let finish = match &json["incomplete_details"]["reason"] {
                    Value::Null => &json["status"],
                    reason => reason,
                };
                let usage = &json["usage"];
                (
                    answer,
                    thoughts,
                    finish,
                    [usage, &usage["input_tokens"], &usage["output_tokens"]],
                )
            }
            Self::Messages => {
                let (content, usage) = (&json["content"], &json["usage"]);
                let (answer, thoughts) = (
                    of(content, "text", "text"),
                    of(content, "thinking", "thinking"),
                );
                (
                    answer,
                    thoughts,
                    &json["stop_reason"],
                    [usage, &usage["input_tokens"], &usage["output_tokens"]],
                )
            }
            Self::Gemini | Self::GeminiArray => return read_gemini(json),
            Self::Converse => {
                let content = &json["output"]["message"]["content"];
                let parts = || content.as_array().into_iter().flatten();
                let answer = parts().map(|part| text(&part["text"])).collect();
                let thoughts = parts()
                    .map(|part| text(&part["reasoningContent"]["reasoningText"]["text"]))
                    .collect();
                let usage = &json["usage"];
                (
                    answer,
                    thoughts,
                    &json["stopReason"],
                    [usage, &usage["inputTokens"], &usage["outputTokens"]],
                )
            }
            Self::Cohere => {
                let content = &json["message"]["content"];
                let usage = &json["usage"]["tokens"];
                let (answer, thoughts) = (
                    of(content, "text", "text"),
                    of(content, "thinking", "thinking"),
                );
                (
                    answer,
                    thoughts,
                    &json["finish_reason"],
                    [usage, &usage["input_tokens"], &usage["output_tokens"]],
                )
            }
            Self::Ollama => {
                let message = &json["message"];
                let (answer, thoughts) = (text(&message["content"]), text(&message["thinking"]));
                (
                    answer,
                    thoughts,
                    &json["done_reason"],
                    [json, &json["prompt_eval_count"], &json["eval_count"]],
                )
            }
            Self::OllamaGenerate => {
                let (answer, thoughts) = (text(&json["response"]), text(&json["thinking"]));
                (
                    answer,
                    thoughts,
                    &json["done_reason"],
                    [json, &json["prompt_eval_count"], &json["eval_count"]],
                )
            }
        };
        Read {
            text: answer,
            thoughts,
            finish: text(finish),
            input: usage[1].as_u64().unwrap_or_default(),
            output: usage[2].as_u64().unwrap_or_default(),
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

fn read_gemini(json: &Value) -> Read {
    let candidate = &json["candidates"][0];
    let parts = || {
        candidate["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
    };
    let of = |thought: bool| {
        let parts = parts().filter(|part| part["thought"].as_bool().unwrap_or(false) == thought);
        parts.filter_map(|part| part["text"].as_str()).collect()
    };
    let usage = &json["usageMetadata"];
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    Read {
        text: of(false),
        thoughts: of(true),
        finish: candidate["finishReason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        input: count("promptTokenCount"),
        output: count("candidatesTokenCount") + count("thoughtsTokenCount"),
    }
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
