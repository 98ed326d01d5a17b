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
mod service;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // For clients that do not name theirs. Nothing else installs one, so that this cannot fail.
    drop(rustls::crypto::ring::default_provider().install_default());
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
