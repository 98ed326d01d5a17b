//! `retort dataset show … --row`: from a row to the bytes that were sent and received.

use std::io::Write as _;

use retort_crawl::verify::shown;
use retort_dataset::exchange::{self, Stored, StoredAnswer};
use retort_dataset::snapshot::{Exchanges, Found, FoundRow, Place, Search, Snapshot, Unread};

use super::{Context, target};
use crate::cli::Show;
use crate::failure::Failure;
use crate::output::{self, line, note, visible};

/// Shows the row that `args` names, in one of `snapshots` or, when there are none, in any newest one.
pub(super) async fn show(
    context: &Context,
    args: &Show,
    snapshots: Vec<Snapshot>,
) -> Result<u8, Failure> {
    let (id, snapshots) = match (&args.row, snapshots.is_empty()) {
        (Some(id), _) => (id.as_str(), snapshots),
        (None, true) => (args.target.as_str(), target::all(context).await?),
        (None, false) => {
            return Err(Failure::bad("--raw needs a row").hint("as in --row 5d1c09a7 --raw"));
        }
    };
    let (snapshot, found) = find(id, snapshots).await?;
    if args.json {
        output::json(&found)?;
        return Ok(0);
    }
    let exchanges = target::exchanges(&snapshot, args.exchanges.as_deref())?;
    let row = chosen(&found);
    if args.raw {
        return raw(row, exchanges).await;
    }
    head(&snapshot, &found);
    let Some(row) = row else {
        line("it was never asked");
        return Ok(0);
    };
    let Some(place) = row.exchange() else {
        line("exchange  none is stored");
        return Ok(0);
    };
    bytes(&place, exchanges).await
}

async fn find(id: &str, snapshots: Vec<Snapshot>) -> Result<(Snapshot, Found), Failure> {
    let mut places = Vec::new();
    for snapshot in snapshots {
        match snapshot.find(id).await? {
            Search::Nothing => places.push(snapshot.place()),
            Search::Found(found) => return Ok((snapshot, *found)),
            Search::Several(ids) => {
                return Err(Failure::bad(format!("several ids begin with `{id}`"))
                    .hint(format!("among them {}", ids.join(", "))));
            }
        }
    }
    let failure = Failure::new(format!("no sample or attempt begins with `{id}`"));
    Err(match places.as_slice() {
        [] => failure.hint("the store has no snapshot; name another with --store"),
        [place] => failure.hint(format!("looked in {place}")),
        places => failure.hint(format!("looked in {} snapshots", places.len())),
    })
}

/// Returns the attempt that was asked for, or the one that ended the sample.
fn chosen(found: &Found) -> Option<&FoundRow> {
    let last = found
        .responses
        .first()
        .and_then(|row| row.text("attempt_id"));
    let wanted = found.attempt.as_deref().or(last);
    let mut attempts = found.attempts.iter();
    attempts.find(|row| row.text("attempt_id") == wanted)
}

async fn raw(row: Option<&FoundRow>, exchanges: Option<Exchanges>) -> Result<u8, Failure> {
    let place = row.and_then(FoundRow::exchange);
    let place = place.ok_or_else(|| Failure::new("no exchange of this row is stored"))?;
    let bytes = read(&place, exchanges).await?;
    let mut out = std::io::stdout().lock();
    // A reader that went away is no error.
    drop(out.write_all(&bytes).and_then(|()| out.flush()));
    Ok(0)
}

async fn read(place: &Place, exchanges: Option<Exchanges>) -> Result<bytes::Bytes, Failure> {
    let absent = || {
        Failure::new(format!("`{}` is not here", place.file))
            .hint("name the folder that holds exchanges/ with --exchanges")
    };
    let mut exchanges = exchanges.ok_or_else(absent)?;
    match exchanges.bytes(place).await {
        Ok(bytes) => Ok(bytes),
        Err(Unread::Absent) => Err(absent()),
        Err(Unread::Different(what)) => Err(Failure::new(format!(
            "`{}` at {}: {what}",
            place.file, place.offset
        ))),
        Err(Unread::Failed(error)) => Err(error.into()),
    }
}

/// Prints what the rows say.
fn head(snapshot: &Snapshot, found: &Found) {
    line(&format!("snapshot  {}", snapshot.place()));
    for row in &found.responses {
        line(&format!(
            "row       {}, number {}",
            row.snapshot_file, row.snapshot_row
        ));
        for (name, value) in row.values.iter().filter(|(_, value)| !value.is_null()) {
            let text = match value.as_str() {
                Some(text) => text.to_owned(),
                None => value.to_string(),
            };
            line(&format!(
                "  {name}: {}",
                visible(&text).replace('\n', "\n    ")
            ));
        }
    }
    let picked = chosen(found).and_then(|row| row.text("attempt_id"));
    for row in &found.attempts {
        let id = row.text("attempt_id").unwrap_or_default();
        line(&format!(
            "attempt   {} {id} {} ({}, number {}){}",
            row.number("attempt_no").unwrap_or(0),
            row.text("outcome").unwrap_or_default(),
            row.snapshot_file,
            row.snapshot_row,
            if Some(id) == picked {
                ", shown below"
            } else {
                ""
            },
        ));
    }
}

/// Prints an exchange from its stored bytes.
async fn bytes(place: &Place, exchanges: Option<Exchanges>) -> Result<u8, Failure> {
    line(&format!(
        "exchange  {}, {} bytes from byte {}",
        visible(&place.file),
        place.length,
        place.offset
    ));
    let bytes = read(place, exchanges).await?;
    line(&format!("SHA-256   {} (checked)", place.sha256));
    let stored = exchange::read(&bytes)
        .map_err(|why| Failure::new(format!("the exchange cannot be read: {why}")))?;
    print(&stored);
    Ok(0)
}

fn print(stored: &Stored) {
    for place in &stored.redacted {
        line(&format!("redacted  {}", visible(place)));
    }
    line(&format!("ended     {}", visible(&stored.ending)));
    match &stored.request {
        Some(request) => {
            line(&format!("--- request to {}", visible(&stored.target_uri)));
            text(&request.head);
            line("");
            text(&request.body);
        }
        None => line("--- nothing was sent"),
    }
    match &stored.answer {
        Some(answer) => print_answer(answer),
        None => line("--- no answer began"),
    }
}

fn print_answer(answer: &StoredAnswer) {
    let shown = shown(answer);
    line(&format!("--- answer, its head at {}", answer.received_at));
    text(&answer.head);
    line("");
    text(&shown.body);
    if shown.body.len() != answer.body.len() {
        note(&format!(
            "the body is shown decoded: {} bytes from {} as received",
            shown.body.len(),
            answer.body.len()
        ));
    }
    if let Some(fault) = shown.fault {
        note(&format!("the body cannot be decoded to its end: {fault}"));
    }
}

fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    line(&visible(&text));
}
