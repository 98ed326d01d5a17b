//! Records, clocks, disks and stores for tests.

pub(crate) mod faults;
#[path = "../tests/support/s3.rs"]
pub(crate) mod s3;

use std::collections::BTreeMap;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{RecordBatch, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use retort_types::catalog::Terms;
use retort_types::prompt::Message;
use retort_types::record::{Asked, ExchangePlace, HttpFacts, KeptExchange, Timing};
use retort_types::reply::{
    FinishReason, ProviderError, StreamEnd, TokenLogprob, TokenSegment, TopToken, Usage,
};
use retort_types::sample::SampleKey;
use retort_types::{
    AccountName, ArmName, AttemptRecord, Campaign, CampaignId, Digest, DomainId, ModelName,
    Outcome, Params, Prompt, PromptInput, ProviderName, Reply, Sample, SampleId, SuiteName,
    Timestamp, WallClock, WireProtocol,
};

use s3::S3Server;

use crate::spool::disk::{Disk, DiskFile, RealDisk};
use crate::store::Environment;
use crate::{ModelRow, Origin, SealInput, ServedBy, Store, StoreSettings};

/// The models of test campaigns; samples go round them.
pub(crate) const MODELS: [&str; 3] = ["org/alpha", "org/beta", "gamma"];

/// 2026-11-24T10:00:00Z.
pub(crate) const START: i64 = 1_795_514_400_000_000;

/// A clock that stands.
#[derive(Debug)]
pub(crate) struct Standing;

impl WallClock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(START)
    }
}

pub(crate) fn plan_hash() -> Digest {
    Digest::of(b"the plan")
}

