//! Chain of custody: from a sealed snapshot back to the bytes on the wire, and whatever is changed
//! on the way is found and named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use retort_crawl::verify::{Options, Report, verify};
use retort_dataset::seal::{Manifest, merkle_root};
use retort_dataset::snapshot::Snapshot;
use retort_types::Digest;
use retort_types::digest::canonical_json;
use serde_json::{Value, json};

use crate::support::{World, assert_code, serve, text};

/// A campaign of two models with failures, streams, gzip and log probabilities, sealed and signed.
fn sealed() -> World {
    let world = World::new(json!({
        "providers": [
            { "name": "zipped", "gzip": true, "latency": { "ms": 2 }, "models": [{ "name": "a" }],
              "faults": [{ "kind": "status", "status": 503, "every": 4 }, { "kind": "reset", "every": 7 }] },
            { "name": "plain", "latency": { "ms": 2 }, "models": [{ "name": "b" }],
              "faults": [{ "kind": "cut", "every": 5 }, { "kind": "duplicate_done", "every": 3 }] },
        ]
    }));
    world.catalog(&[
        ("zipped", json!({ "concurrency": 4 })),
        ("plain", json!({ "concurrency": 4 })),
    ]);
    let more = json!({
        "params": { "max_tokens": 24, "logprobs": 2 },
        "arms": [{ "name": "whole", "params": { "stream": false } }, { "name": "streamed", "params": { "stream": true } }],
    });
    world.campaign(&["a", "b"], 6, 2, more);
    assert_code(&world.command(&["keys", "generate", "lab.key"]), 0);
    let flags = ["--sign", "lab.key", "--set", "worker.max_attempts=6"];
    assert_code(&world.run(&flags), 0);
    world
}

/// Verifies a campaign's newest snapshot in this process.
fn report(snapshot: &Path, key: Option<&str>) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let verified = runtime.block_on(async {
        let snapshot = Snapshot::open_folder(snapshot).await?;
        let options = Options {
            exchanges: snapshot.exchanges_beside(),
            key: key.map(str::to_owned),
        };
        verify(&snapshot, options, &|_, _| {}).await
    });
    verified.map_err(|error| error.to_string())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_snapshot_verifies_and_a_row_leads_to_its_bytes() {
    let world = sealed();
    let verified = world.command(&["dataset", "verify", "test", "--key", "lab.pub", "--json"]);
    assert_code(&verified, 0);
    let told: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let attempts = world.table("attempts", &["attempt_id"]).len();
    assert_eq!(told["responses"], 48);
    assert_eq!(told["attempts"], attempts);
    assert_eq!(
        told["exchanges"], attempts,
        "every exchange was decoded again"
    );
    assert_eq!(told["unchecked"], json!({}));
    assert!(attempts > 48, "some were asked again");

    let snapshot = world.snapshot();
    let sums = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(&snapshot)
        .status()
        .unwrap();
    assert!(sums.success());

    let row = &world.table("responses", &["sample_id", "response_text", "attempt_id"])[0];
    let id = row["sample_id"].as_str().unwrap();
    let shown = world.command(&["dataset", "show", id.get(..12).unwrap()]);
    assert_code(&shown, 0);
    let printed = text(&shown);
    for part in ["POST /p/", "\"messages\"", "HTTP/1.1 200", "(checked)"] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
    let raw = world.command(&[
        "dataset",
        "show",
        "test",
        "--raw",
        "--row",
        row["attempt_id"].as_str().unwrap(),
    ]);
    assert_code(&raw, 0);
    let stored = retort_dataset::exchange::read(&raw.stdout).unwrap();
    assert_eq!(stored.sample_id, id);

    // Delivered without its exchanges, it verifies and says what that leaves out.
    let alone = world.path("alone");
    copy(&snapshot, &alone);
    let verified = world.command(&["dataset", "verify", "alone"]);
    assert_code(&verified, 0);
    assert!(text(&verified).contains("exchanges that were not delivered"));
    let campaign = world.path("data/campaigns/test");
    let with = [
        "dataset",
        "verify",
        "alone",
        "--exchanges",
        campaign.to_str().unwrap(),
    ];
    let verified = world.command(&with);
    assert_code(&verified, 0);
    assert!(!text(&verified).contains("not delivered"));
}

