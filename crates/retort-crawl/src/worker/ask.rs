//! Puts one question to one model and decodes what comes back, without storing or counting it.

use std::sync::Arc;
use std::time::Duration;

use retort_client::{
    BodySink, Credential, Ending, Exchange, Flow, Head, HttpClient, HttpRequest, Secret, redact,
};
use retort_types::{Endpoint, Message, Outcome, Params, PromptInput, WireProtocol};
use retort_wire::{AnswerHead, Ask, BodyEnd, Decoded, Decoder};

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

/// Returns the request, the protocol it speaks and its parameters as JSON.
pub(super) fn request(
    target: &Target,
    put: &Put<'_>,
) -> Result<(HttpRequest, WireProtocol, String), String> {
    let endpoint = &target.endpoint;
    let mode = put.input.mode();
    let unaskable = || {
        format!(
            "{} cannot ask a prompt of mode {}",
            endpoint.wire,
            mode.as_str()
        )
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
    .map_err(|error| error.to_string())?;
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
    let request = HttpRequest {
        url,
        headers,
        secret: target.secret.clone(),
        body: encoded.body,
    };
    Ok((request, protocol, encoded.request_params))
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

pub(super) fn decoded(exchange: &Exchange, decoder: Option<Decoder>) -> Decoded {
    let Some(decoder) = decoder else {
        return Decoded {
            outcome: without_answer(&exchange.end),
            ..Decoded::default()
        };
    };
    let cause = failure(&exchange.end).unwrap_or_default();
    match &exchange.end {
        Ending::Complete | Ending::StoppedAfterEnd => decoder.finish(BodyEnd::Complete),
        Ending::TooLarge(_) => decoder.finish(BodyEnd::TooLarge),
        Ending::TimedOut(_) => {
            let mut decoded = decoder.finish(BodyEnd::Broken(cause));
            if decoded.outcome == Outcome::Cut {
                decoded.outcome = Outcome::Timeout;
            }
            decoded
        }
        Ending::BadEncoding(_) => {
            let mut decoded = decoder.finish(BodyEnd::Broken(cause));
            if decoded.outcome == Outcome::Cut {
                decoded.outcome = Outcome::Undecodable;
            }
            decoded
        }
        Ending::ConnectFailed(_) | Ending::Broken(_) | Ending::Refused(_) => {
            decoder.finish(BodyEnd::Broken(cause))
        }
    }
}

/// Returns how an attempt ended to which no answer began.
fn without_answer(end: &Ending) -> Outcome {
    match end {
        Ending::ConnectFailed(_) => Outcome::ConnectFailed,
        Ending::TimedOut(_) => Outcome::Timeout,
        Ending::Refused(_) => Outcome::InvalidRequest,
        Ending::TooLarge(_) | Ending::BadEncoding(_) => Outcome::Undecodable,
        Ending::Broken(_) | Ending::Complete | Ending::StoppedAfterEnd => Outcome::Cut,
    }
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

/// Returns every secret that was sent to the model.
pub(super) fn secrets<'a>(target: &'a Target, exchange: &'a Exchange) -> Vec<&'a Secret> {
    let credential = target.secret.as_deref();
    let mut secrets = credential.map(Credential::secrets).unwrap_or_default();
    secrets.extend(&exchange.signature);
    secrets
}

/// What came of asking a model once, outside any campaign.
#[derive(Debug)]
pub struct Tried {
    /// How it ended.
    pub outcome: Outcome,
    /// The status, if an answer began.
    pub status: Option<u16>,
    /// From sent to the last byte.
    pub elapsed: Duration,
    /// The provider's error code and message, or what failed in the transport.
    pub detail: Option<String>,
}

/// Asks a model one short question once and stores nothing: for checking keys and addresses.
///
/// # Errors
/// When the question cannot be put to this model.
pub async fn try_once(
    client: &HttpClient,
    target: &Target,
    question: &str,
    params: &Params,
) -> Result<Tried, String> {
    let endpoint = &target.endpoint;
    let message = Message {
        role: "user".to_owned(),
        content: question.to_owned(),
    };
    let chat = PromptInput::Messages(vec![message]);
    let input = match endpoint.wire.for_mode(chat.mode()) {
        Some(_) => chat,
        None => PromptInput::Text(question.to_owned()),
    };
    let (request, protocol, _) = request(
        target,
        &Put {
            input: &input,
            system: None,
            params,
            sample_id: None,
        },
    )?;
    let mut sink = DecoderSink {
        protocol,
        endpoint,
        streamed: params.streamed(),
        decoder: None,
    };
    let exchange = client.exchange(&request, &mut sink).await;
    let decoded = decoded(&exchange, sink.decoder);
    let told = decoded.error.map(|error| {
        let parts: Vec<String> = [error.code.or(error.kind), error.message]
            .into_iter()
            .flatten()
            .collect();
        let text = parts.join(": ");
        redact(&text, &secrets(target, &exchange))
    });
    Ok(Tried {
        outcome: decoded.outcome,
        status: exchange.head.as_ref().map(|head| head.status),
        elapsed: exchange.elapsed,
        detail: told
            .filter(|text| !text.is_empty())
            .or_else(|| failure(&exchange.end)),
    })
}
