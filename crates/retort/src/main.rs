//! The one binary: commands, configuration and wiring. What the words mean lives in the crates.

mod cli;
mod clock;
mod commands;
mod config;
mod failure;
mod files;
mod output;
mod progress;
mod secrets;

use std::process::ExitCode;

use clap::Parser as _;

/// Every record is allocated by one thread and freed by another, which costs a quarter of a request's
/// CPU with the allocator of glibc: `docs/decisions/0006-jemalloc-for-the-binary.md`.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    output::start_logging(cli.global.log_format);
    // Requests are many and small: one thread that waits well beats several that share.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("error: failed to start: {error}"));
            return ExitCode::from(failure::FAILED);
        }
    };
    match runtime.block_on(commands::dispatch(cli)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::error(&failure.to_string());
            ExitCode::from(failure.code)
        }
    }
}
