//! The signals by which a person, or whatever runs a container, ends a process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::failure::INTERRUPTED;
use crate::output::note;

/// Ctrl-C and SIGTERM, from when this is made on. The first process of a container, number 1, is
/// sent neither unless it listens.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system takes no more listeners.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. Cancel safe: none is lost.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Asks to stop on the first signal; the second ends the process at once: the spool keeps what it has.
///
/// # Errors
/// When the system takes no more listeners.
pub(super) fn interrupts(stop: watch::Sender<bool>) -> io::Result<JoinHandle<()>> {
    let mut signals = Signals::listen()?;
    Ok(tokio::spawn(async move {
        signals.next().await;
        stop.send_replace(true);
        signals.next().await;
        note("given up; what was stored is kept, and the same command goes on from here");
        #[expect(clippy::exit, reason = "a second Ctrl-C means now")]
        std::process::exit(i32::from(INTERRUPTED));
    }))
}
