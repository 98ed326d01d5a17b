//! How a command fails: what went wrong, what helps, and with which exit code.

use std::fmt;

use retort_dataset::{DatasetError, SealError, StoreError};

/// Exit code of a command that failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code of a command that was called wrongly.
pub(crate) const USAGE: u8 = 2;
/// Exit code of a campaign that finished with missing samples.
pub(crate) const MISSING: u8 = 3;
/// Exit code of a campaign that was stopped by Ctrl-C, as shells tell it.
pub(crate) const INTERRUPTED: u8 = 130;

/// A command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    /// Returns a failure because the command was called wrongly or its files are wrong.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: USAGE,
            error: error.into(),
            hint: None,
        }
    }

    /// Returns a failure with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            error: anyhow::Error::msg(message.into()),
            hint: None,
        }
    }

    /// Returns a usage failure with this message.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            ..Self::new(message)
        }
    }

    /// Returns what went wrong and what helps, for a list of several failures.
    pub(crate) fn parts(&self) -> (String, Option<&str>) {
        (self.error.to_string(), self.hint.as_deref())
    }

    /// Adds what helps.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says first what was attempted.
    pub(crate) fn context(mut self, doing: String) -> Self {
        self.error = self.error.context(doing);
        self
    }

    /// Adds what helps, if something is known.
    pub(crate) fn maybe_hint(mut self, hint: Option<&str>) -> Self {
        self.hint = hint.map(str::to_owned).or(self.hint);
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            code: FAILED,
            error: error.into(),
            hint: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        let mut told = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            if !told.contains(&cause) {
                write!(f, ": {cause}")?;
                told = cause;
            }
        }
        let hint = self.hint.as_deref();
        match hint.or_else(|| self.error.chain().find_map(store_hint)) {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Returns what helps against a store's failure, whichever error it hides in.
fn store_hint(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let of_dataset = |error: &DatasetError| match error {
        DatasetError::Store(error) => error.hint(),
        DatasetError::Spool(_)
        | DatasetError::Rows(_)
        | DatasetError::Parquet { .. }
        | DatasetError::OtherPlan { .. }
        | DatasetError::Damaged { .. }
        | DatasetError::System { .. }
        | DatasetError::Closed => None,
    };
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.hint();
    }
    if let Some(SealError::Dataset(error)) = error.downcast_ref::<SealError>() {
        return of_dataset(error);
    }
    error.downcast_ref::<DatasetError>().and_then(of_dataset)
}
