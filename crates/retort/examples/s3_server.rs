//! An S3 server over a folder, for trials on one machine: real HTTP, signatures checked.
//! `cargo run -p retort --example s3_server -- FOLDER` prints what to export and serves until stopped.

#![allow(
    dead_code,
    clippy::print_stdout,
    reason = "the server of the tests can do more, and this example talks to a shell"
)]

#[path = "../../retort-dataset/tests/support/s3.rs"]
mod s3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| "s3".into());
    let server = s3::S3Server::start(std::path::Path::new(&folder));
    for (name, value) in server.environment() {
        println!("export {name}='{value}'");
    }
    println!("export RETORT_STORE=s3://{}/demo", s3::BUCKET);
    tokio::signal::ctrl_c().await
}
