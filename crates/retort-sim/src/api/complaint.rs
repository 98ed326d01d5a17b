//! What each API says of a request that it cannot read.
//!
//! Bedrock and Ollama really ignore fields that they do not know; here they refuse them like the
//! others, so that a client's mistakes show.

use super::error::{ApiError, Cause};
use super::fields::Wrong;
use super::{Dialect, Shape};

/// Returns the error that tells `wrong` to a client of `shape`.
pub(super) fn tell(wrong: &Wrong, shape: Shape) -> ApiError {
    let mut error = match shape.dialect() {
        Dialect::Openai | Dialect::Responses => openai(wrong, shape.dialect()),
        Dialect::Anthropic => ApiError::invalid(anthropic(wrong)),
        Dialect::Google => google(wrong),
        Dialect::Amazon => ApiError::invalid(amazon(wrong)),
        Dialect::Cohere => cohere(wrong),
        Dialect::Ollama => ApiError::invalid(ollama(wrong, shape)),
    };
    error.cause = Cause::Request;
    error
}

fn unreadable(line: usize, column: usize) -> String {
    format!("could not read the JSON body at line {line} column {column}")
}

fn openai(wrong: &Wrong, dialect: Dialect) -> ApiError {
    let (code, message) = match wrong {
        Wrong::Unreadable { line, column } => {
            return ApiError::invalid(unreadable(*line, *column));
        }
        Wrong::Unknown { path } if dialect == Dialect::Openai => {
            let message = format!("Unrecognized request argument supplied: {path}");
            return ApiError::invalid(message);
        }
        Wrong::Unknown { path } => ("unknown_parameter", format!("Unknown parameter: '{path}'.")),
        Wrong::Type {
            path,
            wanted,
            found,
        } => {
            let message =
                format!("Invalid type for '{path}': expected {wanted}, but got {found} instead.");
            ("invalid_type", message)
        }
        Wrong::Missing { path } if dialect == Dialect::Openai && path == "model" => {
            return ApiError::invalid("you must provide a model parameter");
        }
        Wrong::Missing { path } => (
            "missing_required_parameter",
            format!("Missing required parameter: '{path}'."),
        ),
        Wrong::Rule { path, rule } => (
            "invalid_value",
            format!("Invalid value for '{path}': {rule}."),
        ),
    };
    let mut error = ApiError::invalid(message).code(code);
    error.param = wrong.path().map(str::to_owned);
    error
}

fn anthropic(wrong: &Wrong) -> String {
    let dotted = |path: &str| path.replace('[', ".").replace(']', "");
    match wrong {
        Wrong::Unreadable { line, column } => {
            format!("The request body is not valid JSON: line {line} column {column}")
        }
        Wrong::Unknown { path } => format!("{}: Extra inputs are not permitted", dotted(path)),
        Wrong::Type { path, wanted, .. } => {
            format!("{}: Input should be a valid {wanted}", dotted(path))
        }
        Wrong::Missing { path } => format!("{}: Field required", dotted(path)),
        Wrong::Rule { path, rule } => format!("{}: {rule}", dotted(path)),
    }
}

fn google(wrong: &Wrong) -> ApiError {
    let message = match wrong {
        Wrong::Unreadable { line, column } => {
            format!("Invalid JSON payload received. Unexpected token at {line}:{column}.")
        }
        Wrong::Unknown { path } => {
            let (place, name) = path.rsplit_once('.').unwrap_or(("", path));
            let place = match place {
                "" => String::new(),
                _ => format!(" at '{place}'"),
            };
            format!(
                "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."
            )
        }
        Wrong::Type {
            path,
            wanted,
            found,
        } => format!("Invalid value at '{path}' ({wanted}), {found} was given"),
        Wrong::Missing { path } => format!("* {path}: {path} is not specified"),
        Wrong::Rule { path, rule } => {
            format!(
                "Unable to submit request because {path} {rule}. Update the value and try again."
            )
        }
    };
    let mut error = ApiError::invalid(message);
    error.param = wrong.path().map(str::to_owned);
    error
}

fn amazon(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Unreadable { line, column } => unreadable(*line, *column),
        Wrong::Unknown { path } => format!("extraneous key [{path}] is not permitted"),
        Wrong::Type {
            path,
            wanted,
            found,
        } => format!("{found} of '{path}' can not be converted to {wanted}"),
        Wrong::Missing { path } => format!(
            "1 validation error detected: Value null at '{path}' failed to satisfy constraint: \
             Member must not be null"
        ),
        Wrong::Rule { path, rule } => format!(
            "1 validation error detected: Value at '{path}' failed to satisfy constraint: {rule}"
        ),
    }
}

fn cohere(wrong: &Wrong) -> ApiError {
    let (status, message) = match wrong {
        Wrong::Unreadable { line, column } => (400, unreadable(*line, *column)),
        Wrong::Unknown { path } => (
            422,
            format!("unknown field: parameter '{path}' is not a valid field"),
        ),
        Wrong::Type {
            path,
            wanted,
            found,
        } => (
            400,
            format!(
                "invalid type: parameter {path} is of type {found} but should be of type {wanted}."
            ),
        ),
        Wrong::Missing { path } => (400, format!("invalid request: {path} is required")),
        Wrong::Rule { path, rule } => (400, format!("invalid request: {path} {rule}")),
    };
    ApiError::new(status, "invalid_request_error", message)
}

fn ollama(wrong: &Wrong, shape: Shape) -> String {
    let name = if shape == Shape::OllamaGenerate {
        "GenerateRequest"
    } else {
        "ChatRequest"
    };
    match wrong {
        Wrong::Unreadable { line, column } => unreadable(*line, *column),
        Wrong::Unknown { path } => format!("json: unknown field \"{path}\""),
        Wrong::Type {
            path,
            wanted,
            found,
        } => {
            format!(
                "json: cannot unmarshal {found} into Go struct field {name}.{path} of type {wanted}"
            )
        }
        Wrong::Missing { path } => format!("{path} is required"),
        Wrong::Rule { path, rule } => format!("{path} {rule}"),
    }
}
