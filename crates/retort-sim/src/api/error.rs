//! Errors in the family's shape, with the types and codes that real providers use.

use serde_json::json;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    /// `retryDelay` of a `RetryInfo` among the details.
    pub(crate) retry_delay: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            message: message.into(),
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

    /// The error that real providers send with `status`; `code` and `message` replace its own.
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
        error.code = code.map(str::to_owned);
        error
    }

    /// Returns the body.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut error = json!({
            "message": self.message,
            "type": self.kind,
            "param": null,
            "code": self.code,
        });
        if let Some(delay) = &self.retry_delay {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": delay,
            }]);
        }
        json!({ "error": error }).to_string().into_bytes()
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
