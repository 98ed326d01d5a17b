//! Services as processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use retort_broker::testkit::{FaultProxy, Mode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::rabbit::Rabbit;
use crate::support::{PATIENCE, World, assert_code, signal};

/// A heartbeat that is short for a test, and well beyond the lease of an owner.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(6);

/// A process that ends with the test, however that ends.
pub(crate) struct Process {
    child: Child,
    pub(crate) name: String,
}

impl Process {
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end and returns its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Limits the size of its files, which acts on it like a full disk.
    pub(crate) fn limit_files(&self, bytes: &str) {
        let (id, size) = (self.child.id().to_string(), format!("--fsize={bytes}:"));
        let mut command = Command::new("prlimit");
        let status = command.args(["--pid", &id, &size]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended already cannot be killed; there is nothing else to do here.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A simulated provider, a virtual host and processes.
pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) rabbit: Rabbit,
    pub(crate) runtime: Runtime,
    pub(crate) vhost: String,
    pub(crate) url: String,
    /// Settings of every process.
    pub(crate) settings: Vec<String>,
    /// The store, as processes are told of it.
    pub(crate) store: String,
    /// The folder that holds what the store has.
    pub(crate) data: PathBuf,
}

impl Fleet {
    /// Serves a model `m<n>` per limit, each of a provider and an account `p<n>`.
    pub(crate) fn new(vhost: &str, limits: &[Value], latency_ms: u64) -> Self {
        Self::over(Rabbit::shared(), vhost, limits, latency_ms)
    }

    /// As `new`, over this broker.
    pub(crate) fn over(rabbit: Rabbit, vhost: &str, limits: &[Value], latency_ms: u64) -> Self {
        let providers: Vec<Value> = (0..limits.len())
            .map(|n| {
                json!({ "name": format!("p{n}"), "latency": { "ms": latency_ms },
                        "models": [{ "name": format!("m{n}"), "words_max": 30 }] })
            })
            .collect();
        Self::of(rabbit, vhost, json!({ "providers": providers }), limits)
    }

    /// As `over`, with a simulated fleet of this description, whose providers are `p0`, `p1`, …
    pub(crate) fn of(rabbit: Rabbit, vhost: &str, spec: Value, limits: &[Value]) -> Self {
        let world = World::new(spec);
        let names: Vec<String> = (0..limits.len()).map(|n| format!("p{n}")).collect();
        let own: Vec<(&str, Value)> = names
            .iter()
            .map(String::as_str)
            .zip(limits.iter().cloned())
            .collect();
        world.catalog(&own);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        // A vhost of this process alone, so that two runs of the tests do not meet.
        let vhost = format!("{vhost}-{}", std::process::id());
        rabbit.vhost(&vhost);
        let url = format!("amqp://guest:guest@{}/{vhost}", rabbit.address);
        let data = world.path("data");
        Self {
            store: data.display().to_string(),
            data,
            world,
            rabbit,
            runtime,
            vhost,
            url,
            settings: vec!["writer.flush_every=500ms".to_owned()],
        }
    }

    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Keeps the store elsewhere: `data` is the folder that holds it.
    pub(crate) fn keep_in(&mut self, store: &str, data: PathBuf) {
        store.clone_into(&mut self.store);
        self.data = data;
    }

    /// Returns the URL of the broker through this address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        format!("amqp://guest:guest@{address}/{}", self.vhost)
    }

    /// Starts a service; what it says goes to `<name>.log`.
    pub(crate) fn start(&self, role: &str, name: &str, url: &str, more: &[&str]) -> Process {
        self.start_as(self.world.retort(), [role, name], url, more)
    }

    /// Starts a worker that ignores the signal which comes with a limit on files, as a service manager
    /// would have it.
    pub(crate) fn worker_on_small_disk(&self, name: &str) -> Process {
        let mut command = Command::new("bash");
        self.world.dress(&mut command);
        let script = format!(
            "trap '' XFSZ; exec '{}' \"$@\"",
            env!("CARGO_BIN_EXE_retort")
        );
        command.args(["-c", &script, "retort"]);
        let listen = ["--listen", "127.0.0.1:0"];
        self.start_as(command, ["worker", name], &self.url, &listen)
    }

