//! One request for a model, from arrival to its end: key, shape, limits, fault, answer.

use std::time::Duration;

use retort_types::Timestamp;

use crate::announce::{self, Headers, Told};
use crate::api::asked::{self, Asked, Facts, Thoughts};
use crate::api::error::{ApiError, Cause};
use crate::api::{self, Call, Dialect, Shape, sigv4};
use crate::fault::FaultSpec;
use crate::http::{self, Request};
use crate::ledger::Fate;
use crate::limit::{Exhausted, Refusal};
use crate::mix::{mix, unit};
use crate::model::{CannotAnswer, Ended, Generation, join};
use crate::peer::{Gone, Peer};
use crate::script::{self, Answer, Content, End, Script, Step};
use crate::state::{Live, ModelState, ProviderState, Shared};

/// A request at a provider. It is counted exactly once, even when its task is dropped.
struct Exchange<'a> {
    shared: &'a Shared,
    provider: &'a ProviderState,
    request: &'a Request,
    call: &'a Call,
    /// When the request was read.
    begun: Duration,
    /// The model, once it is known.
    model: Option<&'a ModelState>,
    admitted: bool,
    ended: bool,
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.end(Fate::Aborted);
    }
}

/// A request that limits have admitted.
struct Admitted {
    number: u64,
    headers: Headers,
    fault: Option<FaultSpec>,
}

/// Answers a request for a model of `provider`.
pub(crate) async fn serve(
    shared: &Shared,
    provider: &ProviderState,
    request: &Request,
    call: &Call,
    peer: &mut Peer,
) -> Result<End, Gone> {
    let now = shared.now();
    provider.live().ledger.arrive(now);
    let mut exchange = Exchange {
        shared,
        provider,
        request,
        call,
        begun: now,
        model: None,
        admitted: false,
        ended: false,
    };
    let result = exchange.run(peer).await;
    drop(exchange);
    result
}

impl<'a> Exchange<'a> {
    async fn run(&mut self, peer: &mut Peer) -> Result<End, Gone> {
        let (mut asked, model) = match self.understand() {
            Ok(understood) => understood,
            Err(error) => return self.refuse(peer, &error, &Vec::new(), Fate::Error).await,
        };
        let admitted = match self.admit(&asked, model) {
            Ok(admitted) => admitted,
            Err(refused) => {
                let (error, headers) = *refused;
                return self.refuse(peer, &error, &headers, Fate::Refused).await;
            }
        };
        let fault = admitted.fault.as_ref();
        if let Some(fault) = fault.filter(|fault| !script::needs_answer(fault.kind)) {
            peer.pause(self.latency(admitted.number, 0)).await?;
            let answer = self.empty_answer(admitted.headers.clone());
            let script = script::fault(fault, &answer);
            return self.play(peer, &script, Fate::Faulted).await;
        }
        let (made, stopped_by) = match generate(model, &mut asked) {
            Ok(made) => made,
            Err(error) => {
                let headers = &admitted.headers;
                return self.refuse(peer, &error, headers, Fate::Error).await;
            }
        };
        let now = self.shared.now();
        self.provider.live().limiter.charge(now, made.token_count());
        let plain = asked.framing.is_none();
        let tokens = if plain { made.token_count() } else { 0 };
        peer.pause(self.latency(admitted.number, tokens)).await?;
        let facts = self.facts(model, admitted.number, stopped_by);
        let answer = self.answer(&asked, &made, &facts, &admitted);
        let script = match fault {
            Some(fault) => script::fault(fault, &answer),
            None => answer.script(Duration::from_millis(
                self.provider.spec.latency.per_token_ms,
            )),
        };
        let fate = if script.served {
            Fate::Served {
                prompt_tokens: asked.prompt_tokens,
                completion_tokens: made.token_count(),
            }
        } else {
            Fate::Faulted
        };
        self.play(peer, &script, fate).await
    }

    /// Checks the key, reads the body and finds the model.
    fn understand(&mut self) -> Result<(Asked, &'a ModelState), ApiError> {
        let dialect = self.call.shape.dialect();
        check_key(self.provider, self.request, dialect, self.shared.wall())?;
        let mut asked = api::read(self.call, self.request)?;
        asked.ask.sample_id.clone_from(&self.request.sample_id);
        let model = self.provider.models.get(&asked.model);
        let model = model.ok_or_else(ApiError::model)?;
        self.model = Some(model);
        self.provider.live().ledger.name(&model.spec.name);
        let asked_tokens = asked.prompt_tokens + u64::from(asked.ask.max_tokens.unwrap_or(1));
        if let Some(most) = model.spec.context_tokens
            && asked_tokens > u64::from(most)
        {
            let message = format!(
                "This model's maximum context length is {most} tokens. However, you requested \
                 {asked_tokens} tokens. Please reduce the length of the messages or completion."
            );
            let error = ApiError::invalid(message).code("context_length_exceeded");
            return Err(error.cause(Cause::Context));
        }
        Ok((asked, model))
    }

