//! What is wrong with a campaign, a catalog or a file of prompts, where, and what to do about it.

use std::fmt;

/// Which text an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// A campaign.
    Campaign,
    /// A catalog.
    Catalog,
    /// A file of prompts.
    Prompts,
    /// A file of prices.
    Prices,
    /// A plan that was written earlier.
    Plan,
    /// Something else.
    Other,
}

impl Document {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Catalog => "catalog",
            Self::Prompts => "prompts",
            Self::Prices => "prices",
            Self::Plan => "plan",
            Self::Other => "document",
        }
    }
}

/// One step from the root of a document to the value an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Writes a path as `steps!["suites", 0, "mode"]`.
macro_rules! steps {
    ($($step:expr),* $(,)?) => { vec![$($crate::error::Step::from($step)),*] };
}
pub(crate) use steps;

/// A campaign, catalog, file of prompts or plan that cannot be used as it is.
///
/// Displays as `name:line:column: message` when its place in the text is known, else as
/// `name: path: message`, as in `campaign: suites[0].mode: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    document: Document,
    name: Option<String>,
    position: Option<(u64, u64)>,
    path: Vec<Step>,
    message: String,
    hint: Option<String>,
}

impl SpecError {
    pub(crate) fn new(document: Document, path: Vec<Step>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            document,
            name: None,
            position: None,
            path,
            message: message.into(),
            hint: None,
        }))
    }

    pub(crate) fn campaign(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self::new(Document::Campaign, path, message)
    }

    pub(crate) fn catalog(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self::new(Document::Catalog, path, message)
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn with_name(mut self, name: &str) -> Self {
        self.0.name = Some(name.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn with_position(mut self, line: u64, column: u64) -> Self {
        self.0.position = Some((line, column));
        self
    }

    /// Returns the same error with its path put below `prefix`.
    #[must_use]
    pub(crate) fn below(mut self, mut prefix: Vec<Step>) -> Self {
        prefix.append(&mut self.0.path);
        self.0.path = prefix;
        self
    }

    /// Returns the same error about another document.
    #[must_use]
    pub(crate) fn about(mut self, document: Document) -> Self {
        self.0.document = document;
        self
    }

    /// Returns what is wrong, without its place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns what the reader can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns which text the error is about.
    pub fn document(&self) -> Document {
        self.0.document
    }

    /// Returns line and column in the text, both from 1, when they are known.
    pub fn position(&self) -> Option<(u64, u64)> {
        self.0.position
    }

    /// Returns the same error with its place in `text`, which was read from `name`, when the
    /// error is about that document and has no place yet.
    #[must_use]
    pub fn located_in(self, document: Document, text: &str, name: &str) -> Self {
        if self.0.document != document || self.0.position.is_some() {
            return self;
        }
        match crate::node::position_of(text, &self.0.path) {
            Some((line, column)) => self.with_position(line, column),
            None => self,
        }
        .with_name(name)
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name.as_deref();
        f.write_str(name.unwrap_or(self.0.document.as_str()))?;
        if let Some((line, column)) = self.0.position {
            write!(f, ":{line}:{column}")?;
        } else if !self.0.path.is_empty() {
            f.write_str(": ")?;
            write_path(f, &self.0.path)?;
        }
        write!(f, ": {}", self.0.message)
    }
}

impl std::error::Error for SpecError {}

fn write_path(f: &mut fmt::Formatter<'_>, path: &[Step]) -> fmt::Result {
    for (position, step) in path.iter().enumerate() {
        match step {
            Step::Key(key) if position == 0 => f.write_str(key)?,
            Step::Key(key) => write!(f, ".{key}")?,
            Step::Index(index) => write!(f, "[{index}]")?,
        }
    }
    Ok(())
}

/// Most names that a hint lists. More do not help the reader.
const LISTED_NAMES: usize = 16;

/// Returns a hint for a `word` that is none of `known`: the nearest name, or the names there are.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(nearest) = nearest(word, &known) {
        return format!("did you mean `{nearest}`?");
    }
    if known.is_empty() {
        return "there are none yet".to_owned();
    }
    let mut listed: Vec<String> = known
        .iter()
        .take(LISTED_NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    if known.len() > LISTED_NAMES {
        listed.push(format!("and {} more", known.len() - LISTED_NAMES));
    }
    format!("known are {}", listed.join(", "))
}

/// Returns the name nearest to `word`, when it is near: at most a third of its letters differ.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&word, &name.to_lowercase());
            (distance, *name)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}
