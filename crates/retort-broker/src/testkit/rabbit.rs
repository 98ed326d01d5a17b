//! The private `RabbitMQ` that `deploy/rabbitmq.sh` keeps for tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{AmqpSettings, BrokerUrl};

/// A broker that belongs to the tests, so that they may stop it, starve it and lose its data.
///
/// Its methods panic when something goes wrong, with what to do about it.
#[derive(Debug, Clone)]
pub struct Rabbit {
    folder: PathBuf,
    address: SocketAddr,
}

impl Rabbit {
    /// Returns the instance that `RETORT_RABBITMQ` names, which runs already.
    ///
    /// # Panics
    /// When there is none.
    pub async fn shared() -> Self {
        let folder = std::env::var_os("RETORT_RABBITMQ").expect(
            "RETORT_RABBITMQ names no private RabbitMQ: run the tests by deploy/test.sh, or \
             `RETORT_RABBITMQ=$(mktemp -d) deploy/rabbitmq.sh start` first",
        );
        let folder = PathBuf::from(folder);
        let url = run(&folder, &["url"]).await;
        let address = url.trim().rsplit('@').next().map(str::parse);
        let address = address.and_then(Result::ok);
        let address = address.expect("the script prints a URL with an address");
        Self { folder, address }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes an empty virtual host and returns its URL. The name must be one of these tests alone.
    pub async fn vhost(&self, name: &str) -> BrokerUrl {
        let add = format!(
            "catch rabbit_vhost:delete(<<\"{name}\">>, <<\"retort\">>), \
             rabbit_vhost:add(<<\"{name}\">>, <<\"retort\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, <<\"{name}\">>, \
             <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"retort\">>)."
        );
        self.ctl(&["eval", &add]).await;
        self.url_at(self.address, name)
    }

    /// Returns the URL of a virtual host through another address, such as that of a proxy.
    ///
    /// # Panics
    /// When the name needs escaping.
    pub fn url_at(&self, address: SocketAddr, vhost: &str) -> BrokerUrl {
        let url = format!("amqp://guest:guest@{address}/{vhost}").parse();
        url.expect("names of virtual hosts in tests are plain")
    }

    /// Returns settings for a virtual host.
    pub fn settings(&self, url: BrokerUrl) -> AmqpSettings {
        AmqpSettings {
            url,
            name: "retort tests".to_owned(),
            ..AmqpSettings::default()
        }
    }

    /// Runs `rabbitmqctl` and returns what it prints.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let arguments = [&["ctl"], arguments].concat();
        run(&self.folder, &arguments).await
    }

    /// Ends it as a crash does; data stay.
    pub async fn kill(&self) {
        run(&self.folder, &["kill"]).await;
    }

    /// Starts it again, at the same address.
    pub async fn start(&self) {
        run(&self.folder, &["start"]).await;
    }
}

async fn run(folder: &Path, arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rabbitmq.sh");
    // A file for its output: a broker that it starts keeps a pipe open.
    let mut command = Command::new("bash");
    command.arg(script).args(arguments);
    command.env("RETORT_RABBITMQ", folder);
    let done = command.output().await.expect("bash runs");
    let (out, error) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(
        done.status.success(),
        "deploy/rabbitmq.sh {arguments:?} failed: {out}{error}"
    );
    out.into_owned()
}
