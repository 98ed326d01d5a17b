//! Attempt records as rows of `responses`, `attempts` and `tokens`; prompts and models as theirs.

mod build;
mod imported;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use retort_types::record::ExchangePlace;
use retort_types::reply::{FinishReason, StreamEnd, TokenLogprob};
use retort_types::{AttemptRecord, Mode, Outcome, Prompt};

use crate::schema::Table;
use crate::seal::{ModelRow, Origin, ServedBy};

use build::{Pairs, Rows};
pub(crate) use imported::as_imported;

/// Returns the rows of `responses` that `records` make: one per record that ended its sample.
///
/// # Errors
/// When a column would exceed what Arrow can address (2 GiB of text).
pub fn responses<R: Borrow<AttemptRecord>>(records: &[R]) -> Result<RecordBatch, ArrowError> {
    let final_records: Vec<&AttemptRecord> = borrowed(records)
        .filter(|record| record.final_outcome.is_some())
        .collect();
    let mut rows = Rows::new(Table::Responses, &final_records);
    response_identity(&mut rows);
    response_request(&mut rows);
    response_reply(&mut rows);
    response_timing(&mut rows);
    response_http(&mut rows);
    response_books(&mut rows);
    rows.finish()
}

/// Returns records, boxed ones among them, as what they are.
fn borrowed<R: Borrow<AttemptRecord>>(records: &[R]) -> impl Iterator<Item = &AttemptRecord> {
    records.iter().map(Borrow::borrow)
}

fn response_identity(rows: &mut Rows<'_, AttemptRecord>) {
    rows.shown("sample_id", |r| Some(r.sample.sample_id));
    rows.str("attempt_id", |r| Some(&r.attempt_id));
    rows.str("campaign", |r| Some(r.sample.campaign.as_str()));
    rows.shown("plan_hash", |r| Some(r.sample.plan_hash));
    rows.u32("round", |r| Some(r.sample.round));
    rows.str("arm", |r| Some(r.sample.arm.as_str()));
    rows.shown("arm_digest", |r| Some(r.sample.arm_digest));
    rows.u32("block_id", |r| Some(r.sample.block_id));
    rows.u32("order_in_block", |r| Some(r.sample.order_in_block));
    rows.u64("plan_index", |r| Some(r.sample.index));
    rows.str("suite", |r| Some(r.sample.suite.as_str()));
    rows.str("prompt_id", |r| Some(&r.sample.prompt_id));
    rows.shown("prompt_digest", |r| Some(r.sample.prompt_digest));
    rows.str("mode", |r| Some(r.sample.input.mode().as_str()));
    rows.u32("sample_index", |r| Some(r.sample.sample_index));
}

fn response_request(rows: &mut Rows<'_, AttemptRecord>) {
    rows.str("model", |r| Some(r.sample.model.as_str()));
    rows.str("request_model", |r| Some(&r.asked.request_model));
    rows.str("served_model", |r| r.reply.served_model.as_deref());
    rows.str("system_fingerprint", |r| {
        r.reply.system_fingerprint.as_deref()
    });
    rows.str("provider", |r| Some(r.asked.provider.as_str()));
    rows.str("account", |r| Some(r.asked.account.as_str()));
    rows.str("domain", |r| Some(r.sample.domain.as_str()));
    rows.str("upstream_provider", |r| {
        r.reply.upstream_provider.as_deref()
    });
    rows.str("endpoint_host", |r| Some(&r.asked.endpoint_host));
    rows.str("wire_protocol", |r| Some(r.asked.wire_protocol.as_str()));
    rows.boolean("streamed", |r| r.asked.streamed);
    rows.pairs("messages", messages_as_sent);
    rows.str("request_params", |r| Some(&r.asked.request_params));
    rows.f64("temperature", |r| r.sample.params.temperature);
    rows.f64("top_p", |r| r.sample.params.top_p);
    rows.u32("top_k", |r| r.sample.params.top_k);
    rows.u32("max_tokens", |r| r.sample.params.max_tokens);
    rows.i64("seed", |r| r.sample.params.seed);
}