/// Numbers in a fixed order that looks random (xorshift64), so that a failure can be repeated.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[test]
fn any_flipped_bit_is_found_and_its_file_named() {
    let world = sealed();
    let key = fs::read_to_string(world.path("lab.pub")).unwrap();
    let snapshot = world.snapshot();
    let intact = report(&snapshot, Some(&key)).unwrap();
    assert_eq!(intact.findings, []);
    let mut all = files(&snapshot);
    all.extend(files(&world.path("data/campaigns/test/exchanges")));
    let mut draws = Draws(0x5eed_0001);
    for case in 0..40 {
        // Every file at least once, then at random.
        let file = &all[if case < all.len() {
            case
        } else {
            draws.below(all.len())
        }];
        let before = fs::read(file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        // The first line of a signature is called untrusted because nothing vouches for it.
        let from = if name.ends_with(".minisig") {
            before.iter().position(|byte| *byte == b'\n').unwrap() + 1
        } else {
            0
        };
        let at = from + draws.below(before.len() - from);
        let mut changed = before.clone();
        changed[at] ^= 1 << draws.below(8);
        fs::write(file, &changed).unwrap();
        match report(&snapshot, Some(&key)) {
            Ok(report) => {
                let named = report
                    .findings
                    .iter()
                    .any(|finding| file.ends_with(&finding.file));
                assert!(
                    named,
                    "case {case}, byte {at} of {name}: {:?}",
                    report.findings
                );
                assert!(!report.intact);
            }
            // A manifest that cannot be read any more.
            Err(error) => assert!(error.contains("MANIFEST.json"), "case {case}: {error}"),
        }
        fs::write(file, &before).unwrap();
    }
    assert!(
        report(&snapshot, Some(&key)).unwrap().intact,
        "all is as before"
    );
}

/// What is done to a table.
#[derive(Debug, Clone, Copy)]
enum Change {
    DropRow,
    SwapRows,
    EditText,
}

fn read_parquet(file: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap()).unwrap();
    let schema = Arc::clone(builder.schema());
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn write_parquet(file: &Path, batch: &RecordBatch) {
    let out = fs::File::create(file).unwrap();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Changes a table and returns an id of the row that differs.
fn change(
    batch: &RecordBatch,
    what: Change,
    id: &str,
    draws: &mut Draws,
) -> (RecordBatch, Vec<String>) {
    let rows = batch.num_rows();
    let ids = batch.column_by_name(id).unwrap().as_string::<i32>();
    let (at, other) = (draws.below(rows - 1), draws.below(rows - 1));
    // Neighbours that differ, so that swapping them changes something.
    let other = if other == at { rows - 1 } else { other };
    let order: Vec<usize> = match what {
        Change::DropRow => (0..rows).filter(|row| *row != at).collect(),
        Change::SwapRows => (0..rows)
            .map(|row| match row {
                row if row == at => other,
                row if row == other => at,
                row => row,
            })
            .collect(),
        Change::EditText => (0..rows).collect(),
    };
    let places: Vec<(usize, usize)> = order.iter().map(|row| (0, *row)).collect();
    let mut changed = arrow::compute::interleave_record_batch(&[batch], &places).unwrap();
    if let Change::EditText = what {
        let columns = [
            "response_text",
            "finish_reason",
            "error_message",
            "provider_request_id",
            "token",
        ];
        let mut editable = columns
            .iter()
            .filter_map(|name| batch.schema().index_of(name).ok());
        let column = editable.next().unwrap();
        let texts = batch.column(column).as_string::<i32>();
        let edited: StringArray = texts
            .iter()
            .enumerate()
            .map(|(row, text)| match text {
                Some(text) if row == at => Some(format!("{text}!")),
                None if row == at => Some("!".to_owned()),
                text => text.map(str::to_owned),
            })
            .collect();
        let mut all: Vec<ArrayRef> = batch.columns().to_vec();
        all[column] = Arc::new(edited);
        changed = RecordBatch::try_new(batch.schema(), all).unwrap();
    }
    let touched = match what {
        Change::SwapRows => vec![ids.value(at).to_owned(), ids.value(other).to_owned()],
        Change::DropRow | Change::EditText => vec![ids.value(at).to_owned()],
    };
    (changed, touched)
}

fn write_sums(snapshot: &Path, manifest: &Manifest, text: &str) {
    let files = manifest.files.iter();
    let mut lines: Vec<(String, Digest)> = files
        .map(|file| {
            (
                file.path.clone(),
                Digest::of(&fs::read(snapshot.join(&file.path)).unwrap()),
            )
        })
        .collect();
    lines.push(("MANIFEST.json".to_owned(), Digest::of(text.as_bytes())));
    lines.sort();
    let lines: Vec<String> = lines
        .iter()
        .map(|(path, digest)| format!("{digest}  {path}\n"))
        .collect();
    fs::write(snapshot.join("SHA256SUMS"), lines.concat()).unwrap();
}

/// Makes `SHA256SUMS`, and the manifest too if asked, agree with what is there now.
fn cover_up(snapshot: &Path, file: &Path, rows: usize, with_manifest: bool) {
    let path = snapshot.join("MANIFEST.json");
    let mut text = fs::read_to_string(&path).unwrap();
    let mut manifest: Manifest = serde_json::from_str(&text).unwrap();
    if with_manifest {
        for listed in &mut manifest.files {
            if file.ends_with(&listed.path) {
                let bytes = fs::read(file).unwrap();
                listed.bytes = bytes.len() as u64;
                listed.sha256 = Digest::of(&bytes);
                listed.rows = Some(rows as u64);
            }
        }
        manifest.merkle_root = merkle_root(&manifest.files);
        text = canonical_json(&manifest).unwrap();
        fs::write(&path, &text).unwrap();
    }
    write_sums(snapshot, &manifest, &text);
}

#[test]
fn changed_rows_are_found_and_named_even_when_every_hash_is_made_to_fit() {
    let world = sealed();
    let snapshot = world.snapshot();
    let whole: Vec<(PathBuf, Vec<u8>)> = files(&snapshot)
        .into_iter()
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect();
    let mut draws = Draws(0x5eed_0002);
    for case in 0..24 {
        let what = [Change::DropRow, Change::SwapRows, Change::EditText][case % 3];
        let with_manifest = case < 12;
        let (folder, id) = [
            ("responses/model_slug=a", "sample_id"),
            ("attempts", "attempt_id"),
            ("responses/model_slug=b", "sample_id"),
            ("tokens/model_slug=b", "sample_id"),
        ][case / 3 % 4];
        let file = snapshot.join(folder).join("part-00000.parquet");
        let before = read_parquet(&file);
        let (after, touched) = change(&before, what, id, &mut draws);
        write_parquet(&file, &after);
        cover_up(&snapshot, &file, after.num_rows(), with_manifest);
        let found = report(&snapshot, None).unwrap().findings;
        let context = format!("case {case}, {what:?} in {folder}, {touched:?}: {found:#?}");
        if with_manifest {
            // Nothing but the plan and the exchanges tells; they tell the row.
            let hashes = found.iter().any(|finding| finding.what.contains("SHA-256"));
            assert!(!hashes, "{context}");
        } else {
            let is_named = found.iter().any(|finding| file.ends_with(&finding.file));
            assert!(is_named, "{context}");
        }
        let is_named = found.iter().any(|finding| {
            finding
                .row
                .as_ref()
                .is_some_and(|row| touched.contains(row))
        });
        // A dropped attempt is named by its sample, and a run of tokens by where it breaks.
        let by_place = found.iter().any(|finding| finding.row.is_some());
        let exact = folder.starts_with("responses") || matches!(what, Change::EditText);
        assert!(if exact { is_named } else { by_place }, "{context}");
        for (file, bytes) in &whole {
            fs::write(file, bytes).unwrap();
        }
    }
    assert!(report(&snapshot, None).unwrap().intact, "all is as before");
}

/// Length of the longest prompt.
const LONG_BYTES: usize = 262_144;

/// Texts that break things: controls, NUL, right-to-left, a line of a megabyte, twelve scripts.
fn hard_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "nul \0 bell \u{7} escape \u{1b}[31m delete \u{7f} next \u{85} line \u{2028} end",
        "tab\tnewline\ncarriage\rreturn\r\nquote\" backslash\\ slash/",
        "right-to-left \u{202e}gnirts\u{202c} \u{2067}עברית\u{2069} مرحبا بالعالم",
        "zero\u{200b}width \u{feff} bom, \u{fffd} \u{fffe} \u{10ffff}",
        "Ελληνικά Русский 中文 日本語 한국어 हिन्दी ไทย ქართული Հայերեն አማርኛ தமிழ் עברית",
        "👩‍👩‍👧‍👦 e\u{301} \u{1f1e9}\u{1f1ea} ﷽",
        " leading and trailing \n",
    ]
    .map(str::to_owned)
    .to_vec();
    // The longest that a campaign takes; it comes back four times, which makes a megabyte.
    texts.push("0123456789abcdef".repeat(LONG_BYTES / 16));
    texts
}

