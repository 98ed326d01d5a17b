//! Puts one question to one model and decodes what comes back, without storing or counting it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use retort_client::{BodySink, Credential, Ending, Exchange, Flow, Head, HttpRequest, Secret};
use retort_types::{Endpoint, Params, PromptInput, WireProtocol};
use retort_wire::{AnswerHead, Ask, Decoded, Decoder};

use crate::decoding::{self, End};

/// A model that can be asked: its catalog rows and what authorises requests.
#[derive(Debug, Clone)]
pub struct Target {
    /// The catalog's rows, resolved.
    pub endpoint: Endpoint,
    /// What authorises requests, if anything.
    pub secret: Option<Arc<Credential>>,
}

/// What is put to a model.
pub(super) struct Put<'a> {
    pub(super) input: &'a PromptInput,
    pub(super) system: Option<&'a str>,
    pub(super) params: &'a Params,
    pub(super) sample_id: Option<String>,
}

/// A request without its secret.
#[derive(Debug)]
pub struct Composed {
    /// Where it goes.
    pub url: String,
    /// Its headers besides the one that authorises it.
    pub headers: Vec<(String, String)>,
    /// Its body, JSON.
    pub body: Bytes,
    /// Everything sent besides the prompt, as JSON.
    pub request_params: String,
    /// The protocol it speaks.
    pub protocol: WireProtocol,
}

/// A question cannot be put to a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unaskable {
    /// Why.
    pub message: String,
    /// What a person can do about it.
    pub hint: Option<&'static str>,
}

/// Returns the request that puts a question to `endpoint`.
pub(super) fn compose(endpoint: &Endpoint, put: &Put<'_>) -> Result<Composed, Unaskable> {
    let mode = put.input.mode();
    let unaskable = || Unaskable {
        message: format!(
            "{} cannot ask a prompt of mode {}",
            endpoint.wire,
            mode.as_str()
        ),
        hint: Some("ask in the other `mode`, or leave the model out"),
    };
    let protocol = endpoint.wire.for_mode(mode).ok_or_else(unaskable)?;
    let encoded = retort_wire::encode(&Ask {
        protocol,
        request_model: &endpoint.request_model,
        input: put.input,
        system: put.system,
        params: put.params,
        options: &endpoint.options,
    })
    .map_err(|error| Unaskable {
        message: error.to_string(),
        hint: error.hint(),
    })?;
    let url = endpoint.url(mode, encoded.streamed).ok_or_else(unaskable)?;
    let mut headers = encoded.headers;
    headers.extend(
        endpoint
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    if let (Some(name), Some(id)) = (&endpoint.sample_id_header, &put.sample_id) {
        headers.push((name.clone(), id.clone()));
    }
    Ok(Composed {
        url,
        headers,
        body: encoded.body,
        request_params: encoded.request_params,
        protocol,
    })
}

/// Returns the request, the protocol it speaks and its parameters as JSON.
pub(super) fn request(
    target: &Target,
    put: &Put<'_>,
) -> Result<(HttpRequest, WireProtocol, String), String> {
    let composed = compose(&target.endpoint, put).map_err(|error| error.message)?;
    let request = HttpRequest {
        url: composed.url,
        headers: composed.headers,
        secret: target.secret.clone(),
        body: composed.body,
    };
    Ok((request, composed.protocol, composed.request_params))
}

/// Feeds a body to its decoder as it arrives.
pub(super) struct DecoderSink<'a> {
    pub(super) protocol: WireProtocol,
    pub(super) endpoint: &'a Endpoint,
    pub(super) streamed: bool,
    pub(super) decoder: Option<Decoder>,
}

impl BodySink for DecoderSink<'_> {
    fn head(&mut self, head: &Head) {
        let answer = AnswerHead {
            status: head.status,
            headers: &head.headers,
            received_at: head.received_at,
        };
        self.decoder = Some(Decoder::new(
            self.protocol,
            &self.endpoint.options,
            self.streamed,
            &answer,
        ));
    }

    fn chunk(&mut self, expanded: &[u8], since_sent: Duration) -> Flow {
        match &mut self.decoder {
            Some(decoder) => {
                decoder.push(expanded, since_sent);
                if decoder.is_done() {
                    Flow::Done
                } else {
                    Flow::Continue
                }
            }
            None => Flow::Continue,
        }
    }
}

/// Returns what an exchange said.
pub(super) fn decoded(end: &Ending, decoder: Option<Decoder>) -> Decoded {
    decoding::conclude(&End::of(end), decoder)
}

/// Returns what failed in the transport, in our words.
pub(super) fn failure(end: &Ending) -> Option<String> {
    match end {
        Ending::Complete | Ending::StoppedAfterEnd => None,
        Ending::ConnectFailed(_)
        | Ending::TimedOut(_)
        | Ending::Broken(_)
        | Ending::TooLarge(_)
        | Ending::BadEncoding(_)
        | Ending::Refused(_) => Some(end.to_string()),
    }
}

/// Returns every secret that was sent with a request that `credential` authorised.
pub(super) fn secrets<'a>(
    credential: Option<&'a Credential>,
    exchange: &'a Exchange,
) -> Vec<&'a Secret> {
    let mut secrets = credential.map(Credential::secrets).unwrap_or_default();
    secrets.extend(&exchange.signature);
    secrets
}