fn response_reply(rows: &mut Rows<'_, AttemptRecord>) {
    rows.str("outcome", |r| r.final_outcome.map(Outcome::as_str));
    rows.str("last_outcome", |r| Some(r.outcome.as_str()));
    rows.str("reason", |r| r.reason.as_deref());
    rows.str("response_text", |r| r.reply.text.as_deref());
    rows.str("reasoning_text", |r| r.reply.reasoning_text.as_deref());
    rows.str("reasoning_source", |r| r.reply.reasoning_source.as_deref());
    rows.str("refusal_text", |r| r.reply.refusal_text.as_deref());
    rows.str("tool_calls", |r| r.reply.tool_calls.as_deref());
    rows.str("finish_reason", |r| {
        r.reply.finish_reason.map(FinishReason::as_str)
    });
    rows.str("finish_reason_raw", |r| {
        r.reply.finish_reason_raw.as_deref()
    });
    rows.u32("input_tokens", |r| r.reply.usage.input_tokens);
    rows.u32("output_tokens", |r| r.reply.usage.output_tokens);
    rows.u32("reasoning_tokens", |r| r.reply.usage.reasoning_tokens);
    rows.u32("cache_read_tokens", |r| r.reply.usage.cache_read_tokens);
    rows.u32("cache_write_tokens", |r| r.reply.usage.cache_write_tokens);
    rows.str("usage_raw", |r| r.reply.usage_raw.as_deref());
    rows.boolean("has_logprobs", |r| !r.reply.tokens.is_empty());
    rows.u32("logprob_top_k", |r| r.sample.params.logprobs);
    rows.str("stream_end", |r| r.stream_end.map(StreamEnd::as_str));
    rows.str("late_fault", |r| r.late_fault.as_deref());
}

fn response_timing(rows: &mut Rows<'_, AttemptRecord>) {
    rows.time("due_at", |r| r.timing.due_at);
    rows.time("sent_at", |r| r.timing.sent_at);
    rows.time("first_byte_at", |r| r.timing.first_byte_at);
    rows.time("finished_at", |r| Some(r.timing.finished_at));
    rows.f64("client_queue_ms", |r| r.timing.client_queue_ms);
    rows.f64("ttfb_ms", |r| r.timing.ttfb_ms);
    rows.f64("ttft_ms", |r| r.timing.ttft_ms);
    rows.f64("latency_ms", |r| r.timing.latency_ms);
    rows.f64("client_lag_ms", |r| r.timing.client_lag_ms);
    rows.u32("chunk_count", |r| r.timing.chunk_count);
    rows.f32_list("itl_ms", |r| {
        let gaps = &r.timing.itl_ms;
        (!gaps.is_empty()).then(|| gaps.iter().copied())
    });
}

fn response_http(rows: &mut Rows<'_, AttemptRecord>) {
    rows.u16("http_status", |r| r.http.status);
    rows.str("http_version", |r| r.http.version.as_deref());
    rows.pairs("response_headers", |r| {
        let headers = r.http.headers.iter();
        headers
            .map(|(name, value)| (&**name, value.as_str()))
            .collect()
    });
    rows.str("provider_request_id", |r| {
        r.http.provider_request_id.as_deref()
    });
    rows.str("response_id", |r| r.reply.response_id.as_deref());
    provider_error(rows);
}

fn provider_error(rows: &mut Rows<'_, AttemptRecord>) {
    rows.str("error_kind", |r| r.error.as_ref()?.kind.as_deref());
    rows.str("error_code", |r| r.error.as_ref()?.code.as_deref());
    rows.str("error_message", |r| r.error.as_ref()?.message.as_deref());
    rows.u64("retry_after_ms", |r| r.retry_after_ms);
}

fn response_books(rows: &mut Rows<'_, AttemptRecord>) {
    rows.u32("attempts", |r| Some(r.attempt_no));
    rows.f64("cost_usd", |r| r.cost_usd);
    rows.str("price_as_of", |r| r.price_as_of.as_deref());
    rows.str("worker_id", |r| Some(&r.worker_id));
    rows.u32("delivery_count", |r| Some(r.delivery_count));
    rows.str("software_version", |r| Some(&r.software_version));
    rows.str("origin", |_| Some(Origin::Crawl.as_str()));
    exchange(rows);
    body_digests(rows);
}

