//! `retort compare`: what two saved fingerprints say about each other, against a pool of others.

use std::collections::BTreeSet;
use std::path::Path;

use retort_detect::analysis::{Finding, Statement};
use retort_detect::kin::{self, KinResult, KinSettings};
use retort_detect::roles::Roles;
use retort_detect::wording;
use retort_fingerprint::{Centring, Family, Fingerprints, SavedFingerprint, Settings};
use serde::Serialize;

use super::{fingerprint::ENDING, working};
use crate::cli::Compare;
use crate::failure::Failure;
use crate::output::{self, Table, line, note};

/// Most fingerprints of a pool.
const POOL_MAX: usize = 4_000;

/// What is printed.
#[derive(Debug, Serialize)]
struct Comparison {
    statement: Statement,
    /// By family: similarity as measured, and without what the pool shares.
    families: Vec<(Family, Option<f64>, Option<f64>)>,
    /// Share of prompts whose token counts differ by the usual offset.
    tokenizer_match: Option<f64>,
    warnings: Vec<String>,
}

/// Compares two fingerprints.
pub(crate) async fn compare(args: &Compare) -> Result<u8, Failure> {
    let suspect = read(&args.suspect)?;
    let mut candidate = read(&args.candidate)?;
    if candidate.model == suspect.model {
        // One name from two sources: the question is whether they are the same.
        candidate.model.push_str(" (candidate)");
    }
    let pair = (suspect.model.clone(), candidate.model.clone());
    let mut all = vec![suspect, candidate];
    if let Some(pool) = &args.pool {
        let known = |name: &str, all: &[SavedFingerprint]| all.iter().any(|one| one.model == name);
        for saved in read_pool(pool)? {
            if !known(&saved.model, &all) {
                all.push(saved);
            }
        }
    }
    let names: BTreeSet<String> = all.iter().map(|saved| saved.model.clone()).collect();
    if let Some(missing) = args.related.iter().find(|name| !names.contains(*name)) {
        return Err(Failure::bad(format!(
            "there is no fingerprint of `{missing}` in the pool"
        ))
        .hint("--related names a model as `retort fingerprint` printed it"));
    }
    let is_control =
        |name: &&String| **name != pair.0 && **name != pair.1 && !args.related.contains(name);
    let roles = Roles {
        suspects: vec![pair.0.clone()],
        candidates: vec![pair.1.clone()],
        controls: names.iter().filter(is_control).cloned().collect(),
        ..Roles::default()
    };
    let comparison = working::run("comparing prompts", move |told| {
        let fingerprints = Fingerprints::of_saved(&all, &Settings::default(), told);
        let settings = KinSettings {
            is_registered: true,
            ..KinSettings::default()
        };
        comparison(
            &fingerprints,
            &pair,
            kin::analyse(&fingerprints, &roles, &settings),
        )
    })
    .await?;
    let comparison = comparison.ok_or_else(|| Failure::new("the pair was not compared"))?;
    if args.json {
        output::json(&comparison)?;
    } else {
        print(&comparison);
    }
    Ok(0)
}

fn comparison(
    fingerprints: &Fingerprints,
    pair: &(String, String),
    result: KinResult,
) -> Option<Comparison> {
    let (i, j) = (fingerprints.model(&pair.0)?, fingerprints.model(&pair.1)?);
    let families = fingerprints.families().into_iter().map(|family| {
        let of = |centring| {
            fingerprints
                .similarities(family, centring, &|_| true)?
                .get(i, j)
        };
        (family, of(Centring::Raw), of(Centring::Double))
    });
    let mut statement = result.statements.into_iter().next()?;
    statement.wording = wording::statement(&statement);
    Some(Comparison {
        families: families.collect(),
        tokenizer_match: fingerprints.tokenizer_match(i, j),
        statement,
        warnings: result.warnings,
    })
}

fn read(path: &Path) -> Result<SavedFingerprint, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::from(error).context(format!("failed to read `{}`", path.display()))
    })?;
    SavedFingerprint::from_bytes(&bytes).map_err(|error| {
        Failure::new(format!("failed to read `{}`: {error}", path.display()))
            .hint("make fingerprints with `retort fingerprint`, all with the same version")
    })
}

fn read_pool(folder: &Path) -> Result<Vec<SavedFingerprint>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Failure::from(error).context(format!("failed to read `{}`", folder.display()))
    })?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.len() > POOL_MAX {
        return Err(Failure::new(format!(
            "the pool holds more than {POOL_MAX} fingerprints"
        )));
    }
    paths.iter().map(|path| read(path)).collect()
}

fn print(found: &Comparison) {
    let statement = &found.statement;
    for warning in &found.warnings {
        note(&format!("warning: {warning}"));
    }
    line(&format!(
        "{} and {}: {}",
        statement.suspect,
        statement.candidate,
        in_words(statement)
    ));
    if statement.p.is_some() {
        line(&statement.wording);
    }
    let mut table = Table::new("lrr", &["family", "similarity", "centred"]);
    let number = |of: Option<f64>| of.map_or("-".to_owned(), |value| format!("{value:.3}"));
    for (family, raw, centred) in &found.families {
        table.row(vec![
            family.as_str().to_owned(),
            number(*raw),
            number(*centred),
        ]);
    }
    line(&table.to_string());
    if let Some(share) = found.tokenizer_match {
        line(&format!(
            "prompt tokens differ by the usual offset in {:.0} % of prompts",
            share * 100.0
        ));
    }
    for text in &statement.notes {
        line(text);
    }
}

fn in_words(statement: &Statement) -> String {
    let measured = || {
        let effect = statement.effect.map_or(0.0, |effect| effect.value);
        let side = if effect < 0.0 { "below" } else { "above" };
        let figure =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        format!(
            "{:.2} spreads {side} the mean of {} controls, p {}, log10 likelihood ratio {} of at most \
             {}",
            effect.abs(),
            statement.controls.len(),
            statement.p.map_or("-".to_owned(), wording::probability),
            figure(statement.log10_lr),
            figure(statement.log10_lr_cap)
        )
    };
    match &statement.finding {
        Finding::Supported => format!("kinship supported: {}", measured()),
        Finding::NotSupported => format!("kinship not supported: {}", measured()),
        Finding::Inconclusive(reason) => format!("inconclusive: {reason}"),
        Finding::NotMeasured(reason) => format!("not measured: {reason}"),
        Finding::Underpowered(reason) => format!("underpowered: {reason}"),
        Finding::ControlSetInsufficient(reason) => format!("control set insufficient: {reason}"),
    }
}
