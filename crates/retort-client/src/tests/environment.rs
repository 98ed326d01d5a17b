//! The environment of the process does not redirect requests. Each test runs itself again as a
//! child, because a process must not change its own environment.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use super::*;
use crate::{ClientError, Ending};

/// Tells a child which server to ask.
const CHILD: &str = "RETORT_TEST_CHILD_URL";

fn run_again(test: &str, url: &str, environment: &[(&str, &str)]) -> Output {
    let program = std::env::current_exe().expect("tests are a program");
    let mut command = Command::new(program);
    command.args(["--exact", test]).env(CHILD, url);
    for name in ["NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    command.output().expect("the tests can be run again")
}

fn child_url() -> Option<String> {
    std::env::var_os(CHILD).map(|url| url.into_string().expect("an ASCII URL"))
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    if let Some(url) = child_url() {
        let settings = ClientSettings {
            total_timeout: ms(20_000),
            ..ClientSettings::default()
        };
        let (exchange, text) = ask(&client(settings), &url).await;
        assert_eq!((exchange.end, text), (Ending::Complete, b"{}".to_vec()));
        return;
    }
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}/v1", origin.local_addr().unwrap());
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = origin.accept().unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"{\"prompt\":\"hello\"}") {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the request is whole");
            seen.extend_from_slice(&buffer[..read]);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            .unwrap();
    });
    let names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let environment = names.map(|name| (name, proxy_url.as_str()));
    let test = "tests::environment::proxies_of_the_environment_are_not_used";
    let output = run_again(test, &url, &environment);
    assert!(output.status.success(), "{output:?}");
    let visit = proxy.accept();
    assert!(visit.is_err(), "the proxy was asked");
    thread.join().unwrap();
}

#[test]
fn a_machine_without_roots_can_ask_itself_only() {
    if child_url().is_some() {
        let client = client(ClientSettings {
            contact: Some("mailto:lab@example.org".to_owned()),
            ..ClientSettings::default()
        });
        client.check_url("http://127.0.0.1/").unwrap();
        let error = client.check_url("https://example.org/").unwrap_err();
        assert!(matches!(error, ClientError::NoRoots), "{error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, "").unwrap();
    let (file, folder) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
    let environment = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", folder)];
    let test = "tests::environment::a_machine_without_roots_can_ask_itself_only";
    let output = run_again(test, "none", &environment);
    assert!(output.status.success(), "{output:?}");
}
