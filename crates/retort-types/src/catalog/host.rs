//! Hosts of URLs.

/// Returns host and port of `url`, without scheme, user info, path or query.
pub fn host_and_port(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// Returns whether `host`, with or without a port, is this machine.
pub fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Returns `url` without the port of a loopback host.
pub(super) fn without_loopback_port(url: &str) -> String {
    let host = host_and_port(url);
    if !is_loopback_host(host) {
        return url.to_owned();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    url.replacen(host, name, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_recognised_and_its_port_left_out() {
        for host in [
            "127.0.0.1:80",
            "localhost",
            "localhost:9",
            "[::1]:80",
            "127.8.0.1",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "api.openai.com",
            "10.0.0.1:80",
            "localhost.example.com",
            "[2001:db8::1]:80",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
        assert_eq!(
            without_loopback_port("http://127.0.0.1:8080/v1"),
            "http://127.0.0.1/v1"
        );
        assert_eq!(
            without_loopback_port("http://[::1]:8080/v1"),
            "http://[::1]/v1"
        );
        assert_eq!(
            without_loopback_port("https://h:8443/v1"),
            "https://h:8443/v1"
        );
        assert_eq!(host_and_port("https://user:pw@h:1/p?q"), "h:1");
    }
}
