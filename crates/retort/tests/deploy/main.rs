//! What `deploy/` and `k8s/` say of the binary is so: commands, flags, settings, ports, pages, metrics.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where what it reads is not as it should be"
)]

mod files;
mod monitoring;
mod services;
mod settings;
