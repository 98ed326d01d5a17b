//! A request as a curl command that a person can run, its key as a variable of the shell.

use retort_crawl::worker::Composed;
use retort_types::catalog::Auth;

/// Returns `text` as one word of a POSIX shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the curl command of a request that `auth` authorises.
pub(super) fn command(request: &Composed, auth: Option<&Auth>) -> String {
    let mut parts = vec![format!("curl -sS {}", quoted(&request.url))];
    if let Some(auth) = auth {
        let before = quoted(&format!("{}: {}", auth.header_name(), auth.prefix_text()));
        let secret = match (&auth.env, &auth.file) {
            (Some(name), _) => format!("\"${name}\""),
            (None, Some(path)) => format!("\"$(cat {})\"", quoted(path)),
            (None, None) => String::new(),
        };
        parts.push(format!("-H {before}{secret}"));
    }
    for (name, value) in &request.headers {
        parts.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    }
    let body = String::from_utf8_lossy(&request.body);
    parts.push(format!("--data-raw {}", quoted(&body)));
    parts.join(" \\\n  ")
}

#[cfg(test)]
mod tests {
    use retort_types::WireProtocol;

    use super::*;

    fn request(body: &str) -> Composed {
        Composed {
            url: "https://api.example.com/v1/chat/completions?x='y'".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_owned().into(),
            request_params: "{}".to_owned(),
            protocol: WireProtocol::OpenaiChat,
        }
    }

    #[test]
    fn the_key_is_a_variable() {
        let auth = Auth {
            env: Some("EXAMPLE_KEY".to_owned()),
            ..Auth::default()
        };
        assert_eq!(
            command(&request("{}"), Some(&auth)),
            "curl -sS 'https://api.example.com/v1/chat/completions?x='\\''y'\\''' \\\n  \
             -H 'authorization: Bearer '\"$EXAMPLE_KEY\" \\\n  \
             -H 'content-type: application/json' \\\n  --data-raw '{}'"
        );
        let auth = Auth {
            header: Some("x-key".to_owned()),
            file: Some("/run/a key".to_owned()),
            ..Auth::default()
        };
        let command = command(&request("{}"), Some(&auth));
        assert!(
            command.contains("-H 'x-key: '\"$(cat '/run/a key')\""),
            "{command}"
        );
    }

    /// The shell itself says what each word is: nothing of a prompt is ever run or expanded.
    #[test]
    fn a_shell_reads_back_exactly_what_was_written() {
        for text in [
            "a'b",
            "$(id) `id` $HOME \\ \" ! ; & | \n # *",
            "@file",
            "日本 ' '' \\'",
        ] {
            let script = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .expect("a POSIX shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }
}
