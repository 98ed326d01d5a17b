//! Errors, with the types, codes and statuses that each API uses.

use serde_json::{Value, json};

use super::Dialect;
use crate::announce::Headers;
use crate::limit::Exhausted;

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The request is wrong.
    Request,
    /// No key came with it.
    NoKey,
    /// A wrong key did.
    Key,
    /// A signature that does not fit the request.
    Signature,
    /// The model does not exist.
    Model,
    /// The prompt is too long.
    Context,
    /// A content filter withheld it.
    Filter,
    /// The account has no money left.
    Quota,
    /// The key may not do this.
    Permission,
    /// A limit was reached.
    Limit(Exhausted),
    /// Everyone is asking.
    Overloaded,
    /// It took too long.
    Timeout,
    /// Something broke.
    Server,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) cause: Cause,
    pub(crate) status: u16,
    /// Whether the status was ordered, so that no dialect changes it.
    ordered: bool,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    /// The field it is about.
    pub(crate) param: Option<String>,
    /// `retryDelay` of a `RetryInfo` among the details.
    pub(crate) retry_delay: Option<String>,
}

/// An error as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorReply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl ApiError {
    pub(crate) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            cause: cause_of(status, None),
            status,
            ordered: false,
            kind,
            code: None,
            message: message.into(),
            param: None,
            retry_delay: None,
        }
    }

    /// An `invalid_request_error` with status 400.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    pub(crate) fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    pub(crate) fn cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// The error that providers send with `status`; `code` and `message` replace its own.
    pub(crate) fn of_status(status: u16, code: Option<&str>, message: Option<&str>) -> Self {
        let (kind, own_code, own_message) = usual(status);
        let code = code.or(own_code);
        let own_message = match code {
            Some("insufficient_quota") => {
                "You exceeded your current quota, please check your plan."
            }
            Some("context_length_exceeded") => "This model's maximum context length is exceeded.",
            Some("content_filter") => "The prompt was withheld by the content policy.",
            _ => own_message,
        };
        let kind = if code == Some("insufficient_quota") {
            "insufficient_quota"
        } else {
            kind
        };
        let mut error = Self::new(status, kind, message.unwrap_or(own_message));
        error.cause = cause_of(status, code);
        error.code = code.map(str::to_owned);
        error.ordered = true;
        error
    }

    /// The error of a missing or wrong key.
    pub(crate) fn key(cause: Cause) -> Self {
        let mut error = Self::of_status(401, None, None).cause(cause);
        error.ordered = false;
        error
    }

    /// The error of an unknown model.
    pub(crate) fn model() -> Self {
        let mut error = Self::of_status(404, None, None);
        error.ordered = false;
        error
    }

    /// Returns the error as `dialect` has it.
    pub(crate) fn reply(&self, dialect: Dialect) -> ErrorReply {
        let status = if self.ordered {
            self.status
        } else {
            self.status_of(dialect)
        };
        let mut headers = Headers::new();
        if dialect == Dialect::Amazon {
            headers.push(("x-amzn-errortype", self.amazon_type(status).to_owned()));
        }
        ErrorReply {
            status,
            headers,
            body: self.document(dialect, status).to_string().into_bytes(),
        }
    }

    /// Returns the status that `dialect` gives the cause.
    fn status_of(&self, dialect: Dialect) -> u16 {
        match (dialect, self.cause) {
            (Dialect::Google, Cause::Key)
            | (Dialect::Responses | Dialect::Amazon, Cause::Model) => 400,
            (Dialect::Google, Cause::NoKey)
            | (Dialect::Amazon, Cause::NoKey | Cause::Key | Cause::Signature) => 403,
            _ => self.status,
        }
    }

    /// Returns the body that `dialect` gives the error, sent with `status`.
    pub(super) fn document(&self, dialect: Dialect, status: u16) -> Value {
        match dialect {
            Dialect::Openai | Dialect::Responses => self.openai(),
            Dialect::Anthropic => self.anthropic(status),
            Dialect::Google => self.google(status),
            Dialect::Amazon => json!({"message": self.words(dialect)}),
            Dialect::Cohere => {
                let mut body = json!({"message": self.words(dialect)});
                if self.cause == Cause::Context {
                    body["error_type"] = json!("TOO_MANY_TOKENS");
                }
                body
            }
            Dialect::Ollama => json!({"error": self.words(dialect)}),
        }
    }

    fn openai(&self) -> Value {
        let mut error = json!({
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        });
        if let Some(delay) = &self.retry_delay {
            error["details"] = json!([retry_info(delay)]);
        }
        json!({ "error": error })
    }

    fn anthropic(&self, status: u16) -> Value {
        let kind = match self.cause {
            Cause::NoKey | Cause::Key | Cause::Signature => "authentication_error",
            Cause::Model => "not_found_error",
            Cause::Quota if status == 402 => "billing_error",
            Cause::Quota if status == 429 => "rate_limit_error",
            Cause::Request | Cause::Context | Cause::Filter | Cause::Quota if status == 413 => {
                "request_too_large"
            }
            Cause::Request | Cause::Context | Cause::Filter | Cause::Quota => {
                "invalid_request_error"
            }
            Cause::Permission => "permission_error",
            Cause::Limit(_) => "rate_limit_error",
            Cause::Overloaded => "overloaded_error",
            Cause::Timeout => "timeout_error",
            Cause::Server => "api_error",
        };
        let mut error = json!({"type": kind, "message": self.words(Dialect::Anthropic)});
        if self.cause == Cause::Quota && status == 429 {
            error["details"] = json!({"error_code": "enforced_spend_limit_reached"});
        }
        json!({"type": "error", "error": error})
    }

    fn google(&self, status: u16) -> Value {
        let word = match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            402 | 429 => "RESOURCE_EXHAUSTED",
            503 | 529 => "UNAVAILABLE",
            408 | 504 => "DEADLINE_EXCEEDED",
            500.. => "INTERNAL",
            _ => "INVALID_ARGUMENT",
        };
        let mut details = Vec::new();
        if self.cause == Cause::Key {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }));
        }
        if let Some(field) = &self.param {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": field, "description": self.message}],
            }));
        }
        details.extend(self.retry_delay.as_deref().map(retry_info));
        let message = self.words(Dialect::Google);
        let mut error = json!({"code": status, "message": message, "status": word});
        if !details.is_empty() {
            error["details"] = json!(details);
        }
        json!({ "error": error })
    }

    /// Returns the exception's name.
    pub(super) fn amazon_type(&self, status: u16) -> &'static str {
        match self.cause {
            Cause::NoKey => "MissingAuthenticationTokenException",
            Cause::Key => "UnrecognizedClientException",
            Cause::Signature => "InvalidSignatureException",
            Cause::Permission => "AccessDeniedException",
            Cause::Quota => "ServiceQuotaExceededException",
            Cause::Limit(_) => "ThrottlingException",
            Cause::Overloaded => "ServiceUnavailableException",
            Cause::Timeout => "ModelTimeoutException",
            Cause::Server if status == 424 => "ModelErrorException",
            Cause::Server => "InternalServerException",
            Cause::Model if status == 404 => "ResourceNotFoundException",
            Cause::Request | Cause::Model | Cause::Context | Cause::Filter => "ValidationException",
        }
    }

    /// Returns the message in the words of `dialect`, where it has words of its own.
    fn words(&self, dialect: Dialect) -> String {
        let own = if self.ordered {
            None
        } else {
            own_words(dialect, self.cause)
        };
        let mut words = own.map_or_else(|| self.message.clone(), str::to_owned);
        if let Some(delay) = self
            .retry_delay
            .as_ref()
            .filter(|_| dialect != Dialect::Google)
        {
            // Only Google has a place for it, so the others say it.
            words = format!("{words} Please try again in {delay}.");
        }
        words
    }
}

