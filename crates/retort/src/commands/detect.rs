//! `retort detect`: from a snapshot to lineage evidence: summary, JSON, pairs, report.

mod summary;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use retort_detect::analysis::{Analysis, Cast, Detector};
use retort_detect::detect::analyse;
use retort_detect::load::{Loaded, load};
use retort_detect::question::{Question, QuestionError, complete};
use retort_detect::registration::{Settings, cast_of};
use retort_detect::{report, tables, wording};
use retort_fingerprint::Selection;
use retort_types::Campaign;

use super::{Context, target};
use crate::cli::Detect;
use crate::failure::Failure;
use crate::output::{self, line, note};

/// Files of an analysis: report, figures, pairs.
const FILES: [&str; 3] = ["report.html", "analysis.json", "pairs.parquet"];

/// Statements up to which `analysis.json` is indented.
const PRETTY_STATEMENTS: usize = 2_000;

/// Analyses a snapshot.
pub(crate) async fn detect(context: &Context, args: &Detect) -> Result<u8, Failure> {
    if !args.force {
        refuse_to_replace(&args.out)?;
    }
    let snapshot = target::snapshot(context, &args.snapshot).await?;
    let named: Vec<Detector> = detectors(args)?;
    let loaded = load(&snapshot, &args.snapshot, &Selection::default())
        .await
        .map_err(unreadable)?;
    let settings = settings(args, named, &loaded)?;
    let loaded = match settings.suites.as_slice() {
        [] => loaded,
        suites => only(loaded, suites)?,
    };
    let question = Question {
        cast: cast(args, &loaded),
        all_pairs: args.all_pairs,
    };
    let question = complete(&loaded, &question).map_err(explain)?;
    let analysis = carried_out(loaded, question, settings).await?;
    write(&args.out, &analysis)?;
    if args.json {
        output::json(&without_texts(analysis))?;
    } else {
        line(&summary::of(&analysis, &args.out));
    }
    Ok(0)
}

/// Says what a campaign registers for its analysis, while that can still be changed.
pub(super) fn note_registered(campaign: &Campaign) {
    let Some(analysis) = &campaign.analysis else {
        return;
    };
    match Settings::from_campaign(analysis) {
        Ok(settings) => {
            let names: Vec<&str> = settings
                .detectors
                .iter()
                .map(|d| wording::detector(*d))
                .collect();
            let level = settings.level * 100.0;
            note(&format!(
                "analysis registered: {} at {level} %",
                names.join(", ")
            ));
            let cast = cast_of(campaign);
            let parts = [
                ("suspects", &cast.suspects),
                ("candidates", &cast.candidates),
                ("controls", &cast.controls),
            ];
            for (part, _) in parts.iter().filter(|(_, names)| names.is_empty()) {
                note(&format!(
                    "without {part} in `roles` the analysis will be exploratory"
                ));
            }
        }
        Err(error) => note(&format!("{error}; the analysis will be exploratory")),
    }
}

fn refuse_to_replace(folder: &Path) -> Result<(), Failure> {
    match FILES
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.exists())
    {
        Some(path) => Err(
            Failure::bad(format!("`{}` is there already", path.display()))
                .hint("replace it with --force, or name another folder with --out"),
        ),
        None => Ok(()),
    }
}

fn unreadable(error: retort_fingerprint::CorpusError) -> Failure {
    let hint = error.hint();
    Failure::from(error).maybe_hint(hint)
}

/// Returns the detectors that flags name.
fn detectors(args: &Detect) -> Result<Vec<Detector>, Failure> {
    let all = Settings::default().detectors;
    let known = || {
        all.iter()
            .map(|detector| wording::detector(*detector))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut named = Vec::new();
    for name in &args.detector {
        let found = all
            .iter()
            .find(|detector| wording::detector(**detector) == name);
        let found = *found.ok_or_else(|| {
            Failure::bad(format!("there is no detector `{name}`"))
                .hint(format!("known are {}", known()))
        })?;
        if !named.contains(&found) {
            named.push(found);
        }
    }
    // In the order of the decision tree, however they were named.
    named.sort_by_key(|detector| all.iter().position(|known| known == detector));
    Ok(named)
}

/// Returns the settings: the campaign's, changed by flags.
fn settings(args: &Detect, detectors: Vec<Detector>, loaded: &Loaded) -> Result<Settings, Failure> {
    let registered = loaded
        .campaign
        .as_ref()
        .and_then(|campaign| campaign.analysis.as_ref());
    let mut settings = match registered.map(Settings::from_campaign) {
        Some(Ok(settings)) => settings,
        Some(Err(error)) => {
            note(&format!(
                "the campaign's analysis cannot be carried out as it was registered: {error}"
            ));
            Settings::default()
        }
        None => Settings::default(),
    };
    if !detectors.is_empty() {
        settings.detectors = detectors;
    }
    if !args.suite.is_empty() {
        settings.suites.clone_from(&args.suite);
    }
    settings.level = args.level.unwrap_or(settings.level);
    settings.seed = args.seed.unwrap_or(settings.seed);
    settings.check().map_err(Failure::usage)?;
    Ok(settings)
}

/// Keeps the replies of these suites.
fn only(mut loaded: Loaded, suites: &[String]) -> Result<Loaded, Failure> {
    let known: std::collections::BTreeSet<&str> = loaded
        .corpus
        .prompts
        .iter()
        .map(|prompt| prompt.suite.as_str())
        .collect();
    if let Some(unknown) = suites.iter().find(|suite| !known.contains(suite.as_str())) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(
            Failure::bad(format!("the snapshot has no suite `{unknown}`"))
                .hint(format!("it has {known}")),
        );
    }
    let corpus = loaded
        .corpus
        .only(|_| true, |prompt| suites.contains(&prompt.suite));
    loaded.corpus = corpus;
    Ok(loaded)
}