fn exchange(rows: &mut Rows<'_, AttemptRecord>) {
    rows.str("exchange_file", |r| Some(place(r)?.file.as_str()));
    rows.u64("exchange_offset", |r| Some(place(r)?.offset));
    rows.u64("exchange_length", |r| Some(place(r)?.length));
    rows.shown("exchange_sha256", |r| Some(place(r)?.sha256));
}

fn place(record: &AttemptRecord) -> Option<&ExchangePlace> {
    record.exchange.as_ref()?.place()
}

fn body_digests(rows: &mut Rows<'_, AttemptRecord>) {
    rows.str("request_sha256", |r| r.http.request_sha256.as_deref());
    rows.str("response_sha256", |r| r.http.response_sha256.as_deref());
    rows.u64("response_bytes", |r| r.http.response_bytes);
}

/// Returns what was put to the model: a chat begins with the arm's system text.
fn messages_as_sent(record: &AttemptRecord) -> Pairs<'_> {
    let sample = &record.sample;
    let system = match sample.input.mode() {
        Mode::Chat => sample.system.as_deref(),
        Mode::Completion => None,
    };
    let system = system.map(|text| ("system", text));
    system.into_iter().chain(sample.input.pairs()).collect()
}

/// Returns the rows of `attempts` that `records` make: one per HTTP exchange, so none for a sample
/// that was never asked.
///
/// # Errors
/// When a column would exceed what Arrow can address (2 GiB of text).
pub fn attempts<R: Borrow<AttemptRecord>>(records: &[R]) -> Result<RecordBatch, ArrowError> {
    let asked: Vec<&AttemptRecord> = borrowed(records)
        .filter(|record| record.attempt_no > 0 && record.outcome != Outcome::NotAsked)
        .collect();
    let mut rows = Rows::new(Table::Attempts, &asked);
    rows.shown("sample_id", |r| Some(r.sample.sample_id));
    rows.str("attempt_id", |r| Some(&r.attempt_id));
    rows.u32("attempt_no", |r| Some(r.attempt_no));
    rows.str("campaign", |r| Some(r.sample.campaign.as_str()));
    rows.shown("plan_hash", |r| Some(r.sample.plan_hash));
    rows.u64("plan_index", |r| Some(r.sample.index));
    rows.str("model", |r| Some(r.sample.model.as_str()));
    rows.str("domain", |r| Some(r.sample.domain.as_str()));
    rows.str("outcome", |r| Some(r.outcome.as_str()));
    rows.str("final_outcome", |r| r.final_outcome.map(Outcome::as_str));
    rows.str("reason", |r| r.reason.as_deref());
    rows.u16("http_status", |r| r.http.status);
    provider_error(&mut rows);
    rows.time("due_at", |r| r.timing.due_at);
    rows.time("sent_at", |r| r.timing.sent_at);
    rows.time("finished_at", |r| Some(r.timing.finished_at));
    rows.f64("client_queue_ms", |r| r.timing.client_queue_ms);
    rows.f64("ttfb_ms", |r| r.timing.ttfb_ms);
    rows.f64("latency_ms", |r| r.timing.latency_ms);
    rows.f64("client_lag_ms", |r| r.timing.client_lag_ms);
    rows.u32("input_tokens", |r| r.reply.usage.input_tokens);
    rows.u32("output_tokens", |r| r.reply.usage.output_tokens);
    rows.f64("cost_usd", |r| r.cost_usd);
    rows.str("worker_id", |r| Some(&r.worker_id));
    rows.u32("delivery_count", |r| Some(r.delivery_count));
    rows.str("software_version", |r| Some(&r.software_version));
    rows.str("provider_request_id", |r| {
        r.http.provider_request_id.as_deref()
    });
    body_digests(&mut rows);
    exchange(&mut rows);
    rows.finish()
}

struct TokenRow<'a> {
    record: &'a AttemptRecord,
    position: u32,
    token: &'a TokenLogprob,
}

