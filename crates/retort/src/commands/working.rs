//! Long computations: off the thread that waits, with a bar on a terminal and plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::output::note;

/// Lines that are printed where there is no terminal.
const LINES: usize = 4;

/// Runs a computation that tells how far it is: so many steps done, of so many.
pub(crate) async fn run<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce(&(dyn Fn(usize, usize) + Sync)) -> T + Send + 'static,
) -> Result<T, Failure> {
    let is_terminal = std::io::stderr().is_terminal();
    let task = tokio::task::spawn_blocking(move || {
        let bar = ProgressBar::hidden();
        if is_terminal {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:24}] {pos}/{len}") {
                bar.set_style(style);
            }
            bar.set_message(doing);
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        let told = AtomicUsize::new(0);
        let result = work(&|done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            let quarter = (done * LINES).checked_div(all).unwrap_or(0);
            if !is_terminal && told.fetch_max(quarter, Ordering::Relaxed) < quarter {
                note(&format!("{doing}: {done}/{all}"));
            }
        });
        bar.finish_and_clear();
        result
    });
    task.await
        .map_err(|_| Failure::new(format!("failed while {doing}")))
}
