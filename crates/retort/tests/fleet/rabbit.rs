//! A private `RabbitMQ`, by `deploy/rabbitmq.sh`: the one that all tests share, or one of a test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A broker that belongs to the tests.
pub(crate) struct Rabbit {
    folder: PathBuf,
    pub(crate) address: SocketAddr,
    /// The folder of an instance that ends with this.
    own: Option<TempDir>,
}

impl Rabbit {
    /// Returns the instance that `RETORT_RABBITMQ` names, which runs already.
    pub(crate) fn shared() -> Self {
        let folder = std::env::var_os("RETORT_RABBITMQ").expect(
            "RETORT_RABBITMQ names no private RabbitMQ: run the tests by deploy/test.sh, or \
             `export RETORT_RABBITMQ=$(mktemp -d); deploy/rabbitmq.sh start` first",
        );
        let folder = PathBuf::from(folder);
        let address = address(&folder);
        Self {
            folder,
            address,
            own: None,
        }
    }

    /// Starts an instance that the test may stop.
    pub(crate) fn own() -> Self {
        let own = TempDir::new().unwrap();
        let folder = own.path().join("rabbitmq");
        run(&folder, &["start"]);
        let address = address(&folder);
        Self {
            folder,
            address,
            own: Some(own),
        }
    }

    /// Starts one more node of this instance's cluster.
    pub(crate) fn join(&self) -> Self {
        let own = TempDir::new().unwrap();
        let folder = own.path().join("rabbitmq");
        run(&folder, &["join", &self.folder.display().to_string()]);
        let address = address(&folder);
        Self {
            folder,
            address,
            own: Some(own),
        }
    }

    /// Does something to its process: `kill`, `start`, `freeze` or `thaw`.
    pub(crate) fn act(&self, action: &str) {
        run(&self.folder, &[action]);
    }

    /// Returns the same instance for one more fleet; it ends with the first.
    pub(crate) fn again(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            address: self.address,
            own: None,
        }
    }

    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        run(&self.folder, &[&["ctl"], arguments].concat())
    }

    /// Ends it as a crash does, and starts it again.
    pub(crate) fn crash(&self) {
        self.act("kill");
        self.act("start");
    }

    /// Makes a virtual host, or deletes it with everything in it and makes it again.
    pub(crate) fn vhost(&self, name: &str) {
        let add = format!(
            "catch rabbit_vhost:delete(<<\"{name}\">>, <<\"retort\">>), \
             rabbit_vhost:add(<<\"{name}\">>, <<\"retort\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, <<\"{name}\">>, \
             <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"retort\">>)."
        );
        self.ctl(&["eval", &add]);
    }

    /// Adds a user of a virtual host, with the password `secret`. `rights` are to configure, to write
    /// and to read.
    pub(crate) fn user(&self, vhost: &str, user: &str, rights: [&str; 3]) {
        let [configure, write, read] = rights.map(|right| right.replace('\\', "\\\\"));
        let add = format!(
            "catch rabbit_auth_backend_internal:delete_user(<<\"{user}\">>, <<\"retort\">>), \
             rabbit_auth_backend_internal:add_user(<<\"{user}\">>, <<\"secret\">>, <<\"retort\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"{vhost}\">>, \
             <<\"{configure}\">>, <<\"{write}\">>, <<\"{read}\">>, <<\"retort\">>)."
        );
        self.ctl(&["eval", &add]);
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        if self.own.is_some() {
            run(&self.folder, &["stop"]);
        }
    }
}

fn address(folder: &Path) -> SocketAddr {
    let url = run(folder, &["url"]);
    url.trim().rsplit('@').next().unwrap().parse().unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rabbitmq.sh");
    let mut command = Command::new("bash");
    command.arg(script).args(arguments);
    command.env("RETORT_RABBITMQ", folder);
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "deploy/rabbitmq.sh {arguments:?} failed: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}
