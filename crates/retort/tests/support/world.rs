//! A world for whole-program tests: a simulated fleet on a free port, a folder, the real binary.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use retort_sim::{Fleet, FleetSpec, FleetThread, Setup};
use retort_types::{Timestamp, WallClock};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest any run of the binary may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// The clock handed to the fleet.
#[derive(Debug)]
pub(crate) struct TestClock;

impl WallClock for TestClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the fleet of a whole-program test lives in real time"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("before the year 294247"))
    }
}

/// A fleet, a folder and what is in it.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) fleet: FleetThread,
    /// Environment of every run.
    pub(crate) env: Vec<(String, String)>,
    /// Flags of every run.
    pub(crate) flags: Vec<String>,
}

impl World {
    /// Serves the fleet described by `spec` (as in a fleet file).
    pub(crate) fn new(spec: Value) -> Self {
        let spec: FleetSpec =
            serde_json::from_value(spec).expect("the test's fleet is well-formed");
        let fleet = start(spec);
        Self::around(fleet)
    }

    /// Puts a world around a fleet that is served already.
    pub(crate) fn around(fleet: FleetThread) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        Self {
            dir,
            fleet,
            env: Vec::new(),
            flags: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, value: &Value) {
        let text = serde_json::to_string_pretty(value).expect("JSON");
        std::fs::write(self.path(name), text).expect("the folder takes files");
    }

    /// Writes a catalog that asks the fleet's providers under these limits, per provider name.
    pub(crate) fn catalog(&self, limits: &[(&str, Value)]) -> Value {
        let mut catalog =
            serde_json::to_value(self.fleet.catalog().expect("names fit")).expect("JSON");
        for (name, limits) in limits {
            catalog["accounts"][*name]["limits"] = limits.clone();
            catalog["providers"][*name]["sample_id_header"] = json!("x-retort-sample-id");
        }
        self.write("models.yaml", &catalog);
        catalog
    }

    /// Writes a campaign of `prompts` inline prompts, `samples` draws each.
    pub(crate) fn campaign(&self, models: &[&str], prompts: usize, samples: u32, more: Value) {
        let texts: Vec<String> = (0..prompts)
            .map(|n| format!("Describe object number {n} in a few words."))
            .collect();
        let mut campaign = json!({
            "id": "test",
            "purpose": "a test of this program",
            "models": models,
            "params": { "max_tokens": 24 },
            "suites": [{ "inline": { "name": "objects", "prompts": texts }, "samples": samples }],
        });
        merge(&mut campaign, more);
        self.write("campaign.yaml", &campaign);
    }

    /// Returns the binary with the world's environment, ready for arguments.
    pub(crate) fn retort(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_retort"));
        self.dress(&mut command);
        command
    }

    /// Gives a command the world's environment and nothing else.
    pub(crate) fn dress(&self, command: &mut Command) {
        command
            .env_clear()
            .envs(self.env.iter().cloned())
            .current_dir(self.dir.path());
        command
            .env("RETORT_STATE_DIR", self.path("state"))
            .env("RETORT_STORE", self.path("data"));
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null());
    }

    /// Returns `retort run campaign.yaml` with `flags`.
    pub(crate) fn run_command(&self, flags: &[&str]) -> Command {
        let mut command = self.retort();
        command
            .args(["run", "campaign.yaml"])
            .args(&self.flags)
            .args(flags);
        command
    }

    /// Runs the campaign to its end.
    pub(crate) fn run(&self, flags: &[&str]) -> Output {
        finish(self.start(flags))
    }

    /// Starts the campaign and returns while it runs.
    pub(crate) fn start(&self, flags: &[&str]) -> Child {
        let mut command = self.run_command(flags);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    /// Runs any command of the binary.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = self.retort();
        finish(
            command
                .args(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the binary starts"),
        )
    }

    /// Returns the fleet's own count.
    pub(crate) fn stats(&self) -> Value {
        serde_json::to_value(self.fleet.stats()).expect("JSON")
    }

    /// Returns the folder of the newest snapshot.
    pub(crate) fn snapshot(&self) -> PathBuf {
        let folder = self.path("data/campaigns/test/snapshots");
        let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
            .expect("there is a snapshot")
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.join("MANIFEST.json").exists())
            .collect();
        names.sort();
        names.pop().expect("there is a snapshot")
    }

    /// Returns columns of a table of the newest snapshot, rows in order of files.
    pub(crate) fn table(&self, table: &str, columns: &[&str]) -> Vec<BTreeMap<String, Value>> {
        read_table(&self.snapshot().join(table), columns)
    }

    /// Counts the final rows by outcome.
    pub(crate) fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for row in self.table("responses", &["outcome"]) {
            *counts
                .entry(row["outcome"].as_str().expect("text").to_owned())
                .or_default() += 1;
        }
        counts
    }

    /// Waits until `done` says so, looking often.
    pub(crate) fn wait_until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the last status document.
    pub(crate) fn status(&self) -> Value {
        let output = self.command(&["status", "test", "--json"]);
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// Serves a fleet.
pub(crate) fn start(spec: FleetSpec) -> FleetThread {
    Fleet::start_in_thread(spec, Setup::new(Arc::new(TestClock))).expect("the fleet starts")
}

/// Puts the fields of `more` into `value`, over those that are there.
pub(crate) fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend(more);
    }
}

