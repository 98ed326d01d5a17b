//! Seals a large campaign of generated replies and compares it with plainly copying its segments:
//! `cargo run --release -p retort-dataset --example seal_scale -- 1000000 [folder]`.
//!
//! Prints the CPU time of both (read, write, same settings of the parquet crate, same run), their
//! ratio, and the most memory that sealing had resident. Linux only: it reads `/proc`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use retort_dataset::rows;
use retort_dataset::schema::Table;
use retort_dataset::segment::{SegmentName, encode, writer_properties};
use retort_dataset::{ModelRow, Origin, SealInput, ServedBy, Store, seal};
use retort_types::prompt::Message;
use retort_types::record::{Asked, HttpFacts, Timing};
use retort_types::sample::SampleKey;
use retort_types::{
    AttemptRecord, Campaign, CampaignId, Digest, Outcome, Params, Prompt, PromptInput, Reply,
    Sample, SampleId, Timestamp, WireProtocol,
};

/// Models of the campaign.
const MODELS: u64 = 12;
/// Draws per prompt and model.
const DRAWS: u64 = 25;
/// Rows of a flush: some seconds of a busy crawl, compacted once.
const FLUSH_ROWS: u64 = 8_192;
/// 2026-11-24T10:00:00Z.
const START: i64 = 1_795_514_400_000_000;
/// Ticks of a second in `/proc/self/stat`; Linux has one value on every machine we know.
const TICKS: f64 = 100.0;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments
        .next()
        .unwrap_or_else(|| "100000".to_owned())
        .parse()?;
    let folder = arguments.next().unwrap_or_else(|| "seal-scale".to_owned());
    let rows = rows / (MODELS * DRAWS) * (MODELS * DRAWS);
    let store = Store::open(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let campaign = CampaignId::new("scale")?;
    say(&format!("{rows} responses of {MODELS} models in {folder}"));
    runtime.block_on(generate(&store, &campaign, rows))?;
    let segments = Path::new(&folder).join(retort_dataset::store::segments_folder(&campaign));

    let begun = cpu_seconds()?;
    let copied = copy(&segments, &Path::new(&folder).join("copy"))?;
    let copying = cpu_seconds()? - begun;
    say(&format!(
        "copying  {copying:.1} s of CPU, {} MiB of segments",
        copied >> 20
    ));

    reset_peak();
    let begun = cpu_seconds()?;
    let sealed = runtime.block_on(seal(&store, &input(&campaign, rows)?, &|_| {}))?;
    let sealing = cpu_seconds()? - begun;
    let peak = peak_mib()?;
    say(&format!(
        "sealing  {sealing:.1} s of CPU, {peak} MiB resident at most, {}",
        sealed.path
    ));
    say(&format!("ratio    {:.2}", sealing / copying));
    Ok(())
}

fn say(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Copies every segment with the parquet crate and the settings that snapshots are written with.
fn copy(from: &Path, to: &Path) -> Result<u64> {
    std::fs::create_dir_all(to)?;
    let mut bytes = 0;
    let mut days: Vec<_> = std::fs::read_dir(from)?.collect::<std::io::Result<_>>()?;
    days.sort_by_key(std::fs::DirEntry::path);
    for day in days {
        for entry in std::fs::read_dir(day.path())? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let Some((_, table)) = SegmentName::parse(name) else {
                continue;
            };
            bytes += std::fs::metadata(&path)?.len();
            copy_file(&path, &to.join(name), writer_properties(table))?;
        }
    }
    std::fs::remove_dir_all(to)?;
    Ok(bytes)
}

fn copy_file(from: &Path, to: &Path, properties: WriterProperties) -> Result<()> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(from)?)?;
    let schema = Arc::clone(reader.schema());
    let reader = reader.with_batch_size(8_192).build()?;
    let mut writer = ArrowWriter::try_new(std::fs::File::create(to)?, schema, Some(properties))?;
    for batch in reader {
        writer.write(&batch?)?;
    }
    writer.append_key_value_metadata(KeyValue::new("copy".to_owned(), None));
    writer.close()?;
    Ok(())
}

