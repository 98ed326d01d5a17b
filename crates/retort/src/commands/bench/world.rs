//! The server that both sides ask, and the files of the crawl that asks it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::failure::Failure;

/// Longest wait for a child to say where it serves.
const PATIENCE: Duration = Duration::from_mins(1);

/// More than any answer here needs.
pub(crate) const MAX_TOKENS: u32 = 4_096;

/// Bytes of an answer around its text, and of a word of the text with its space.
const FRAME_BYTES: u32 = 420;
const WORD_BYTES: u32 = 6;

/// Prompts of a campaign; more requests are more samples of each.
const PROMPTS: u32 = 1_000;

/// What the server answers and how it limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) latency_ms: u64,
    /// Words of an answer.
    pub(crate) words: u32,
    /// Requests a second, with a burst of 10.
    pub(crate) limit: Option<u32>,
    pub(crate) tls: bool,
}

/// Returns the words of an answer of so many bytes.
pub(crate) const fn words_of(bytes: u32) -> u32 {
    let words = bytes.saturating_sub(FRAME_BYTES) / WORD_BYTES;
    if words == 0 { 1 } else { words }
}

/// Returns a prompt; both sides ask the same ones.
pub(crate) fn prompt(number: u32) -> String {
    format!("Say something about number {}.", number % PROMPTS)
}

/// A running server and the folder of everything.
pub(crate) struct World {
    folder: tempfile::TempDir,
    /// Ended with this value.
    _children: Vec<Child>,
    plain: String,
    asked: String,
    client: reqwest::Client,
}

impl World {
    /// Starts a server.
    pub(crate) async fn start(server: Server) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let fleet = json!({ "providers": [{
            "name": "p",
            "latency": { "ms": server.latency_ms },
            "limits": {
                "requests_per_second": server.limit,
                "burst": server.limit.map(|_| 10),
            },
            "models": [{ "name": "m", "words_min": server.words, "words_max": server.words }],
        }] });
        let fleet_file = folder.path().join("fleet.yaml");
        std::fs::write(&fleet_file, fleet.to_string())?;
        let mut children = Vec::new();
        let (child, plain) = serving(this_program()?.arg("sim").arg(&fleet_file)).await?;
        children.push(child);
        let mut asked = plain.clone();
        if server.tls {
            let to = plain.trim_start_matches("http://").to_owned();
            let mut front = this_program()?;
            front.args(["bench", "tls-front", "--to", &to, "--certificate"]);
            let (child, address) = serving(front.arg(folder.path().join("ca.pem"))).await?;
            children.push(child);
            asked = address;
        }
        Ok(Self {
            folder,
            _children: children,
            plain,
            asked,
            client: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .build()?,
        })
    }

    /// Returns a path in the folder of this measurement.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the file with the certificate to trust, when TLS is spoken.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        (self.asked != self.plain).then(|| self.path("ca.pem"))
    }

    /// Returns where requests of the bare loop go.
    pub(crate) fn chat_url(&self) -> String {
        format!("{}/p/p/v1/chat/completions", self.asked)
    }

    /// Returns what the server counted so far.
    pub(crate) async fn stats(&self) -> Result<Value, Failure> {
        let url = format!("{}/stats", self.plain);
        let bytes = self.client.get(url).send().await?.bytes().await?;
        let stats: Value = serde_json::from_slice(&bytes)?;
        Ok(stats["providers"]["p"].clone())
    }

    /// Writes the catalog and the campaign of a crawl.
    pub(crate) fn write_campaign(
        &self,
        id: &str,
        limits: &Value,
        requests: u32,
        more: &[(&str, Value)],
    ) -> Result<(), Failure> {
        let catalog = json!({
            "providers": { "p": { "wire": "openai-chat", "base_url": format!("{}/p/p/v1", self.asked) } },
            "accounts": { "p": { "provider": "p", "limits": limits } },
            "models": { "m": { "account": "p", "model": "m" } },
        });
        std::fs::write(self.path("models.yaml"), catalog.to_string())?;
        let prompts = PROMPTS.min(requests);
        let mut campaign = json!({
            "id": id,
            "purpose": "a measurement of this machine",
            "models": ["m"],
            "params": { "max_tokens": MAX_TOKENS },
            "suites": [{
                "samples": requests / prompts,
                "inline": {
                    "name": "numbers",
                    "prompts": (0..prompts).map(prompt).collect::<Vec<_>>(),
                },
            }],
        });
        for (key, value) in more {
            campaign[key] = value.clone();
        }
        std::fs::write(self.path(&format!("{id}.yaml")), campaign.to_string())?;
        Ok(())
    }
}

/// Returns how often a campaign of `requests` really asks: every prompt the same number of times.
pub(crate) fn asked(requests: u32) -> u32 {
    let prompts = PROMPTS.min(requests);
    requests / prompts * prompts
}

/// Returns this program, to be started as another process that ends with this one.
pub(crate) fn this_program() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.kill_on_drop(true).stdin(Stdio::null());
    Ok(command)
}

/// Starts a server and returns its address.
pub(crate) async fn serving(command: &mut Command) -> Result<(Child, String), Failure> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take();
    let stdout = stdout.ok_or_else(|| Failure::new("a server without an output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let address = tokio::time::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.strip_prefix("serving on ") {
                return Ok(address.to_owned());
            }
        }
        Err(Failure::new("failed to start a server"))
    });
    let address = address.await??;
    // What else it prints must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, address))
}

/// Returns whether every reply of the crawl is stored: it seals, or did.
pub(crate) fn is_stored(status: &Path) -> bool {
    let Ok(text) = std::fs::read(status) else {
        return false;
    };
    let Ok(status) = serde_json::from_slice::<Value>(&text) else {
        return false;
    };
    matches!(status["state"].as_str(), Some("sealing" | "sealed"))
}
