//! Which path below a provider's prefix is which endpoint.

use percent_encoding::percent_decode_str;

use crate::api::framing::Framing;
use crate::api::{Call, Shape};

/// Version in the path of the protocols of `OpenAI` and Anthropic.
const VERSION: &str = "/v1";

/// Versions in the path of Gemini: the documented one, and the one of newer SDKs.
const GEMINI_VERSIONS: [&str; 2] = ["/v1beta", VERSION];

/// An endpoint of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Asks a model.
    Ask(Call),
    /// Lists models as `OpenAI` does.
    Models,
    /// Lists models as Ollama does.
    Tags,
    /// Tells Ollama's version.
    Version,
}

/// Returns a prefix without the version at its end.
pub(crate) fn root(prefix: &str) -> &str {
    prefix.strip_suffix(VERSION).unwrap_or(prefix)
}

/// Returns the endpoint at `path`, which is as sent, of a provider with this prefix.
pub(crate) fn find(prefix: &str, path: &str, query: &str) -> Option<Endpoint> {
    if let Some(rest) = path.strip_prefix(prefix)
        && let Some(endpoint) = versioned(rest)
    {
        return Some(endpoint);
    }
    let rest = path.strip_prefix(root(prefix))?;
    match rest {
        "/v2/chat" => return Some(ask(Shape::Cohere)),
        "/api/chat" => return Some(ask(Shape::OllamaChat)),
        "/api/generate" => return Some(ask(Shape::OllamaGenerate)),
        "/api/tags" => return Some(Endpoint::Tags),
        "/api/version" => return Some(Endpoint::Version),
        _ => {}
    }
    for version in GEMINI_VERSIONS {
        let rest = rest.strip_prefix(version);
        if let Some(rest) = rest.and_then(|rest| rest.strip_prefix("/models/")) {
            return gemini(rest, query);
        }
    }
    if let Some(rest) = rest.strip_prefix("/model/") {
        return converse(rest);
    }
    // A client that puts the version in front itself finds it there too.
    versioned(rest.strip_prefix(VERSION)?)
}

fn versioned(rest: &str) -> Option<Endpoint> {
    Some(match rest {
        "/chat/completions" => ask(Shape::Chat),
        "/completions" => ask(Shape::Completion),
        "/responses" => ask(Shape::Responses),
        "/messages" => ask(Shape::Messages),
        "/models" => Endpoint::Models,
        _ => return None,
    })
}

fn ask(shape: Shape) -> Endpoint {
    Endpoint::Ask(Call {
        shape,
        model: None,
        framing: None,
    })
}

fn gemini(rest: &str, query: &str) -> Option<Endpoint> {
    let (model, verb) = rest.rsplit_once(':')?;
    let as_events = query.split('&').any(|pair| pair == "alt=sse");
    let framing = match verb {
        "generateContent" => None,
        "streamGenerateContent" if as_events => Some(Framing::SseCrlf),
        "streamGenerateContent" => Some(Framing::Array),
        _ => return None,
    };
    named(Shape::Gemini, model, framing)
}

fn converse(rest: &str) -> Option<Endpoint> {
    let (model, verb) = rest.rsplit_once('/')?;
    let framing = match verb {
        "converse" => None,
        "converse-stream" => Some(Framing::EventStream),
        _ => return None,
    };
    named(Shape::Converse, model, framing)
}

fn named(shape: Shape, model: &str, framing: Option<Framing>) -> Option<Endpoint> {
    let model = percent_decode_str(model).decode_utf8().ok()?.into_owned();
    Some(Endpoint::Ask(Call {
        shape,
        model: Some(model),
        framing,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &str, query: &str) -> Option<Call> {
        match find("/p/a/v1", path, query)? {
            Endpoint::Ask(call) => Some(call),
            Endpoint::Models | Endpoint::Tags | Endpoint::Version => None,
        }
    }

    #[test]
    fn models_stand_in_paths() {
        let named = call("/p/a/v1beta/models/x%2Fy:streamGenerateContent", "alt=sse").unwrap();
        assert_eq!(named.model.as_deref(), Some("x/y"));
        assert_eq!(named.framing, Some(Framing::SseCrlf));
        let array = call("/p/a/v1beta/models/x:streamGenerateContent", "").unwrap();
        assert_eq!(array.framing, Some(Framing::Array));
        let newer = call("/p/a/v1/models/x:generateContent", "").unwrap();
        assert_eq!((newer.model.as_deref(), newer.framing), (Some("x"), None));
        let named = call("/p/a/model/x.y-v1%3A0/converse", "").unwrap();
        assert_eq!(named.model.as_deref(), Some("x.y-v1:0"));
        assert_eq!(call("/p/a/v1beta/models/x:countTokens", ""), None);
        assert_eq!(call("/p/a/model/x", ""), None);
    }

    #[test]
    fn versions_stand_beside_each_other() {
        for (path, shape) in [
            ("/p/a/v1/messages", Shape::Messages),
            ("/p/a/v1/responses", Shape::Responses),
            ("/p/a/v2/chat", Shape::Cohere),
            ("/p/a/api/generate", Shape::OllamaGenerate),
        ] {
            assert_eq!(call(path, "").map(|call| call.shape), Some(shape), "{path}");
        }
        assert_eq!(call("/p/a/chat/completions", ""), None);
        assert_eq!(
            find("/p/a/v1", "/p/a/v1/models", ""),
            Some(Endpoint::Models)
        );
        assert!(find("/own", "/own/v1/messages", "").is_some());
        assert!(find("/own", "/own/messages", "").is_some());
    }
}