pub(crate) fn campaign_id() -> CampaignId {
    CampaignId::new("test").expect("a slug")
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn input(question: u64) -> PromptInput {
    PromptInput::Messages(vec![Message {
        role: "user".to_owned(),
        content: format!("question {question}"),
    }])
}

/// Returns the sample at `index`: question by question, each put to every model.
pub(crate) fn sample(index: u64) -> Sample {
    let models = MODELS.len() as u64;
    let (block, order) = (index / models, index % models);
    let model: ModelName = name(MODELS[usize::try_from(order).expect("small")]);
    let input = input(block);
    let (prompt, arm) = (input.digest(), Digest::of(b"arm"));
    let campaign = campaign_id();
    let key = SampleKey {
        campaign: &campaign,
        model: &model,
        prompt: &prompt,
        arm: &arm,
        sample_index: 0,
        round: 0,
    };
    Sample {
        sample_id: SampleId::of(&key),
        plan_hash: plan_hash(),
        index,
        block_id: u32::try_from(block).expect("small"),
        order_in_block: u32::try_from(order).expect("small"),
        round: 0,
        endpoint: Digest::of(b"endpoint"),
        domain: name::<DomainId>("domain"),
        suite: name::<SuiteName>("suite"),
        // Not in the order of the plan, so that sorting shows.
        prompt_id: format!("p{:03}", block * 7 % 10),
        prompt_digest: prompt,
        input: Arc::new(input),
        arm: name::<ArmName>("default"),
        arm_digest: arm,
        system: None,
        params: Arc::default(),
        sample_index: 0,
        store: retort_types::campaign::StoreOptions::default(),
        deadline: None,
        model,
        campaign,
    }
}

/// Returns attempt `number` of the sample at `index`, with what is always there and nothing else.
pub(crate) fn attempt(index: u64, number: u32, outcome: Outcome) -> AttemptRecord {
    let at = START + i64::try_from(index).expect("small") * 1_000 + i64::from(number);
    AttemptRecord {
        sample: Arc::new(sample(index)),
        attempt_id: format!("01900000-0000-7000-8000-{index:08x}{number:04x}"),
        attempt_no: number,
        outcome,
        final_outcome: outcome.is_terminal().then_some(outcome),
        reason: None,
        asked: Arc::new(Asked {
            provider: name::<ProviderName>("provider"),
            account: name::<AccountName>("account"),
            request_model: "alpha-1".to_owned(),
            endpoint_host: "localhost:1".to_owned(),
            wire_protocol: WireProtocol::OpenaiChat,
            streamed: false,
            request_params: "{}".to_owned(),
        }),
        timing: Timing {
            finished_at: Timestamp::from_micros(at),
            ..Timing::default()
        },
        http: HttpFacts::default(),
        reply: Reply::default(),
        stream_end: None,
        late_fault: None,
        error: None,
        retry_after_ms: None,
        cost_usd: None,
        price_as_of: None,
        worker_id: "worker-1".into(),
        delivery_count: 0,
        software_version: "retort/test".into(),
        exchange: None,
    }
}

/// Returns an answer to the sample at `index`.
pub(crate) fn answer(index: u64, text: &str) -> AttemptRecord {
    let mut record = attempt(index, 1, Outcome::Answered);
    record.reply.text = Some(text.to_owned());
    record.timing.latency_ms = Some(100.0 + index as f64);
    record.cost_usd = Some(0.25);
    record.reply.usage = Usage {
        input_tokens: Some(3),
        output_tokens: Some(5),
        ..Usage::default()
    };
    record
}

/// Returns `record` with the log probabilities of `texts`.
pub(crate) fn with_tokens(mut record: AttemptRecord, texts: &[&str]) -> AttemptRecord {
    record.reply.tokens = texts
        .iter()
        .map(|text| TokenLogprob {
            token: Some((*text).into()),
            logprob: Some(-0.5),
            ..TokenLogprob::default()
        })
        .collect();
    record
}

/// Returns a record in which everything that may be absent is there.
pub(crate) fn full() -> AttemptRecord {
    let mut record = attempt(4, 2, Outcome::Answered);
    let some = |text: &str| Some(text.to_owned());
    let at = |ms: i64| Some(Timestamp::from_micros(START + ms * 1_000));
    let sample = Arc::make_mut(&mut record.sample);
    sample.system = Some("system text".into());
    sample.params = Arc::new(Params {
        temperature: Some(0.7),
        top_p: Some(0.9),
        top_k: Some(40),
        max_tokens: Some(256),
        seed: Some(-7),
        logprobs: Some(2),
        ..Params::default()
    });
    record.reason = some("the reason");
    let asked = Arc::make_mut(&mut record.asked);
    asked.streamed = true;
    asked.request_params = r#"{"temperature":0.7}"#.to_owned();
    record.timing = Timing {
        due_at: at(1),
        sent_at: at(2),
        first_byte_at: at(3),
        finished_at: Timestamp::from_micros(START + 4_567_891),
        client_queue_ms: Some(1.5),
        ttfb_ms: Some(20.25),
        ttft_ms: Some(30.125),
        latency_ms: Some(99.0),
        client_lag_ms: Some(0.5),
        chunk_count: Some(12),
        itl_ms: vec![1.0, 2.5],
    };
    record.http = HttpFacts {
        status: Some(200),
        version: Some("HTTP/1.1".into()),
        headers: vec![
            ("server".into(), "mock".to_owned()),
            ("via".into(), "1.1 π".to_owned()),
        ],
        provider_request_id: some("req-1"),
        request_sha256: some("aa"),
        response_sha256: some("bb"),
        response_bytes: Some(u64::MAX),
    };
    record.reply = full_reply();
    record.stream_end = Some(StreamEnd::Cut);
    record.late_fault = some("reset");
    record.error = Some(ProviderError {
        kind: some("kind"),
        code: some("code"),
        message: some("message"),
    });
    record.retry_after_ms = Some(1_500);
    record.cost_usd = Some(0.001);
    record.price_as_of = some("2026-11-01");
    record.delivery_count = 3;
    record.exchange = Some(KeptExchange::Stored(ExchangePlace {
        file: "exchanges/date=2026-11-24/w-1.warc.gz".to_owned(),
        offset: 7,
        length: 11,
        sha256: Digest::of(b"an exchange"),
    }));
    record
}

fn full_reply() -> Reply {
    let some = |text: &str| Some(text.to_owned());
    Reply {
        text: some("an answer: 你好 🦀"),
        reasoning_text: some("because"),
        reasoning_source: some("field"),
        refusal_text: some("no"),
        tool_calls: some("[]"),
        finish_reason: Some(FinishReason::MaxTokens),
        finish_reason_raw: some("length"),
        usage: Usage {
            input_tokens: Some(1),
            output_tokens: Some(2),
            reasoning_tokens: Some(3),
            cache_read_tokens: Some(4),
            cache_write_tokens: Some(u32::MAX),
        },
        usage_raw: some(r#"{"n":1}"#),
        served_model: some("alpha-1-2026"),
        system_fingerprint: some("fp"),
        upstream_provider: some("upstream"),
        response_id: some("chatcmpl-1"),
        tokens: vec![full_token()],
    }
}

fn full_token() -> TokenLogprob {
    let top = |token: &str, bytes: Option<&[u8]>, logprob| TopToken {
        token: token.into(),
        bytes: bytes.map(Into::into),
        logprob,
    };
    TokenLogprob {
        token: Some("\u{fffd}".into()),
        bytes: Some([0xf0, 0x9f].as_slice().into()),
        logprob: Some(-0.1),
        rank: Some(2),
        top: vec![top("a", Some(&[0xff]), -0.05), top("b", None, -3.5)],
        segment: TokenSegment::Reasoning,
        arrived_ms: Some(31.5),
    }
}

/// Returns a campaign with `total` samples, ready to be sealed.
pub(crate) fn seal_input(total: u64) -> SealInput {
    let campaign: Campaign = serde_json::from_value(serde_json::json!({
        "id": "test",
        "name": "A \"test\"",
        "purpose": "To see\nwhether it works.",
        "models": MODELS,
        "suites": [{ "suite": "suite" }],
    }))
    .expect("a campaign");
    let questions = total.div_ceil(MODELS.len() as u64);
    let prompts = (0..questions).map(|question| Prompt {
        suite: name::<SuiteName>("suite"),
        id: format!("q{question}"),
        digest: input(question).digest(),
        input: Arc::new(input(question)),
    });
    SealInput {
        campaign,
        plan_hash: plan_hash(),
        plan_document: b"{}".to_vec(),
        total,
        prompts: prompts.collect(),
        models: MODELS.iter().map(|model| model_row(model)).collect(),
        origin: Origin::Crawl,
    }
}

fn model_row(model: &str) -> ModelRow {
    ModelRow {
        name: name::<ModelName>(model),
        request_model: "alpha-1".to_owned(),
        served: Some(ServedBy {
            provider: name::<ProviderName>("provider"),
            terms: Some(Terms {
                url: "https://example.com/terms".to_owned(),
                note: Some("No training on answers.".to_owned()),
            }),
            account: name::<AccountName>("account"),
            domain: name::<DomainId>("domain"),
            wire: WireProtocol::OpenaiChat,
            host: "localhost:1".to_owned(),
        }),
        vendor: Some("vendor".to_owned()),
        family: None,
        base: None,
        tokenizer: None,
        released: None,
        known_relations: Vec::new(),
        price: None,
    }
}

/// Returns a store in a folder that lives as long as the returned guard.
pub(crate) fn local_store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path().to_str().expect("a path in UTF-8")).expect("a store");
    (dir, store)
}

