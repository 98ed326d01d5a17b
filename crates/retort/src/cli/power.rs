//! Arguments of `power`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments of `power`.
#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    /// The campaign file (YAML or JSON).
    pub(crate) campaign: Option<PathBuf>,
    /// One question; all of them unless given.
    #[arg(long, value_enum)]
    pub(crate) question: Option<Question>,
    /// Chance of a false finding over all candidates together.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    pub(crate) alpha: f64,
    /// Chance of finding what is there.
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, value_parser = share)]
    pub(crate) power: f64,
    /// For `same`: share of replies that come from elsewhere.
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = share)]
    pub(crate) share: f64,
    /// Candidates that are asked about; the campaign's, else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) candidates: Option<u32>,
    /// Prompts of the design, in the place of the campaign's.
    #[arg(long, value_name = "N")]
    pub(crate) prompts: Option<u32>,
    /// Draws of each prompt, in the place of the campaign's.
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<u32>,
    /// Control models, in the place of the campaign's.
    #[arg(long, value_name = "N")]
    pub(crate) controls: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be asked of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Question {
    /// Does one derive from the other, or do both share a base?
    Kin,
    /// Do they continue texts alike?
    Genes,
    /// Are two endpoints the same model now?
    Same,
    /// Was one trained on replies of the other?
    Teacher,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value > 0.0 && value < 1.0 {
        Ok(value)
    } else {
        Err("a share lies between 0 and 1".to_owned())
    }
}