/// Stores flush after flush: blocks of a prompt in order, their models and draws mixed, as asked.
async fn generate(store: &Store, campaign: &CampaignId, rows: u64) -> Result<()> {
    let block = MODELS * DRAWS;
    let mut records = Vec::new();
    for position in 0..rows {
        let (question, within) = (position / block, position % block);
        // 7 has no divisor in common with 300, so this is an order of the block.
        let within = (within * 7 + question * 131) % block;
        let at = START + i64::try_from(position)? * 3_000;
        records.push(record(
            campaign,
            (question, within / DRAWS, within % DRAWS),
            at,
        )?);
        if records.len() as u64 == FLUSH_ROWS || position + 1 == rows {
            flush(store, campaign, &records, position).await?;
            records.clear();
        }
    }
    Ok(())
}

async fn flush(
    store: &Store,
    campaign: &CampaignId,
    records: &[AttemptRecord],
    number: u64,
) -> Result<()> {
    let id = uuid::Uuid::from_u128(u128::from(number));
    let name = SegmentName::new(campaign, "w", Timestamp::from_micros(START), id);
    for (table, batch) in [
        (Table::Attempts, rows::attempts(records)?),
        (Table::Responses, rows::responses(records)?),
    ] {
        let file = encode(table, &batch, campaign, plan_hash())?;
        store.put(&name.path(table), file.bytes).await?;
    }
    Ok(())
}

fn plan_hash() -> Digest {
    Digest::of(b"plan")
}

fn prompt(question: u64) -> PromptInput {
    PromptInput::Messages(vec![Message {
        role: "user".to_owned(),
        content: format!("Describe object number {question} in about two hundred words."),
    }])
}

fn record(
    campaign: &CampaignId,
    (question, model, draw): (u64, u64, u64),
    at: i64,
) -> Result<AttemptRecord> {
    let input = prompt(question);
    let (prompt_digest, arm) = (input.digest(), Digest::of(b"arm"));
    let name = format!("org/model-{model:02}").parse()?;
    let (draws, index) = (
        u32::try_from(draw)?,
        (question * MODELS + model) * DRAWS + draw,
    );
    let sample_id = SampleId::of(&SampleKey {
        campaign,
        model: &name,
        prompt: &prompt_digest,
        arm: &arm,
        sample_index: draws,
        round: 0,
    });
    let sample = Sample {
        sample_id,
        plan_hash: plan_hash(),
        index,
        block_id: u32::try_from(question)?,
        order_in_block: u32::try_from(model * DRAWS + draw)?,
        round: 0,
        endpoint: Digest::of(b"endpoint"),
        domain: "domain".parse()?,
        suite: "objects".parse()?,
        prompt_id: format!("objects-{question:05}"),
        prompt_digest,
        input: Arc::new(input),
        arm: "default".parse()?,
        arm_digest: arm,
        system: None,
        params: Arc::new(Params {
            temperature: Some(1.0),
            max_tokens: Some(300),
            ..Params::default()
        }),
        sample_index: draws,
        store: retort_types::campaign::StoreOptions::default(),
        deadline: None,
        model: name,
        campaign: campaign.clone(),
    };
    attempt(sample, at)
}

fn attempt(sample: Sample, at: i64) -> Result<AttemptRecord> {
    let (index, request_model) = (sample.index, sample.model.to_string());
    let time = |ms: i64| Some(Timestamp::from_micros(at + ms * 1_000));
    let hash = |what: &str| Some(Digest::of(format!("{what}{index}").as_bytes()).to_string());
    Ok(AttemptRecord {
        exchange: None,
        sample: Arc::new(sample),
        attempt_id: format!(
            "{}",
            uuid::Uuid::from_u128((u128::from(at.unsigned_abs()) << 64) | u128::from(mix(index)))
        ),
        attempt_no: 1,
        outcome: Outcome::Answered,
        final_outcome: Some(Outcome::Answered),
        reason: None,
        asked: Arc::new(Asked {
            provider: "provider".parse()?,
            account: "account".parse()?,
            request_model,
            endpoint_host: "api.example.org".to_owned(),
            wire_protocol: WireProtocol::OpenaiChat,
            streamed: false,
            request_params: r#"{"max_tokens":300,"temperature":1.0}"#.to_owned(),
        }),
        timing: Timing {
            due_at: time(0),
            sent_at: time(1),
            first_byte_at: time(400),
            finished_at: Timestamp::from_micros(
                at + 2_000_000 + i64::try_from(mix(index) % 900_000)?,
            ),
            client_queue_ms: Some(1.0),
            client_lag_ms: Some(0.0),
            ttfb_ms: Some(399.0 + (mix(index) % 1_000) as f64 / 7.0),
            ttft_ms: None,
            latency_ms: Some(2_000.0 + (mix(index + 1) % 10_000) as f64 / 3.0),
            chunk_count: Some(1),
            itl_ms: Vec::new(),
        },
        http: HttpFacts {
            status: Some(200),
            version: Some("HTTP/1.1".into()),
            headers: vec![("content-type".into(), "application/json".to_owned())],
            provider_request_id: hash("request"),
            request_sha256: hash("asked"),
            response_sha256: hash("told"),
            response_bytes: Some(1_500 + mix(index) % 500),
        },
        reply: reply(index, hash("id")),
        stream_end: None,
        late_fault: None,
        error: None,
        retry_after_ms: None,
        cost_usd: Some(0.0002),
        price_as_of: Some("2026-11-01".to_owned()),
        worker_id: "w".into(),
        delivery_count: 1,
        software_version: "retort/scale".into(),
    })
}