/// Returns an S3 server with an empty store, all of which lives as long as the returned guard.
pub(crate) fn s3_store() -> (tempfile::TempDir, S3Server, Store) {
    let dir = tempfile::tempdir().expect("a folder");
    let server = S3Server::start(dir.path());
    let store = s3_client(&server, &StoreSettings::default());
    (dir, server, store)
}

/// Returns a client of `server`.
pub(crate) fn s3_client(server: &S3Server, settings: &StoreSettings) -> Store {
    let environment: Environment = server.environment().into_iter().collect();
    let url = format!("s3://{}/some/prefix", s3::BUCKET);
    Store::connect(&url, settings, &environment).expect("a client")
}

/// Returns every object of a store.
pub(crate) async fn contents(store: &Store, folder: &str) -> BTreeMap<String, bytes::Bytes> {
    let mut contents = BTreeMap::new();
    for path in store.list(folder).await.expect("a listing") {
        let bytes = store.get(&path).await.expect("an object");
        contents.insert(path, bytes);
    }
    contents
}

/// Returns the cell of `column` in `row` as text.
pub(crate) fn cell(batch: &RecordBatch, column: &str, row: usize) -> String {
    let array = batch.column_by_name(column).expect("a column");
    if array.is_null(row) {
        return "null".to_owned();
    }
    if let Some(times) = array.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        return Timestamp::from_micros(times.value(row)).to_string();
    }
    array_value_to_string(array, row).expect("a printable cell")
}

/// A disk that does a number of things, then fails at everything until it is allowed more.
/// A write that fails leaves half of its bytes behind, as a full disk does.
#[derive(Debug, Clone)]
pub(crate) struct FaultyDisk(Arc<AtomicI64>);

impl FaultyDisk {
    pub(crate) fn new(left: i64) -> Self {
        Self(Arc::new(AtomicI64::new(left)))
    }

    pub(crate) fn allow(&self, left: i64) {
        self.0.store(left, Ordering::SeqCst);
    }

    /// Returns how many more things it does.
    pub(crate) fn left(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn check(&self) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) > 0 {
            Ok(())
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &FilePath) -> io::Result<Box<dyn DiskFile>> {
        self.check()?;
        let file = RealDisk.create(path)?;
        Ok(Box::new(FaultyFile(self.clone(), file)))
    }
}

#[derive(Debug)]
struct FaultyFile(FaultyDisk, Box<dyn DiskFile>);

impl DiskFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.0.check() {
            self.1.append(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.1.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.check()?;
        self.1.sync()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.check()?;
        self.1.truncate(length)
    }
}