/// Returns the rows of `tokens` that `records` make, those of one attempt together and in order.
///
/// Only attempts that end their sample have rows: `responses` is where they are reached from.
///
/// # Errors
/// When a column would exceed what Arrow can address (2 GiB of text).
pub fn tokens<R: Borrow<AttemptRecord>>(records: &[R]) -> Result<RecordBatch, ArrowError> {
    let told: Vec<TokenRow<'_>> = borrowed(records)
        .filter(|record| record.final_outcome.is_some())
        .flat_map(|record| {
            (0_u32..)
                .zip(&record.reply.tokens)
                .map(move |(position, token)| TokenRow {
                    record,
                    position,
                    token,
                })
        })
        .collect();
    let told: Vec<&TokenRow<'_>> = told.iter().collect();
    let mut rows = Rows::new(Table::Tokens, &told);
    rows.shown("sample_id", |t| Some(t.record.sample.sample_id));
    rows.str("attempt_id", |t| Some(&t.record.attempt_id));
    rows.str("model", |t| Some(t.record.sample.model.as_str()));
    rows.u32("position", |t| Some(t.position));
    rows.str("segment", |t| Some(t.token.segment.as_str()));
    rows.str("token", |t| t.token.token.as_deref());
    rows.bytes("token_bytes", |t| t.token.bytes.as_deref());
    rows.f32("logprob", |t| t.token.logprob);
    rows.u32("rank", |t| t.token.rank);
    rows.text_list("top_tokens", |t| {
        t.token.top.iter().map(|top| top.token.as_str())
    });
    rows.bytes_list("top_bytes", |t| {
        let top = &t.token.top;
        let told = top.iter().any(|alternative| alternative.bytes.is_some());
        told.then(|| top.iter().map(|top| top.bytes.as_deref()))
    });
    rows.f32_list("top_logprobs", |t| {
        Some(t.token.top.iter().map(|top| top.logprob))
    });
    rows.f32("arrived_ms", |t| t.token.arrived_ms);
    rows.finish()
}

/// Returns the rows of `prompts`, sorted by suite and name.
///
/// # Errors
/// When a column would exceed what Arrow can address (2 GiB of text).
pub fn prompts(prompts: &[Prompt]) -> Result<RecordBatch, ArrowError> {
    let mut sorted: Vec<&Prompt> = prompts.iter().collect();
    sorted.sort_by(|a, b| (&a.suite, &a.id, a.digest).cmp(&(&b.suite, &b.id, b.digest)));
    let mut rows = Rows::new(Table::Prompts, &sorted);
    rows.str("suite", |p| Some(p.suite.as_str()));
    rows.str("prompt_id", |p| Some(&p.id));
    rows.shown("prompt_digest", |p| Some(p.digest));
    rows.str("mode", |p| Some(p.input.mode().as_str()));
    rows.pairs("messages", |p| p.input.pairs());
    rows.finish()
}

fn served_by(rows: &mut Rows<'_, ModelRow>) {
    fn served(model: &ModelRow) -> Option<&ServedBy> {
        model.served.as_ref()
    }
    rows.str("provider", |m| Some(served(m)?.provider.as_str()));
    rows.str("account", |m| Some(served(m)?.account.as_str()));
    rows.str("domain", |m| Some(served(m)?.domain.as_str()));
    rows.str("wire_protocol", |m| Some(served(m)?.wire.as_str()));
    rows.str("endpoint_host", |m| Some(&served(m)?.host));
}

/// Returns the rows of `models`, sorted by name.
///
/// # Errors
/// When a column would exceed what Arrow can address (2 GiB of text).
pub fn models(models: &[ModelRow]) -> Result<RecordBatch, ArrowError> {
    let mut sorted: Vec<&ModelRow> = models.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rows = Rows::new(Table::Models, &sorted);
    rows.str("model", |m| Some(m.name.as_str()));
    rows.str("request_model", |m| Some(&m.request_model));
    served_by(&mut rows);
    rows.str("vendor", |m| m.vendor.as_deref());
    rows.str("family", |m| m.family.as_deref());
    rows.str("base", |m| m.base.as_deref());
    rows.str("tokenizer", |m| m.tokenizer.as_deref());
    rows.str("released", |m| m.released.as_deref());
    rows.shown("known_relations", |m| Some(m.relations_json()));
    rows.f64("price_input", |m| m.price.as_ref().map(|price| price.input));
    rows.f64("price_output", |m| {
        m.price.as_ref().map(|price| price.output)
    });
    rows.str("price_as_of", |m| Some(m.price.as_ref()?.as_of.as_str()));
    rows.str("price_source", |m| Some(m.price.as_ref()?.source.as_str()));
    rows.finish()
}
