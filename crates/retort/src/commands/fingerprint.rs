//! `retort fingerprint`: the habits of each model of a dataset, saved without its texts.

use std::path::Path;

use retort_fingerprint::{Corpus, CorpusError, SavedFingerprint, Selection};
use serde_json::json;

use super::{Context, target, working};
use crate::cli::Fingerprint;
use crate::failure::Failure;
use crate::output::{self, Table, count, line, note};

/// Ending of the files.
pub(super) const ENDING: &str = "fingerprint";

/// Saves the fingerprint of each model.
pub(crate) async fn fingerprint(context: &Context, args: &Fingerprint) -> Result<u8, Failure> {
    let selection = Selection {
        suites: args.suite.iter().cloned().collect(),
        models: args.model.iter().cloned().collect(),
        ..Selection::default()
    };
    let corpus = corpus(context, &args.snapshot, &selection).await?;
    if corpus.replies.is_empty() {
        return Err(
            Failure::new(format!("`{}` holds no replies", args.snapshot))
                .hint("names given with --suite and --model must be those of the dataset"),
        );
    }
    for unfit in corpus.unfit() {
        note(&format!("warning: {}: {}", unfit.model, unfit.reason));
    }
    let source = args.snapshot.clone();
    let saved = working::run("reading habits", move |told| {
        SavedFingerprint::all(&corpus, &source, told)
    })
    .await?;
    std::fs::create_dir_all(&args.output)?;
    let mut rows = Vec::new();
    for fingerprint in &saved {
        let path = args.output.join(file_name(&fingerprint.model));
        let bytes = fingerprint.to_bytes();
        std::fs::write(&path, &bytes)?;
        rows.push((fingerprint, path, bytes.len()));
    }
    if args.json {
        let of = |(fingerprint, path, bytes): &(&SavedFingerprint, std::path::PathBuf, usize)| {
            json!({
                "model": fingerprint.model,
                "prompts": fingerprint.prompts(),
                "path": path.display().to_string(),
                "bytes": bytes,
            })
        };
        output::json(&rows.iter().map(of).collect::<Vec<_>>())?;
    } else {
        let mut table = Table::new("lrrl", &["model", "prompts", "bytes", "file"]);
        for (fingerprint, path, bytes) in &rows {
            table.row(vec![
                fingerprint.model.clone(),
                count(fingerprint.prompts() as u64),
                count(*bytes as u64),
                path.display().to_string(),
            ]);
        }
        line(&table.to_string());
    }
    Ok(0)
}

/// Returns the replies that a name means: a Parquet file, a snapshot's folder, or a campaign.
pub(super) async fn corpus(
    context: &Context,
    name: &str,
    selection: &Selection,
) -> Result<Corpus, Failure> {
    let path = Path::new(name);
    let is_table = path.extension().is_some_and(|ending| ending == "parquet");
    let told = |error: CorpusError| {
        let hint = error.hint();
        Failure::from(error).maybe_hint(hint)
    };
    if is_table && path.is_file() {
        return Corpus::from_parquet(&[path], selection).map_err(told);
    }
    let snapshot = target::snapshot(context, name).await?;
    Corpus::from_snapshot(&snapshot, selection)
        .await
        .map_err(told)
}

/// Returns a file name that a model's name can be read from. Names that differ only in what a file
/// name cannot hold are told apart by a hash.
fn file_name(model: &str) -> String {
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() || ".-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    let slug: String = model.chars().take(80).map(fit).collect();
    let is_same = slug == model && !slug.is_empty() && !slug.starts_with('.');
    if is_same {
        format!("{slug}.{ENDING}")
    } else {
        let hash = retort_types::Digest::of(model.as_bytes()).to_string();
        let short: String = hash.chars().take(8).collect();
        format!("m-{slug}-{short}.{ENDING}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_leave_the_folder() {
        assert_eq!(file_name("gpt-4o_mini.1"), "gpt-4o_mini.1.fingerprint");
        for name in ["../../etc/passwd", "a/b", "a:b", "", ".hidden"] {
            let file = file_name(name);
            assert!(file.starts_with("m-") && !file.contains('/'), "{file}");
        }
        assert_ne!(file_name("a/b"), file_name("a:b"));
    }
}