/// Returns who plays which part: as flags say, or else the campaign.
fn cast(args: &Detect, loaded: &Loaded) -> Cast {
    let campaign = loaded.campaign.as_ref().map(cast_of).unwrap_or_default();
    let named = |flags: &[String], campaign: Vec<String>| {
        if flags.is_empty() {
            campaign
        } else {
            flags.to_vec()
        }
    };
    if args.all_pairs {
        return Cast {
            controls: args.control.clone(),
            ..Cast::default()
        };
    }
    Cast {
        suspects: named(&args.suspect, campaign.suspects),
        candidates: named(&args.candidate, campaign.candidates),
        controls: named(&args.control, campaign.controls),
    }
}

fn explain(error: QuestionError) -> Failure {
    let hint = match &error {
        QuestionError::Nobody("suspects") => {
            "name one with --suspect, give the campaign roles, or ask about --all-pairs".to_owned()
        }
        QuestionError::Nobody(_) => {
            "name one with --candidate, give the campaign roles, or ask about --all-pairs"
                .to_owned()
        }
        QuestionError::Itself(_) => "name another with --suspect or --candidate".to_owned(),
        QuestionError::Unknown { name, known } => {
            let near = known.iter().max_by(|a, b| {
                strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name))
            });
            let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
            format!("{near}`retort dataset show SNAPSHOT` lists its models")
        }
    };
    Failure::usage(error).hint(hint)
}

/// Analyses on a thread of its own, and tells what is being done.
async fn carried_out(
    loaded: Loaded,
    question: Question,
    settings: Settings,
) -> Result<Analysis, Failure> {
    let work = move || {
        let shown = Shown::new();
        let analysis = analyse(&loaded, &question, &settings, &|stage, done, all| {
            shown.tell(stage, done, all);
        });
        shown.bar.finish_and_clear();
        analysis
    };
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// What is being done, on a terminal as a bar and else as a line per stage.
struct Shown {
    bar: ProgressBar,
    stage: Mutex<String>,
}

impl Shown {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(1)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{prefix:>14} [{bar:24}] {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            stage: Mutex::new(String::new()),
        }
    }

    fn tell(&self, stage: &str, done: usize, all: usize) {
        let Ok(mut last) = self.stage.lock() else {
            return;
        };
        if *last != stage {
            stage.clone_into(&mut last);
            self.bar.set_prefix(last.clone());
            if !std::io::stderr().is_terminal() {
                note(&format!("{stage} …"));
            }
        }
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
    }
}

fn write(folder: &Path, analysis: &Analysis) -> Result<(), Failure> {
    // With every pair of a hundred models, white space is most of the file.
    let json = if analysis.statements.len() > PRETTY_STATEMENTS {
        serde_json::to_string(analysis)?
    } else {
        serde_json::to_string_pretty(analysis)?
    };
    let json = json + "\n";
    let contents = [
        report::html(analysis)?.into_bytes(),
        json.into_bytes(),
        tables::pairs(analysis)?,
    ];
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for (name, bytes) in FILES.into_iter().zip(contents) {
        let path = folder.join(name);
        replace(&path, &bytes).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// Writes a file under another name first, so that half of one is never taken for a whole one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = std::fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("failed to write `{}`: {error}", path.display()))
}

/// Leaves texts of models out: they are in the file.
fn without_texts(mut analysis: Analysis) -> Analysis {
    for statement in &mut analysis.statements {
        statement.exhibits.clear();
    }
    analysis
}
