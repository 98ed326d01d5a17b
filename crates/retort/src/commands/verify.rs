//! `retort dataset verify`: derives everything in a snapshot again.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use retort_crawl::verify::{self, Options, Report, Stage};

use super::{Context, keys, target};
use crate::cli::Verify;
use crate::failure::{FAILED, Failure};
use crate::output::{self, count, line, note};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Verifies a snapshot.
pub(crate) async fn verify(context: &Context, args: &Verify) -> Result<u8, Failure> {
    let key = args.key.as_deref().map(keys::public_key).transpose()?;
    let snapshot = target::snapshot(context, &args.snapshot).await?;
    let exchanges = target::exchanges(&snapshot, args.exchanges.as_deref())?;
    let meter = Meter::new();
    let tell = |stage, done| meter.add(stage, done);
    let report = verify::verify(&snapshot, Options { exchanges, key }, &tell).await?;
    meter.finish();
    if args.json {
        output::json(&report)?;
    } else {
        print(&snapshot.place(), &report);
    }
    Ok(if report.intact { 0 } else { FAILED })
}

fn print(place: &str, report: &Report) {
    line(&format!("snapshot   {place}"));
    line(&format!("plan       {}", report.plan_hash));
    line(&format!("root       {}", report.merkle_root));
    line(&format!(
        "files      {} hashed, {} bytes",
        count(report.files),
        count(report.bytes)
    ));
    line(&format!(
        "rows       {} of responses and {} of attempts derived from plan and seed",
        count(report.responses),
        count(report.attempts)
    ));
    line(&format!(
        "exchanges  {} decoded again and compared, {} files hashed",
        count(report.exchanges),
        count(report.exchange_files)
    ));
    if let Some(comment) = &report.signed {
        line(&format!(
            "signature  holds; signed with it: {}",
            output::visible(comment)
        ));
    }
    for (what, number) in &report.unchecked {
        let number = number.map_or_else(String::new, |number| format!("{} ", count(number)));
        line(&format!("not checked: {number}{what}"));
    }
    for finding in &report.findings {
        let row = finding.row.as_deref().unwrap_or_default();
        let row = if row.is_empty() {
            String::new()
        } else {
            format!(" row {row}:")
        };
        let text = format!("differs: {}:{row} {}", finding.file, finding.what);
        line(&output::visible(&text));
    }
    if report.more_findings > 0 {
        line(&format!("differs: {} more", count(report.more_findings)));
    }
    line(if report.intact {
        "nothing differs"
    } else {
        "this is not what was sealed"
    });
}

/// Tells how far it is: a line that changes on a terminal, a line now and then elsewhere.
struct Meter {
    bar: Option<ProgressBar>,
    state: Mutex<(Stage, u64, Instant)>,
}

impl Meter {
    fn new() -> Self {
        let bar = std::io::stderr()
            .is_terminal()
            .then(ProgressBar::new_spinner);
        Self {
            bar,
            state: Mutex::new((Stage::Files, 0, Instant::now())),
        }
    }

    fn add(&self, stage: Stage, done: u64) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        if state.0 != stage {
            (state.0, state.1) = (stage, 0);
        }
        state.1 += done;
        let text = match stage {
            Stage::Files => format!("hashing files: {} bytes", count(state.1)),
            Stage::Exchanges => format!("hashing exchanges: {} bytes", count(state.1)),
            Stage::Rows => format!("comparing rows: {}", count(state.1)),
        };
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.tick();
        } else if state.2.elapsed() >= LINE_EVERY {
            state.2 = Instant::now();
            note(&text);
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