/// Answers `count` requests, one per connection, with the bytes that `answer` makes of head and body,
/// and returns the port.
pub(crate) fn serve(count: usize, answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(count) {
            let served = stream.and_then(|mut stream| {
                let (head, body) = receive(&mut stream)?;
                stream.write_all(&answer(&head, &body))
            });
            assert!(served.is_ok(), "{served:?}");
        }
    });
    port
}

fn receive(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.to_lowercase();
            let length = length.split("content-length:").nth(1).unwrap_or("0");
            let length: usize = length
                .lines()
                .next()
                .and_then(|length| length.trim().parse().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok((head, bytes[end + 4..].to_vec()));
            }
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Waits for a process within [`PATIENCE`] and returns what it printed.
pub(crate) fn finish(mut child: Child) -> Output {
    let begun = Instant::now();
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            drop(child.kill());
            let (out, err) = (out.join().expect("a reader"), err.join().expect("a reader"));
            panic!(
                "it did not end\n{}\n{}",
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(&err)
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Output {
        status,
        stdout: out.join().expect("a reader"),
        stderr: err.join().expect("a reader"),
    }
}

fn drain<R: std::io::Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            drop(pipe.read_to_end(&mut bytes));
        }
        bytes
    })
}

/// Returns everything a process printed.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "exit {:?}\n--- stdout\n{}--- stderr\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asserts an exit code, showing what was printed otherwise.
#[track_caller]
pub(crate) fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

/// Ends a process as `kill -9` does.
pub(crate) fn kill(mut child: Child) {
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
}

/// Sends a signal by name, as `INT`.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .expect("kill exists");
    assert!(status.success());
}

/// Reads columns of every Parquet file below a folder.
pub(crate) fn read_table(folder: &Path, columns: &[&str]) -> Vec<BTreeMap<String, Value>> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    files
        .iter()
        .flat_map(|file| read_file(file, columns))
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            files.push(path);
        }
    }
}

/// Reads columns of one Parquet file, with the parquet crate alone.
pub(crate) fn read_file(file: &Path, columns: &[&str]) -> Vec<BTreeMap<String, Value>> {
    let opened = std::fs::File::open(file).expect("the file is there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened)
        .expect("it is Parquet")
        .build()
        .expect("readable");
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.expect("readable");
        let first = rows.len();
        rows.resize(first + batch.num_rows(), BTreeMap::new());
        for name in columns {
            let column = batch
                .column_by_name(name)
                .unwrap_or_else(|| panic!("{} has no column {name}", file.display()));
            for row in 0..batch.num_rows() {
                rows[first + row].insert((*name).to_owned(), cell(column.as_ref(), row));
            }
        }
    }
    rows
}

fn cell(column: &dyn Array, row: usize) -> Value {
    use arrow::datatypes::{
        Float32Type, Float64Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    };
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => json!(column.as_string::<i64>().value(row)),
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::UInt8 => json!(column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => json!(column.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => json!(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Binary => json!(column.as_binary::<i32>().value(row)),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            columns
                .map(|(field, inner)| (field.name().clone(), cell(inner.as_ref(), row)))
                .collect()
        }
        DataType::List(_) => {
            let inner = column.as_list::<i32>().value(row);
            (0..inner.len())
                .map(|position| cell(inner.as_ref(), position))
                .collect()
        }
        other => panic!("tests do not read {other}"),
    }
}
