//! `retort dataset export` and `retort dataset import`: datasets out of and into other formats.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use retort_dataset::export::{self, Export as What, ExportError};
use retort_dataset::import::{self, Field, FieldColumns, ImportError, ImportInput};
use retort_dataset::snapshot::{self, Snapshot};
use retort_types::CampaignId;
use tokio::time::Instant;

use super::Context;
use super::dataset::{print_sealed, require_dataset};
use crate::cli::{Export, ExportFormat, Import};
use crate::failure::Failure;
use crate::files;
use crate::output::{count, line, note};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Writes a snapshot's responses in another format.
pub(crate) async fn export(context: &Context, args: &Export) -> Result<u8, Failure> {
    let snapshot = open(context, &args.snapshot).await?;
    let to_folder = args.out != Path::new("-");
    if !to_folder {
        if args.with_exchanges {
            return Err(Failure::bad("exchanges cannot go to standard output")
                .hint("name a folder with --out DIR"));
        }
        let out = BufWriter::new(std::io::stdout());
        let what = match args.format {
            ExportFormat::Jsonl => What::BatchOutput,
            ExportFormat::Csv => What::Csv,
        };
        return match export::export(&snapshot, what, out, &|_| {}).await {
            Ok(_) => Ok(0),
            // A reader that went away is no error.
            Err(ExportError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
            Err(error) => Err(error.into()),
        };
    }
    let files: &[(What, &str)] = match args.format {
        ExportFormat::Jsonl => &[
            (What::BatchOutput, "responses.jsonl"),
            (What::BatchInput, "requests.jsonl"),
        ],
        ExportFormat::Csv => &[(What::Csv, "responses.csv")],
    };
    if !args.force {
        refuse_to_replace(&args.out, files, args.with_exchanges)?;
    }
    if args.with_exchanges {
        let copied = export::copy_exchanges(&snapshot, &args.out)
            .await
            .map_err(explain_exchanges)?;
        note(&format!("copied {} exchange files", copied.len()));
    }
    std::fs::create_dir_all(&args.out).map_err(|error| failed_write(&args.out, &error))?;
    for (what, name) in files {
        let path = args.out.join(name);
        let rows = write_file(&snapshot, *what, &path).await?;
        line(&format!("{}  {} rows", path.display(), count(rows)));
    }
    Ok(0)
}

/// Opens the snapshot that an argument means.
async fn open(context: &Context, named: &str) -> Result<Snapshot, Failure> {
    if Path::new(named).join("MANIFEST.json").is_file() {
        return Ok(Snapshot::open_folder(Path::new(named)).await?);
    }
    let campaign = CampaignId::new(named).map_err(|_| {
        Failure::bad(format!(
            "`{named}` is neither a campaign nor the folder of a snapshot"
        ))
        .hint("the folder of a snapshot holds a MANIFEST.json")
    })?;
    let store = files::store(context)?;
    require_dataset(&store, &campaign).await?;
    let newest = snapshot::latest(&store, &campaign).await?;
    newest.ok_or_else(|| {
        Failure::new(format!("campaign `{campaign}` has no snapshot yet"))
            .hint(format!("make one with `retort dataset seal {campaign}`"))
    })
}

fn refuse_to_replace(
    folder: &Path,
    files: &[(What, &str)],
    with_exchanges: bool,
) -> Result<(), Failure> {
    let names = files.iter().map(|(_, name)| *name);
    let names = names.chain(with_exchanges.then_some("exchanges"));
    for name in names {
        let path = folder.join(name);
        if path.exists() {
            return Err(
                Failure::bad(format!("`{}` is there already", path.display()))
                    .hint("replace it with --force, or name another folder with --out"),
            );
        }
    }
    Ok(())
}

/// Writes a file under another name first, so that half of one is never taken for a whole one.
async fn write_file(snapshot: &Snapshot, what: What, path: &Path) -> Result<u64, Failure> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |error: std::io::Error| failed_write(path, &error);
    let mut out = BufWriter::new(File::create(&part).map_err(failed)?);
    let rows = Rows::new("exporting", Some(snapshot.manifest.samples));
    let written = export::export(snapshot, what, &mut out, &|done| rows.show(done)).await;
    rows.end();
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            drop(std::fs::remove_file(&part));
            return Err(error.into());
        }
    };
    out.flush().map_err(failed)?;
    out.get_ref().sync_all().map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)?;
    Ok(written)
}

fn failed_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("failed to write `{}`: {error}", path.display()))
}

fn explain_exchanges(error: ExportError) -> Failure {
    let hint = match &error {
        ExportError::NoExchanges => {
            Some("only a campaign that stores exchanges has them; leave --with-exchanges out")
        }
        ExportError::MissingExchange(_) => {
            Some("export from the store that the campaign was crawled into")
        }
        ExportError::Dataset(_) | ExportError::Write(_) | ExportError::BadExchange(_) => None,
    };
    Failure::from(error).maybe_hint(hint)
}

/// Makes a snapshot of replies that others collected.
pub(crate) async fn import(context: &Context, args: &Import) -> Result<u8, Failure> {
    let store = files::store(context)?;
    let input = ImportInput {
        campaign: args.campaign.clone(),
        name: args.name.clone(),
        purpose: args.purpose.clone(),
        suite: args.suite.clone(),
        replies: args.files.clone(),
        requests: args.requests.clone(),
        model: args.model.clone(),
        columns: columns(&args.column)?,
    };
    let rows = Rows::new("reading", None);
    let imported = import::import(&store, input, &|progress| rows.show(progress.rows)).await;
    rows.end();
    let sealed = imported.map_err(explain_import)?;
    print_sealed(&store, &sealed, args.json).await
}

fn explain_import(error: ImportError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    let failure = match &error {
        ImportError::Seal(_) | ImportError::Changed => Failure::from(error),
        ImportError::File { .. }
        | ImportError::Bad { .. }
        | ImportError::Empty
        | ImportError::Taken(_) => Failure::usage(error),
    };
    failure.maybe_hint(hint.as_deref())
}

fn columns(flags: &[String]) -> Result<FieldColumns, Failure> {
    let mut columns = FieldColumns::default();
    for flag in flags {
        let known = || {
            let names: Vec<&str> = Field::ALL.iter().map(|field| field.as_str()).collect();
            format!("the fields are {}", names.join(", "))
        };
        let Some((name, column)) = flag.split_once('=') else {
            return Err(Failure::bad(format!("`--column {flag}` has no `=`"))
                .hint("as in --column model=generator"));
        };
        let field = Field::ALL.iter().find(|field| field.as_str() == name);
        let field = field
            .ok_or_else(|| Failure::bad(format!("there is no field `{name}`")).hint(known()))?;
        let column = (column != "-").then(|| column.to_owned());
        columns.0.insert(*field, column);
    }
    Ok(columns)
}

/// How many rows are done: a bar on a terminal, a line now and then elsewhere.
struct Rows {
    doing: &'static str,
    bar: Option<ProgressBar>,
    told_at: Mutex<Instant>,
}

impl Rows {
    fn new(doing: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = match total {
                Some(_) => "{msg} [{bar:24}] {pos}/{len} rows",
                None => "{spinner} {msg} {pos} rows",
            };
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(doing);
            bar
        });
        Self {
            doing,
            bar,
            told_at: Mutex::new(Instant::now()),
        }
    }

    fn show(&self, rows: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(rows);
            return;
        }
        // A panic elsewhere leaves nothing half done here.
        let mut told_at = self
            .told_at
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if told_at.elapsed() >= LINE_EVERY {
            *told_at = Instant::now();
            note(&format!("{} {} rows", self.doing, count(rows)));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