fn reply(index: u64, response_id: Option<String>) -> Reply {
    let mut reply = Reply {
        text: Some(text(index)),
        finish_reason_raw: Some("stop".to_owned()),
        served_model: Some("model-2026-11-01".to_owned()),
        system_fingerprint: Some("fp_1234".to_owned()),
        response_id,
        ..Reply::default()
    };
    reply.usage.input_tokens = Some(20);
    reply.usage.output_tokens = Some(230);
    reply
}

/// Returns about 1 KB of words, drawn as unevenly as in a language.
fn text(seed: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "the", "an", "re", "sol", "ti", "on", "ver", "mo", "del", "lan", "gu", "age", "in", "kar",
        "est", "um",
    ];
    let mut text = String::with_capacity(1_040);
    let mut state = seed.wrapping_add(1);
    while text.len() < 1_024 {
        state = mix(state);
        // The product of two even draws prefers small numbers: few words are common.
        let word = ((state & 0x3fff) * ((state >> 14) & 0x3fff)) >> 16;
        let mut rest = word;
        loop {
            let syllable = usize::try_from(rest % 16).unwrap_or(0);
            text.push_str(SYLLABLES.get(syllable).copied().unwrap_or_default());
            rest /= 16;
            if rest == 0 {
                break;
            }
        }
        text.push_str(if state >> 60 == 0 { ". " } else { " " });
    }
    text
}

/// Mixes the bits of a number (the last step of `SplitMix64`).
const fn mix(number: u64) -> u64 {
    let a = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

fn input(campaign: &CampaignId, rows: u64) -> Result<SealInput> {
    let models: Vec<String> = (0..MODELS)
        .map(|model| format!("org/model-{model:02}"))
        .collect();
    let document: Campaign = serde_json::from_value(serde_json::json!({
        "id": campaign,
        "purpose": "to measure sealing",
        "models": models,
        "suites": [{ "suite": "objects" }],
    }))?;
    let prompts = (0..rows / (MODELS * DRAWS)).map(|question| {
        Ok(Prompt {
            suite: "objects".parse()?,
            id: format!("objects-{question:05}"),
            digest: prompt(question).digest(),
            input: Arc::new(prompt(question)),
        })
    });
    Ok(SealInput {
        origin: Origin::Crawl,
        campaign: document,
        plan_hash: plan_hash(),
        plan_document: b"{}".to_vec(),
        total: rows,
        prompts: prompts.collect::<Result<_>>()?,
        models: models
            .iter()
            .map(|name| model_row(name))
            .collect::<Result<_>>()?,
    })
}

fn model_row(name: &str) -> Result<ModelRow> {
    Ok(ModelRow {
        name: name.parse()?,
        request_model: name.to_owned(),
        served: Some(ServedBy {
            provider: "provider".parse()?,
            terms: None,
            account: "account".parse()?,
            domain: "domain".parse()?,
            wire: WireProtocol::OpenaiChat,
            host: "api.example.org".to_owned(),
        }),
        vendor: None,
        family: None,
        base: None,
        tokenizer: None,
        released: None,
        known_relations: Vec::new(),
        price: None,
    })
}

/// Returns the CPU time of this process, user and system.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold anything; fields 14 and 15 are counted from after it.
    let rest = stat.rsplit_once(") ").ok_or("no statistics")?.1;
    let ticks: Vec<f64> = rest
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// Begins the peak anew; where that is not allowed, the peak is that of the whole run.
fn reset_peak() {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn peak_mib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no peak")?;
    Ok(kib.parse::<u64>()? >> 10)
}