/// Repeats the last message; the answer to `surrogates` holds escapes of half characters.
fn repeat(body: &[u8]) -> Vec<u8> {
    let asked: Value = serde_json::from_slice(body).unwrap();
    let said = &asked["messages"].as_array().unwrap().last().unwrap()["content"];
    let content = if said == "surrogates" {
        r#""half \ud83d of \udc00 a character \ud83e\udd80""#.to_owned()
    } else if said.as_str().unwrap().len() == LONG_BYTES {
        json!(said.as_str().unwrap().repeat(4)).to_string()
    } else {
        said.to_string()
    };
    let body = format!(
        r#"{{"id":"x","object":"chat.completion","model":"m","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":{content}}}}}]}}"#
    );
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

#[test]
fn hard_texts_come_back_equal() {
    let world =
        World::new(json!({ "providers": [{ "name": "unused", "models": [{ "name": "u" }] }] }));
    let mut texts = hard_texts();
    texts.push("surrogates".to_owned());
    let port = serve(texts.len(), |_, body| repeat(body));
    let base_url = format!("http://127.0.0.1:{port}/v1");
    world.write(
        "models.yaml",
        &json!({
            "providers": { "p": { "wire": "openai-chat", "base_url": base_url } },
            "accounts": { "p": { "provider": "p", "limits": { "concurrency": 2 } } },
            "models": { "m": { "account": "p", "model": "m" } },
        }),
    );
    let campaign = json!({
        "id": "test", "purpose": "a test of this program", "models": ["m"],
        "suites": [{ "inline": { "name": "hard", "prompts": texts } }],
    });
    // Characters that YAML does not take as they are stand in escapes.
    let campaign: String = campaign
        .to_string()
        .chars()
        .map(|c| match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{feff}' | '\u{fffe}' => {
                format!("\\u{:04x}", u32::from(c))
            }
            c => c.to_string(),
        })
        .collect();
    fs::write(world.path("campaign.yaml"), campaign).unwrap();
    assert_code(&world.run(&[]), 0);
    let rows = world.table(
        "responses",
        &["messages", "response_text", "exchange_sha256"],
    );
    assert_eq!(rows.len(), texts.len());
    for row in &rows {
        let prompt = row["messages"][0]["content"].as_str().unwrap();
        assert!(texts.iter().any(|text| text == prompt));
        assert!(row["exchange_sha256"].is_string());
        let expected = match prompt {
            "surrogates" => "half \u{fffd} of \u{fffd} a character 🦀".to_owned(),
            long if long.len() == LONG_BYTES => long.repeat(4),
            prompt => prompt.to_owned(),
        };
        assert!(
            row["response_text"] == expected,
            "{prompt:.80} came back otherwise"
        );
    }
    let verified = world.command(&["dataset", "verify", "test"]);
    assert_code(&verified, 0);
    assert!(text(&verified).contains(&format!("{} decoded again", texts.len())));
}
