//! A request as a curl command that a person can run, its key as a variable of the shell.

use retort_crawl::worker::Composed;
use retort_types::catalog::{Auth, SIGV4_SERVICE, SigV4};

/// Returns `text` as one word of a POSIX shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the curl command of a request that `auth` authorises.
pub(super) fn command(request: &Composed, auth: Option<&Auth>) -> String {
    let mut parts = vec![format!("curl -sS {}", quoted(&request.url))];
    if let Some(key) = auth.and_then(|auth| auth.sigv4.as_ref()) {
        parts.extend(signing(key));
    } else if let Some(auth) = auth {
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

/// Returns the flags with which curl signs a request itself.
fn signing(key: &SigV4) -> Vec<String> {
    let scope = format!("aws:amz:{}:{SIGV4_SERVICE}", key.region);
    let (access, secret) = (&key.access_key_env, &key.secret_key_env);
    let mut flags = vec![
        format!("--aws-sigv4 {}", quoted(&scope)),
        format!("--user \"${access}:${secret}\""),
    ];
    if let Some(token) = &key.session_token_env {
        flags.push(format!("-H 'x-amz-security-token: '\"${token}\""));
    }
    flags
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

    #[test]
    fn a_signing_key_is_variables() {
        let sigv4 = SigV4 {
            region: "eu-west-1".to_owned(),
            access_key_env: "KEY_ID".to_owned(),
            secret_key_env: "SECRET".to_owned(),
            session_token_env: Some("TOKEN".to_owned()),
        };
        let auth = Auth {
            sigv4: Some(sigv4),
            ..Auth::default()
        };
        assert_eq!(
            command(&request("{}"), Some(&auth)),
            "curl -sS 'https://api.example.com/v1/chat/completions?x='\\''y'\\''' \\\n  \
             --aws-sigv4 'aws:amz:eu-west-1:bedrock' \\\n  --user \"$KEY_ID:$SECRET\" \\\n  \
             -H 'x-amz-security-token: '\"$TOKEN\" \\\n  \
             -H 'content-type: application/json' \\\n  --data-raw '{}'"
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
