//! Signed requests of Bedrock, checked against a signature that `botocore` 1.44 made.

use std::collections::BTreeMap;

use retort_sim::{Fleet, ModelSpec, ProviderSpec};

use crate::client::{Client, Reply, fleet};

/// What was signed, for the moment at which the tests' clock stands.
const BODY: &str = r#"{"messages":[{"content":[{"text":"hi"}],"role":"user"}]}"#;
const DATE: &str = "20260921T141320Z";
const SIGNATURE: &str = "718ba27d1fac8b54cf7a244e07074e011a67e7d9e70eff5f675ca95ca708f25b";

async fn signing() -> Fleet {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let mut provider = ProviderSpec::new("alpha", vec![ModelSpec::canned("m:1")]);
    provider.signing_keys = BTreeMap::from([("AKIDEXAMPLE".to_owned(), secret.to_owned())]);
    provider.api_keys = vec!["token".to_owned()];
    fleet(provider).await
}

async fn send(fleet: &Fleet, authorization: &str, date: &str, body: &str) -> Reply {
    let mut client = Client::connect(fleet.address()).await;
    let length = body.len();
    let request = format!(
        "POST /p/alpha/model/m%3A1/converse HTTP/1.1\r\nhost: x\r\nx-amz-date: {date}\r\n\
         content-type: application/json\r\nauthorization: {authorization}\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    client.send(request.as_bytes()).await;
    client.reply().await.expect("a whole answer")
}

fn signed(key_id: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={key_id}/20260921/us-east-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    )
}

#[tokio::test]
async fn a_signature_fits_one_request_only() {
    let fleet = signing().await;
    let good = signed("AKIDEXAMPLE", SIGNATURE);
    let reply = send(&fleet, &good, DATE, BODY).await;
    assert_eq!(
        reply.status,
        200,
        "{}",
        String::from_utf8_lossy(&reply.body)
    );
    let other = BODY.replace("hi", "ho");
    let swapped = SIGNATURE.replace('7', "8");
    for (authorization, date, body, kind) in [
        (
            good.clone(),
            DATE,
            other.as_str(),
            "InvalidSignatureException",
        ),
        (
            good.clone(),
            "20260921T141321Z",
            BODY,
            "InvalidSignatureException",
        ),
        (
            good.clone(),
            "20260921T151320Z",
            BODY,
            "InvalidSignatureException",
        ),
        (
            signed("AKIDEXAMPLE", &swapped),
            DATE,
            BODY,
            "InvalidSignatureException",
        ),
        (
            signed("AKIDOTHER", SIGNATURE),
            DATE,
            BODY,
            "UnrecognizedClientException",
        ),
        (
            "AWS4-HMAC-SHA256 nonsense".to_owned(),
            DATE,
            BODY,
            "InvalidSignatureException",
        ),
        (
            "Bearer other".to_owned(),
            DATE,
            BODY,
            "UnrecognizedClientException",
        ),
    ] {
        let reply = send(&fleet, &authorization, date, body).await;
        assert_eq!(reply.status, 403, "{authorization}");
        assert_eq!(
            reply.header("x-amzn-errortype"),
            Some(kind),
            "{authorization}"
        );
    }
    assert_eq!(send(&fleet, "Bearer token", DATE, BODY).await.status, 200);
}