    /// Asks the limits, and then whether a fault hits.
    fn admit(
        &mut self,
        asked: &Asked,
        model: &ModelState,
    ) -> Result<Admitted, Box<(ApiError, Headers)>> {
        let wall = self.shared.wall();
        let spec = &self.provider.spec.limits;
        let mut live = self.provider.live();
        let now = self.shared.now();
        let outcome = live.limiter.admit(now, asked.prompt_tokens);
        let mut headers = announce::announce(spec.announce, &mut live.limiter, now, wall);
        if let Err(refusal) = outcome {
            let told = announce::tell(spec.retry_after, &refusal, wall);
            if let Some(wait) = told.wait {
                live.ledger.tell(now, wait);
            }
            drop(live);
            // The hint says more about a refusal than the usual announcement.
            headers.retain(|(name, _)| told.headers.iter().all(|(hint, _)| hint != name));
            headers.extend(told.headers.iter().cloned());
            let error = rate_limited(&refusal, told);
            return Err(Box::new((error, own_headers(headers, wall))));
        }
        let number = live.next;
        live.next += 1;
        live.ledger.accept(now, &model.spec.name);
        let fault = live.faults.next(&model.spec.name, asked.ask.last_text());
        if let Some(fault) = &fault {
            live.ledger.fault(fault.kind);
            if let Some(seconds) = fault.retry_after_seconds {
                live.ledger.tell(now, Duration::from_secs(seconds.into()));
            }
        }
        drop(live);
        self.admitted = true;
        Ok(Admitted {
            number,
            headers: own_headers(headers, wall),
            fault,
        })
    }

    /// Returns how long the request takes until its answer begins, with `tokens` made before.
    fn latency(&self, number: u64, tokens: u64) -> Duration {
        let spec = self.provider.spec.latency;
        let jitter = spec.jitter_ms as f64 * unit(mix(self.provider.seed ^ 0x6a, number));
        Duration::from_millis(
            spec.ms
                .saturating_add(spec.per_token_ms.saturating_mul(tokens)),
        ) + Duration::from_secs_f64(jitter / 1e3)
    }

    fn empty_answer(&self, headers: Headers) -> Answer {
        Answer {
            shape: self.call.shape,
            headers,
            content: Content::Plain {
                body: Vec::new(),
                gzip: false,
            },
            keep_alive: self.request.keep_alive,
        }
    }

    fn facts(&self, model: &ModelState, number: u64, stopped_by: Option<String>) -> Facts {
        let wall = self.shared.wall();
        Facts {
            id: mix(self.provider.seed, number),
            created: wall.as_micros().div_euclid(1_000_000),
            created_at: wall.to_string(),
            fingerprint: model.fingerprint.clone(),
            stopped_by,
        }
    }

    fn answer(
        &self,
        asked: &Asked,
        made: &Generation,
        facts: &Facts,
        admitted: &Admitted,
    ) -> Answer {
        let echo = match self.model {
            Some(model) if asked.echo => {
                let text = asked.ask.last_text();
                model.model.read(text, asked.ask.top_logprobs)
            }
            Some(_) | None => Vec::new(),
        };
        let content = match asked.framing {
            Some(framing) => Content::Stream {
                framing,
                events: api::events(asked, made, &echo, facts),
            },
            None => Content::Plain {
                body: api::document(asked, made, &echo, facts),
                gzip: self.provider.spec.gzip && self.request.accepts_gzip,
            },
        };
        let mut headers = admitted.headers.clone();
        let id = format!("req_{:016x}", facts.id);
        headers.push((asked.shape.id_header(), id));
        if let Some(name) = asked.shape.time_header() {
            let held = self.shared.now().saturating_sub(self.begun);
            headers.push((name, held.as_millis().to_string()));
        }
        Answer {
            shape: asked.shape,
            headers,
            content,
            keep_alive: self.request.keep_alive,
        }
    }

    /// Sends an error.
    async fn refuse(
        &mut self,
        peer: &mut Peer,
        error: &ApiError,
        headers: &Headers,
        fate: Fate,
    ) -> Result<End, Gone> {
        let reply = error.reply(self.call.shape.dialect());
        let headers = [reply.headers.as_slice(), headers].concat();
        let head = http::head(reply.status, "application/json", &headers);
        let bytes = http::whole(head, &reply.body, self.request.keep_alive);
        let script = Script {
            steps: vec![Step::Write(bytes.into())],
            end: if self.request.keep_alive {
                End::KeepAlive
            } else {
                End::Close
            },
            served: false,
            status: reply.status,
        };
        self.play(peer, &script, fate).await
    }

    /// Runs a script and counts how the request ended. A fault that was begun counts as such even
    /// when the client leaves: leaving is what most of them are for.
    async fn play(&mut self, peer: &mut Peer, script: &Script, fate: Fate) -> Result<End, Gone> {
        let begun = match script.status {
            0 => Ok(()),
            status => peer
                .check()
                .map(|()| self.provider.live().ledger.status(status)),
        };
        let played = match begun {
            Ok(()) => self.perform(peer, &script.steps, fate).await,
            Err(gone) => Err(gone),
        };
        match (played, fate) {
            (Ok(()), fate) | (Err(Gone), fate @ Fate::Faulted) => self.end(fate),
            (Err(Gone), _) => self.end(Fate::Aborted),
        }
        played.map(|()| script.end)
    }

