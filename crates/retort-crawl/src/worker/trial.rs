//! Asks a model once, outside any campaign: nothing is stored, counted or asked again.

use std::time::Duration;

use retort_client::{Exchange, HttpClient, redact};
use retort_types::{AnnouncedLimits, Endpoint, Message, Mode, Outcome, Params, PromptInput};
use retort_wire::Decoded;

use super::ask::{
    Composed, DecoderSink, Put, Target, Unaskable, compose, decoded, failure, request, secrets,
};

/// A question that is put once.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// What is asked, or the text to continue.
    pub text: &'a str,
    /// How it is put.
    pub mode: Mode,
    /// System text put in front.
    pub system: Option<&'a str>,
    /// Sampling parameters.
    pub params: &'a Params,
}

impl Trial<'_> {
    fn input(&self) -> PromptInput {
        match self.mode {
            Mode::Chat => PromptInput::Messages(vec![Message {
                role: "user".to_owned(),
                content: self.text.to_owned(),
            }]),
            Mode::Completion => PromptInput::Text(self.text.to_owned()),
        }
    }

    fn put<'b>(&'b self, input: &'b PromptInput) -> Put<'b> {
        Put {
            input,
            system: self.system,
            params: self.params,
            sample_id: None,
        }
    }

    /// Returns the request that puts it to `endpoint`, without the secret.
    ///
    /// # Errors
    /// When it cannot be put to this model.
    pub fn request(&self, endpoint: &Endpoint) -> Result<Composed, Unaskable> {
        compose(endpoint, &self.put(&self.input()))
    }
}

/// What came of asking a model once.
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
    /// What the answer said about limits.
    pub limits: AnnouncedLimits,
}

/// Puts `input` to a model once as a worker does, and returns the exchange and what it said. Nothing
/// is stored, counted or paced.
///
/// # Errors
/// When the input cannot be put to this model.
pub async fn ask_once(
    client: &HttpClient,
    target: &Target,
    input: &PromptInput,
    params: &Params,
) -> Result<(Exchange, Decoded), String> {
    let put = Put {
        input,
        system: None,
        params,
        sample_id: None,
    };
    asked(client, target, &put).await
}

async fn asked(
    client: &HttpClient,
    target: &Target,
    put: &Put<'_>,
) -> Result<(Exchange, Decoded), String> {
    let (request, protocol, _) = request(target, put)?;
    let mut sink = DecoderSink {
        protocol,
        endpoint: &target.endpoint,
        streamed: put.params.streamed(),
        decoder: None,
    };
    let exchange = client.exchange(&request, &mut sink).await;
    let decoded = decoded(&exchange.end, sink.decoder);
    Ok((exchange, decoded))
}

/// Asks a model one short question once and stores nothing: for checking keys and addresses.
///
/// # Errors
/// When the question cannot be put to this model.
pub async fn try_once(
    client: &HttpClient,
    target: &Target,
    trial: &Trial<'_>,
) -> Result<Tried, String> {
    let input = trial.input();
    let (exchange, decoded) = asked(client, target, &trial.put(&input)).await?;
    let told = decoded.error.map(|error| {
        let parts: Vec<String> = [error.code.or(error.kind), error.message]
            .into_iter()
            .flatten()
            .collect();
        let text = parts.join(": ");
        redact(&text, &secrets(target.secret.as_deref(), &exchange))
    });
    Ok(Tried {
        outcome: decoded.outcome,
        status: exchange.head.as_ref().map(|head| head.status),
        elapsed: exchange.elapsed,
        detail: told
            .filter(|text| !text.is_empty())
            .or_else(|| failure(&exchange.end)),
        limits: decoded.limits,
    })
}
