//! Published vectors, and what a signed request may not tell.

use super::*;

/// The key of AWS's published examples.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const TIME: &str = "20150830T123600Z";

fn key(service: &str, token: Option<&str>) -> SigningKey {
    let secret = |text: &str| Secret::new(text.to_owned());
    SigningKey::new(
        secret("AKIDEXAMPLE"),
        secret(SECRET),
        token.map(secret),
        ("us-east-1", service),
    )
    .unwrap()
}

#[test]
fn keyed_digests_are_those_of_rfc_4231() {
    for (key, message, expected) in [
        (
            vec![0x0b; 20],
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".to_vec(),
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            vec![0xaa; 131],
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        assert_eq!(hex(&hmac(&key, message.as_bytes())), expected);
    }
}

#[test]
fn the_key_of_a_day_is_the_published_one() {
    assert_eq!(
        hex(&*key("iam", None).key_of("20150830")),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
}

/// Name, method, query, content type, body, signature.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
);

/// Cases of AWS's own test suite.
const SUITE: &[Case] = &[
    (
        "get-vanilla",
        "GET",
        "",
        None,
        "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "?Param2=value2&Param1=value1",
        None,
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "post-vanilla",
        "POST",
        "",
        None,
        "",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST",
        "",
        Some("application/x-www-form-urlencoded"),
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
];

#[test]
fn signatures_are_those_of_the_published_suite() {
    for (name, method, query, content_type, body, expected) in SUITE {
        let url = Url::parse(&format!("https://example.amazonaws.com/{query}")).unwrap();
        let content_type = content_type.map(|value| ("content-type", value.to_owned()));
        let mut headers: Vec<(&str, String)> = content_type.into_iter().collect();
        headers.push(("host", host(&url)));
        headers.push(("x-amz-date", TIME.to_owned()));
        let signed = Signed {
            method,
            url: &url,
            headers,
            body: body.as_bytes(),
        };
        let (_, signature) = key("service", None).authorization(&signed, TIME);
        assert_eq!(signature.expose(), *expected, "{name}");
    }
}

fn signed(url: &str, token: Option<&str>) -> (HeaderMap, Secret) {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::USER_AGENT, HeaderValue::from_static("retort"));
    let at: Timestamp = "2015-08-30T12:36:00.250Z".parse().unwrap();
    let url = Url::parse(url).unwrap();
    let signature = key("bedrock", token).sign(&url, &mut headers, b"{\"messages\":[]}", at);
    (headers, signature.unwrap())
}

#[test]
fn a_request_to_bedrock_is_signed_as_amazons_own_library_does() {
    let url = concat!(
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"
    );
    let (headers, _) = signed(url, Some("a-session-token/with+signs=="));
    assert_eq!(headers["x-amz-date"], TIME);
    assert_eq!(
        headers["x-amz-security-token"],
        "a-session-token/with+signs=="
    );
    assert_eq!(
        headers["authorization"],
        concat!(
            "AWS4-HMAC-SHA256 ",
            "Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, ",
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, ",
            "Signature=1d6df5432273a221cf6f473ff685b8df41eb5a4d42054d1b27b288170cd90f0d"
        )
    );
}

#[test]
fn whatever_is_signed_changes_the_signature() {
    let base = signed("https://h/model/a%3A0/converse", None).1;
    for url in [
        "https://h/model/a%3A1/converse",
        "https://h/model/a:0/converse",
        "https://h/model/a%3A0/converse?x=1",
        "https://g/model/a%3A0/converse",
        "https://h:8443/model/a%3A0/converse",
    ] {
        assert_ne!(signed(url, None).1.expose(), base.expose(), "{url}");
    }
    assert_ne!(
        signed("https://h/model/a%3A0/converse", Some("t"))
            .1
            .expose(),
        base.expose()
    );
    // A scheme's own port is not told, so it changes nothing.
    let again = signed("https://h:443/model/a%3A0/converse", None).1;
    assert_eq!(again.expose(), base.expose());
}

#[test]
fn paths_and_queries_are_written_as_they_are_signed() {
    for (url, expected_path, expected_query) in [
        ("http://h", "/", ""),
        ("http://h/a%3A0/b", "/a%253A0/b", ""),
        ("http://h//a/./b/../c/", "/a/c/", ""),
        ("http://h/é", "/%25C3%25A9", ""),
        ("http://h/?b=2&a=%20&a=%2F&c", "/", "a=%20&a=%2F&b=2&c="),
    ] {
        let url = Url::parse(url).unwrap();
        assert_eq!(path(&url), expected_path, "{url}");
        assert_eq!(query(&url), expected_query, "{url}");
    }
}

#[test]
fn nothing_prints_a_key() {
    let key = key("bedrock", Some("token-canary"));
    let (headers, signature) = signed("http://h/", Some("token-canary"));
    let shown = format!("{key:?} {headers:?} {signature:?}");
    for hidden in [SECRET, "AKIDEXAMPLE", "canary", signature.expose()] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert_eq!(key.secrets().len(), 3);
}

#[test]
fn what_no_header_holds_is_no_key() {
    let secret = |text: &str| Secret::new(text.to_owned());
    for (access, token, region) in [
        ("a\nb", None, "us-east-1"),
        ("a", Some("t t"), "us-east-1"),
        ("a", None, "us east"),
    ] {
        let token = token.map(secret);
        let key = SigningKey::new(secret(access), secret("s"), token, (region, "bedrock"));
        assert!(key.is_err(), "{access} {region}");
    }
}