    /// Runs the steps. The last bytes go out while the counts are locked, so that nobody who has
    /// read a whole answer finds statistics without it.
    async fn perform(&mut self, peer: &mut Peer, steps: &[Step], fate: Fate) -> Result<(), Gone> {
        let Some((Step::Write(last), before)) = steps.split_last() else {
            return script::play(peer, steps).await;
        };
        script::play(peer, before).await?;
        peer.check()?;
        let mut rest = last.as_ref();
        loop {
            peer.writable().await?;
            let mut live = self.provider.live();
            let written = peer.try_write(rest)?;
            rest = rest.get(written..).unwrap_or_default();
            if rest.is_empty() {
                self.count(&mut live, fate);
                return Ok(());
            }
        }
    }

    fn end(&mut self, fate: Fate) {
        let provider = self.provider;
        self.count(&mut provider.live(), fate);
    }

    /// Counts how the request ended; only the first time counts.
    fn count(&mut self, live: &mut Live, fate: Fate) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let model = self.model.map(|model| model.spec.name.as_str());
        if self.admitted {
            live.limiter.release();
            live.ledger.leave(model.unwrap_or(""));
        }
        live.ledger
            .end(model, fate, self.request.sample_id.as_deref());
    }
}

/// Checks the key or the signature of a request that came at `now`.
pub(crate) fn check_key(
    provider: &ProviderState,
    request: &Request,
    dialect: Dialect,
    now: Timestamp,
) -> Result<(), ApiError> {
    let (keys, secrets) = (&provider.spec.api_keys, &provider.spec.signing_keys);
    if keys.is_empty() && secrets.is_empty() {
        return Ok(());
    }
    let signed = request.header("authorization");
    let signed = signed.is_some_and(|value| value.starts_with(sigv4::ALGORITHM));
    if dialect == Dialect::Amazon && signed {
        return sigv4::check(request, secrets, now).map_err(ApiError::key);
    }
    let key = match dialect {
        Dialect::Openai | Dialect::Responses => request
            .bearer()
            .or_else(|| request.header("api-key"))
            .or_else(|| request.header("x-api-key")),
        Dialect::Anthropic => request.header("x-api-key").or_else(|| request.bearer()),
        Dialect::Google => request
            .header("x-goog-api-key")
            .or_else(|| request.bearer()),
        Dialect::Amazon | Dialect::Cohere | Dialect::Ollama => request.bearer(),
    };
    match key {
        Some(key) if keys.iter().any(|known| known == key) => Ok(()),
        Some(_) => Err(ApiError::key(Cause::Key)),
        None => Err(ApiError::key(Cause::NoKey)),
    }
}

/// Returns what the model makes of it, and the stop text that ended it.
fn generate(
    model: &ModelState,
    asked: &mut Asked,
) -> Result<(Generation, Option<String>), ApiError> {
    if asked.ask.seed.is_none() && asked.ask.temperature > 0.0 {
        asked.ask.draw = model.next_draw();
    }
    let mut made = model.model.answer(&asked.ask).map_err(|error| {
        let kind = "invalid_request_error";
        match error {
            CannotAnswer::NotRecorded => {
                ApiError::new(422, kind, error.to_string()).code("no_recorded_reply")
            }
        }
    })?;
    if asked.thoughts == Thoughts::None {
        made.reasoning.clear();
    }
    let stop = asked::first_stop(&asked.stop, &join(&made.tokens));
    made.trim(&asked.stop, asked.ask.max_tokens);
    // Cohere has no word for an answer that was withheld: it refuses the request.
    if made.ended == Ended::Filter && asked.shape == Shape::Cohere {
        let message = "The prompt was withheld by the content policy.";
        return Err(ApiError::invalid(message).cause(Cause::Filter));
    }
    let stopped_by = stop.filter(|_| made.ended == Ended::Stop);
    Ok((made, stopped_by))
}

fn rate_limited(refusal: &Refusal, told: Told) -> ApiError {
    let (kind, what) = match refusal.exhausted {
        Exhausted::Requests => ("requests", "requests"),
        Exhausted::Tokens => ("tokens", "tokens per minute"),
        Exhausted::Concurrency => ("concurrency", "concurrent requests"),
    };
    let message = format!("Rate limit reached for {what}.{}", told.words);
    let error = ApiError::new(429, kind, message).code("rate_limit_exceeded");
    let mut error = error.cause(Cause::Limit(refusal.exhausted));
    error.retry_delay = told.retry_delay;
    error
}

fn own_headers(headers: Headers, wall: Timestamp) -> Headers {
    let mut own = vec![
        ("date", announce::http_date(wall)),
        ("server", "retort-sim".to_owned()),
    ];
    own.extend(headers);
    own
}