fn retry_info(delay: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": delay,
    })
}

/// Returns the sentence by which clients know a cause.
const fn own_words(dialect: Dialect, cause: Cause) -> Option<&'static str> {
    Some(match (dialect, cause) {
        (Dialect::Anthropic, Cause::Key | Cause::Signature) => "invalid x-api-key",
        (Dialect::Anthropic, Cause::NoKey) => "x-api-key header is required",
        (Dialect::Google, Cause::Key) => "API key not valid. Please pass a valid API key.",
        (Dialect::Google, Cause::NoKey) => {
            "Method doesn't allow unregistered callers (callers without established identity). \
             Please use API Key or other form of API consumer identity to call this API."
        }
        (Dialect::Google, Cause::Model) => {
            "The model is not found for API version v1beta, or is not supported for \
             generateContent."
        }
        (Dialect::Amazon, Cause::NoKey) => "Missing Authentication Token",
        (Dialect::Amazon, Cause::Key) => "The security token included in the request is invalid.",
        (Dialect::Amazon, Cause::Signature) => {
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method."
        }
        (Dialect::Amazon, Cause::Model) => "The provided model identifier is invalid.",
        (Dialect::Amazon, Cause::Context) => "Input is too long for requested model.",
        (Dialect::Cohere, Cause::NoKey) => "no api key supplied",
        (Dialect::Cohere, Cause::Key) => "invalid api token",
        (Dialect::Cohere, Cause::Filter) => "blocked input: please modify the prompt and try again",
        (Dialect::Ollama, Cause::NoKey | Cause::Key) => "unauthorized",
        _ => return None,
    })
}

fn cause_of(status: u16, code: Option<&str>) -> Cause {
    match (status, code) {
        (_, Some("insufficient_quota")) | (402, _) => Cause::Quota,
        (_, Some("context_length_exceeded")) => Cause::Context,
        (_, Some("content_filter")) => Cause::Filter,
        (401, _) => Cause::Key,
        (403, _) => Cause::Permission,
        (404, _) => Cause::Model,
        (408 | 504, _) => Cause::Timeout,
        (429, _) => Cause::Limit(Exhausted::Requests),
        (503 | 529, _) => Cause::Overloaded,
        (424 | 500.., _) => Cause::Server,
        _ => Cause::Request,
    }
}
/// Returns type, code and message that usually come with a status.
fn usual(status: u16) -> (&'static str, Option<&'static str>, &'static str) {
    match status {
        401 => (
            "invalid_request_error",
            Some("invalid_api_key"),
            "Incorrect API key provided.",
        ),
        402 => (
            "insufficient_quota",
            Some("insufficient_quota"),
            "Insufficient balance.",
        ),
        403 => (
            "permission_error",
            Some("permission_denied"),
            "Your key may not use this model.",
        ),
        404 => (
            "invalid_request_error",
            Some("model_not_found"),
            "The model does not exist or you do not have access to it.",
        ),
        408 => ("timeout", None, "Request timed out."),
        429 => (
            "requests",
            Some("rate_limit_exceeded"),
            "Rate limit reached for requests.",
        ),
        503 => (
            "server_error",
            Some("overloaded"),
            "The engine is currently overloaded, please try again later.",
        ),
        504 => ("timeout", None, "The upstream did not answer in time."),
        529 => ("overloaded_error", None, "Overloaded"),
        500.. => (
            "server_error",
            None,
            "The server had an error while processing your request.",
        ),
        _ => (
            "invalid_request_error",
            None,
            "The request was not understood.",
        ),
    }
}