    fn start_as(
        &self,
        mut command: Command,
        [role, name]: [&str; 2],
        url: &str,
        more: &[&str],
    ) -> Process {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.world.path(&format!("{name}.log")))
            .unwrap();
        command
            .args([role, "--id", name, "--catalog", "models.yaml"])
            .env("RETORT_BROKER__URL", url)
            .env("RETORT_STORE", &self.store)
            .env("RETORT_LOG", "info,retort_crawl=debug,lapin=warn")
            .stdout(Stdio::null())
            .stderr(log);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        let child = command.args(more).spawn().unwrap();
        Process {
            child,
            name: name.to_owned(),
        }
    }

    pub(crate) fn worker(&self, name: &str) -> Process {
        self.start("worker", name, &self.url, &[])
    }

    pub(crate) fn coordinator(&self, name: &str) -> Process {
        self.start("coordinator", name, &self.url, &[])
    }

    /// Returns the URL for a user of this kind of process, with the rights that `docs/broker.md` gives
    /// to it and no others.
    pub(crate) fn url_of(&self, role: &str) -> String {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/broker.md");
        let page = std::fs::read_to_string(page).unwrap();
        let row = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {role} | ")))
            .unwrap();
        // A bar within a cell is written with a backslash.
        let row = row.replace("\\|", "\0");
        let cells: Vec<String> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').replace('\0', "|"))
            .collect();
        let user = format!("{role}-{}", self.vhost);
        self.rabbit
            .user(&self.vhost, &user, [&cells[0], &cells[1], &cells[2]]);
        self.url.replace("guest:guest", &format!("{user}:secret"))
    }

    /// Starts a worker whose connections go through a proxy that can break them.
    pub(crate) fn worker_behind(&self, name: &str) -> (Process, FaultProxy) {
        let proxy = self.proxy();
        let url = self.url_at(proxy.address());
        (self.start("worker", name, &url, &[]), proxy)
    }

    /// Starts a proxy for workers within this process.
    pub(crate) fn proxy(&self) -> FaultProxy {
        let starting = FaultProxy::start(self.rabbit.address);
        self.runtime.block_on(starting).unwrap()
    }

    /// Submits campaign `id` of `prompts` prompts, `samples` draws each, of every model.
    pub(crate) fn submit(&self, id: &str, prompts: usize, samples: u32) -> Value {
        let output = self.try_submit(id, prompts, samples, json!({}));
        assert_code(&output, 0);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn try_submit(
        &self,
        id: &str,
        prompts: usize,
        samples: u32,
        more: Value,
    ) -> std::process::Output {
        let models = self.world.fleet.catalog().unwrap();
        let models: Vec<&str> = models
            .models
            .keys()
            .map(retort_types::ModelName::as_str)
            .collect();
        let mut fields = json!({ "id": id });
        crate::support::merge(&mut fields, more);
        self.world.campaign(&models, prompts, samples, fields);
        self.command(&["submit", "campaign.yaml", "--json"])
    }

    /// Runs a command against the broker of this fleet.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Output {
        self.command_as(&self.url, arguments)
    }

    /// As `command`, as the user of this URL.
    pub(crate) fn command_as(&self, url: &str, arguments: &[&str]) -> std::process::Output {
        let mut command = self.world.retort();
        command
            .args(arguments)
            .env("RETORT_BROKER__URL", url)
            .env("RETORT_STORE", &self.store)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        crate::support::finish(command.spawn().unwrap())
    }

    pub(crate) fn served(&self) -> u64 {
        self.world.fleet.stats().totals().served
    }

    pub(crate) fn paid_twice(&self) -> u64 {
        let stats = self.world.fleet.stats();
        stats.providers.values().map(|own| own.paid_twice).sum()
    }

    /// Asserts that the provider was asked each of `count` samples once.
    pub(crate) fn assert_paid_once(&self, count: u64) {
        let seen = (self.served(), self.paid_twice());
        assert_eq!(
            seen,
            (count, 0),
            "requests, of these twice\n{}",
            self.logs()
        );
    }

    pub(crate) fn wait_for(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "waited too long for {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn wait_for_served(&self, count: u64) {
        self.wait_for("requests", |fleet| fleet.served() >= count);
    }

    /// Returns what the processes said last, without the broker's heartbeats, and the status of each
    /// campaign.
    pub(crate) fn logs(&self) -> String {
        let mut text = Vec::new();
        for entry in std::fs::read_dir(self.world.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "log") {
                let own = std::fs::read_to_string(&path).unwrap_or_default();
                let said = own.lines().filter(|line| !line.contains("lapin::"));
                let said: Vec<&str> = said.collect();
                let tail = said[said.len().saturating_sub(60)..].join("\n");
                text.push(format!("--- {}\n{tail}", path.display()));
            }
        }
        for entry in std::fs::read_dir(self.data.join("campaigns"))
            .into_iter()
            .flatten()
        {
            let path = entry.unwrap().path().join("status.json");
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            text.push(format!("--- {}\n{status}", path.display()));
        }
        text.join("\n")
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.world.path(&format!("{name}.log"))).unwrap_or_default()
    }

    pub(crate) fn campaign(&self, id: &str) -> PathBuf {
        self.data.join("campaigns").join(id)
    }

    /// Returns the status that the coordinator wrote last, or null.
    pub(crate) fn status(&self, id: &str) -> Value {
        let text = std::fs::read_to_string(self.campaign(id).join("status.json"));
        let status = text.ok().and_then(|text| serde_json::from_str(&text).ok());
        status.unwrap_or_default()
    }

    pub(crate) fn state(&self, id: &str) -> Option<String> {
        self.status(id)["state"].as_str().map(str::to_owned)
    }

    /// Waits for the snapshot of a campaign, asserts that it is complete, unique and what its own
    /// digests say, and returns how many requests its attempts tell of.
    pub(crate) fn sealed(&self, id: &str, planned: usize) -> u64 {
        self.wait_for(&format!("`{id}` to be sealed"), |fleet| {
            fleet.state(id).as_deref() == Some("sealed")
        });
        let snapshot = self.snapshot(id);
        let rows = crate::support::read_table(&snapshot.join("responses"), &["sample_id"]);
        let ids: BTreeSet<String> = rows
            .iter()
            .map(|row| row["sample_id"].to_string())
            .collect();
        assert_eq!(
            (rows.len(), ids.len()),
            (planned, planned),
            "final rows of `{id}`"
        );
        let verified = self.command(&["dataset", "verify", id]);
        assert_code(&verified, 0);
        let attempts =
            crate::support::read_table(&snapshot.join("attempts"), &["attempt_no", "outcome"]);
        let asked = attempts.iter().filter(|row| row["outcome"] != "not_asked");
        asked.count() as u64
    }

    /// Returns the folder of the newest snapshot.
    pub(crate) fn snapshot(&self, id: &str) -> PathBuf {
        let snapshots = std::fs::read_dir(self.campaign(id).join("snapshots")).unwrap();
        let mut snapshots: Vec<_> = snapshots
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("MANIFEST.json").exists())
            .collect();
        snapshots.sort();
        snapshots.pop().unwrap()
    }

    /// Counts the final rows of a model by outcome and reason.
    pub(crate) fn outcomes(&self, id: &str, model: &str) -> BTreeMap<(String, String), usize> {
        let folder = self.snapshot(id).join("responses");
        let rows = crate::support::read_table(&folder, &["model", "outcome", "reason"]);
        let mut counts = BTreeMap::new();
        for row in rows.iter().filter(|row| row["model"] == model) {
            let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
            *counts.entry((text("outcome"), text("reason"))).or_default() += 1;
        }
        counts
    }

    /// Returns what waits in a queue and what consumers of it hold, or nothing when it is unknown.
    pub(crate) fn queue(&self, name: &str) -> Option<(u64, u64)> {
        let columns = ["name", "messages_ready", "messages_unacknowledged"];
        let list = ["list_queues", "-p", &self.vhost, "--no-table-headers"];
        let listed = self.rabbit.ctl(&[&list[..], &columns[..]].concat());
        let mut lines = listed.lines().map(|line| line.split_whitespace());
        let mut line = lines.find(|line| line.clone().next() == Some(name))?;
        line.next();
        let mut count = || line.next().and_then(|count| count.parse().ok());
        Some((count()?, count()?))
    }

    /// Returns the most requests within one second that the first provider counted.
    pub(crate) fn peak(&self) -> u64 {
        self.world.fleet.stats().providers["p0"].peak_total_1s
    }

    /// Deletes the virtual host with everything in it, and makes it again.
    pub(crate) fn lose_vhost(&self) {
        self.rabbit.vhost(&self.vhost);
    }

    /// Deletes what waits in every queue of the virtual host.
    pub(crate) fn purge_all(&self) {
        let list = [
            "list_queues",
            "-p",
            &self.vhost,
            "name",
            "--no-table-headers",
        ];
        let listed = self.rabbit.ctl(&list);
        for queue in listed.lines().map(str::trim) {
            if queue.starts_with("probes.") || matches!(queue, "receipts" | "submissions" | "dead")
            {
                self.rabbit.ctl(&["purge_queue", "-p", &self.vhost, queue]);
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.rabbit.ctl(&["delete_vhost", &self.vhost]);
    }
}

/// Returns where a service has its pages, as it says.
pub(crate) fn port_of(fleet: &Fleet, name: &str) -> u16 {
    let mut port = None;
    fleet.wait_for("the pages", |fleet| {
        let log = fleet.log(name);
        let place = log
            .lines()
            .find_map(|line| line.split("http://127.0.0.1:").nth(1));
        port = place.and_then(|place| place.trim().parse().ok());
        port.is_some()
    });
    port.unwrap()
}

/// Fetches a page of a service.
pub(crate) fn fetch(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Sums the values of a metric over all its labels.
pub(crate) fn sum(page: &str, metric: &str) -> u64 {
    let own = page.lines().filter(|line| {
        let rest = line.strip_prefix(metric);
        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    own.map(|line| whole(line.rsplit(' ').next().unwrap()))
        .sum()
}

/// Reads a count, which is written with a fraction of nothing.
fn whole(value: &str) -> u64 {
    value.strip_suffix(".0").unwrap_or(value).parse().unwrap()
}

/// Passes, breaks, and passes again.
pub(crate) fn broken_for(proxy: &FaultProxy, mode: Mode, time: Duration) {
    proxy.set(mode);
    std::thread::sleep(time);
    proxy.set(Mode::Pass);
}
