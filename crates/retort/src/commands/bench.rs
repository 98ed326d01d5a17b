//! `retort bench`: what a request costs, and how a pace is kept, on this machine.
//!
//! Every side is a process of its own, so that neither the server's CPU nor this program's is
//! counted. The crawl is `retort run` as users run it: spool, segments, ledger, status and logs. It
//! is counted from the end of the warm-up until its last row is stored; sealing comes after.

pub(crate) mod bare;
pub(crate) mod family;
pub(crate) mod lineage;
mod measure;
pub(crate) mod tls;
mod told;
mod world;

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cli::{BenchPace, Throughput};
use crate::failure::{FAILED, Failure};
use crate::output::{self, Table, line, note};
use measure::{Waits, cpu_seconds, median, peak_rss_mb};
use told::{Told, timings};
use world::{Server, World, asked, is_stored, this_program, words_of};

/// How often a running side is looked at: a thousandth of the CPU of ten seconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Longest time of one side.
const PATIENCE: Duration = Duration::from_hours(1);

/// What one side used.
#[derive(Debug, Clone, Serialize)]
struct Side {
    cpu_ms_per_request: f64,
    /// Part of one core that was used.
    cores: f64,
    requests_per_second: f64,
    peak_rss_mb: f64,
    /// From due to sent: how late this side was.
    queue_ms: Waits,
    /// From sent to the last byte, as the rows tell; the crawl only.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<Waits>,
    /// The part of that by which the crawl read late, as the rows tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ms: Option<Waits>,
    /// The latency without it, row by row.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_ms: Option<Waits>,
    /// How long the server says that it held each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_ms: Option<Waits>,
}

/// A side while it runs.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    served: u64,
    cpu: f64,
}

/// Compares a crawl with a bare loop.
pub(crate) async fn throughput(args: &Throughput) -> Result<u8, Failure> {
    let server = Server {
        latency_ms: args.latency_ms,
        words: words_of(args.answer_bytes),
        limit: None,
        tls: args.tls,
    };
    let world = World::start(server).await?;
    let (mut crawls, mut loops) = (Vec::new(), Vec::new());
    for turn in 0..args.turns {
        if !args.alone {
            loops.push(bare_loop(&world, args).await?);
        }
        crawls.push(crawl(&world, args, turn).await?);
        note(&turn_line(&crawls, &loops));
    }
    let ratios: Vec<f64> = crawls
        .iter()
        .zip(&loops)
        .map(|(crawl, bare)| crawl.cpu_ms_per_request / bare.cpu_ms_per_request)
        .collect();
    if ratios.iter().any(|ratio| !ratio.is_finite()) {
        return Err(Failure::new("the bare loop was too short to be measured")
            .hint("ask for more --requests"));
    }
    let ratio = (!ratios.is_empty()).then(|| median(&ratios));
    if args.json {
        output::json(&json!({
            "machine": machine(),
            "settings": settings(args),
            "ratio": ratio,
            "ratios": ratios,
            "crawl": crawls,
            "bare": loops,
        }))?;
    } else {
        line(&table(&[("crawl", &crawls), ("bare loop", &loops)]));
        if let Some(ratio) = ratio {
            line(&format!(
                "the crawl takes {ratio:.2} times the CPU of the bare loop (median of {} turns)",
                args.turns
            ));
        }
    }
    match (ratio, args.at_most) {
        (Some(ratio), Some(most)) if ratio > most => {
            note(&format!("{ratio:.2} is more than {most:.2}"));
            Ok(FAILED)
        }
        _ => Ok(0),
    }
}

fn settings(args: &Throughput) -> Value {
    json!({
        "requests": asked(args.requests),
        "in_flight": args.in_flight,
        "rate": args.rate,
        "latency_ms": args.latency_ms,
        "answer_bytes": args.answer_bytes,
        "exchanges": args.exchanges,
        "tls": args.tls,
        "logprobs": args.logprobs,
    })
}

fn turn_line(crawls: &[Side], loops: &[Side]) -> String {
    let cost = |side: Option<&Side>| {
        side.map_or("-".to_owned(), |side| {
            format!("{:.4} ms", side.cpu_ms_per_request)
        })
    };
    format!(
        "turn {}: crawl {}, bare loop {}",
        crawls.len(),
        cost(crawls.last()),
        cost(loops.last())
    )
}

fn table(sides: &[(&str, &[Side])]) -> String {
    let mut table = Table::new(
        "lrrrrrrrrr",
        &[
            "",
            "CPU ms/request",
            "of a core",
            "requests/s",
            "peak MB",
            "queue ms p50/p99",
            "latency ms p50/p99",
            "lag",
            "without it",
            "server held",
        ],
    );
    for (name, runs) in sides {
        let middle = |of: &dyn Fn(&Side) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
        if runs.is_empty() {
            continue;
        }
        let told = |which: &dyn Fn(&Side) -> Option<Waits>| {
            let at = |of: fn(Waits) -> f64| middle(&|side| which(side).map_or(0.0, of));
            format!("{:.1}/{:.1}", at(|w| w.p50), at(|w| w.p99))
        };
        table.row(vec![
            (*name).to_owned(),
            format!("{:.4}", middle(&|s| s.cpu_ms_per_request)),
            format!("{:.1} %", 100.0 * middle(&|s| s.cores)),
            format!("{:.0}", middle(&|s| s.requests_per_second)),
            format!("{:.0}", middle(&|s| s.peak_rss_mb)),
            told(&|side| Some(side.queue_ms)),
            told(&|side| side.latency_ms),
            told(&|side| side.lag_ms),
            told(&|side| side.host_ms),
            told(&|side| side.held_ms),
        ]);
    }
    table.to_string()
}

/// Returns what figures depend on beside the settings.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": model.map(|model| model.trim_start_matches([' ', '\t', ':'])),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").split(' ').next(),
        "version": env!("CARGO_PKG_VERSION"),
        "optimised": !cfg!(debug_assertions),
    })
}

async fn bare_loop(world: &World, args: &Throughput) -> Result<Side, Failure> {
    let mut command = this_program()?;
    command.args(["bench", "bare", "--url", &world.chat_url()]);
    for (name, value) in [
        ("--requests", asked(args.requests)),
        ("--in-flight", args.in_flight),
        ("--rate", args.rate),
        ("--logprobs", args.logprobs),
    ] {
        command.arg(name).arg(value.to_string());
    }
    if let Some(ca_file) = world.ca_file() {
        command.arg("--ca-file").arg(ca_file);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take();
    let stdout = stdout.ok_or_else(|| Failure::new("a child without an output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let told = tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            text.push_str(&line);
            if line == "}" {
                break;
            }
        }
        text
    });
    let mut side = watch(world, &mut child, asked(args.requests), || {
        told.is_finished()
    })
    .await?;
    side.queue_ms = serde_json::from_str(&told.await?)?;
    drop(child.stdin.take());
    child.wait().await?;
    Ok(side)
}

async fn crawl(world: &World, args: &Throughput, turn: u32) -> Result<Side, Failure> {
    let id = format!("turn-{turn}");
    let limits = json!({
        "requests_per_minute": args.rate.saturating_mul(60),
        "concurrency": args.in_flight,
    });
    let mut more = vec![("store", json!({ "exchanges": args.exchanges }))];
    if args.logprobs > 0 {
        let params = json!({ "max_tokens": world::MAX_TOKENS, "logprobs": args.logprobs });
        more.push(("params", params));
    }
    world.write_campaign(&id, &limits, args.requests, &more)?;
    let mut child = crawl_command(world, &id, args.in_flight)?.spawn()?;
    let status = world.path(&format!("data/campaigns/{id}/status.json"));
    let mut side = watch(world, &mut child, asked(args.requests), || {
        is_stored(&status)
    })
    .await?;
    if !child.wait().await?.success() {
        return Err(crawl_failed(world, &id));
    }
    let told = timings(world, &id).await?;
    side.queue_ms = told.queue;
    side.latency_ms = Some(told.latency);
    side.lag_ms = Some(told.lag);
    side.host_ms = Some(told.host);
    side.held_ms = Some(told.held);
    Ok(side)
}

fn crawl_command(world: &World, id: &str, in_flight: u32) -> Result<Command, Failure> {
    let mut command = this_program()?;
    command.arg("run").arg(world.path(&format!("{id}.yaml")));
    command.arg("--catalog").arg(world.path("models.yaml"));
    command.arg("--store").arg(world.path("data"));
    // What is in the air, and what is stored and acknowledged in two seconds besides; with the
    // defaults memory would hold samples for longer, not the rate more.
    let held = in_flight.saturating_mul(4).max(8_000);
    let mut settings = vec![
        format!("state_dir={}", world.path("state").display()),
        format!("client.pool_max_idle_per_host={}", in_flight.max(1)),
        format!("worker.prefetch_max={}", held / 2),
        format!("coordinator.window_max={held}"),
    ];
    if let Some(ca_file) = world.ca_file() {
        settings.push(format!("client.ca_file={}", ca_file.display()));
    }
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    let log = std::fs::File::create(world.path(&format!("{id}.log")))?;
    command.stdout(Stdio::null()).stderr(log);
    Ok(command)
}

fn crawl_failed(world: &World, id: &str) -> Failure {
    let log = std::fs::read_to_string(world.path(&format!("{id}.log"))).unwrap_or_default();
    let last = log.lines().rev().find(|line| line.contains("error"));
    Failure::new(format!(
        "the crawl failed: {}",
        last.unwrap_or("no reason told")
    ))
}

/// Watches a side from the end of its warm-up until `is_done`.
async fn watch(
    world: &World,
    child: &mut Child,
    requests: u32,
    is_done: impl Fn() -> bool,
) -> Result<Side, Failure> {
    let process = child
        .id()
        .ok_or_else(|| Failure::new("a side ended at once"))?;
    let begun = Instant::now();
    let served = |stats: &Value| stats["served"].as_u64().unwrap_or(0);
    let before = served(&world.stats().await?);
    let warm_up = u64::from(requests / 10);
    let (mut warm, mut last): (Option<Moment>, Option<Moment>) = (None, None);
    let mut all_served_at = None;
    while begun.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
        let done = is_done();
        let ended = child.try_wait()?.is_some();
        if all_served_at.is_none() || done {
            let served = served(&world.stats().await?).saturating_sub(before);
            let at = Instant::now();
            if served >= u64::from(requests) {
                all_served_at.get_or_insert(at);
            }
            if !ended {
                let cpu = cpu_seconds(process)?;
                last = Some(Moment { at, served, cpu });
            }
            if served >= warm_up && warm.is_none() {
                warm = last;
            }
        }
        if ended && !done {
            return Err(Failure::new("a side ended before it was done"));
        }
        let (true, Some(warm), Some(last)) = (done, warm, last) else {
            continue;
        };
        let counted = last.served.saturating_sub(warm.served).max(1) as f64;
        let asking = all_served_at.unwrap_or(last.at) - warm.at;
        let elapsed = (last.at - warm.at).as_secs_f64();
        let cpu = last.cpu - warm.cpu;
        return Ok(Side {
            cpu_ms_per_request: 1e3 * cpu / counted,
            cores: cpu / elapsed,
            requests_per_second: counted / asking.as_secs_f64(),
            peak_rss_mb: if ended { 0.0 } else { peak_rss_mb(process)? },
            queue_ms: Waits::default(),
            latency_ms: None,
            lag_ms: None,
            host_ms: None,
            held_ms: None,
        });
    }
    Err(Failure::new("a side took more than an hour"))
}

/// Measures how a pace is kept, or a limit found.
pub(crate) async fn pace(args: &BenchPace) -> Result<u8, Failure> {
    let server = Server {
        latency_ms: args.latency_ms,
        words: 12,
        limit: Some(args.rate),
        tls: false,
    };
    let world = World::start(server).await?;
    let per_minute = args.rate.saturating_mul(60);
    let limits = if args.auto {
        json!({ "auto": true, "requests_per_minute": per_minute.saturating_mul(10) })
    } else {
        json!({ "requests_per_minute": per_minute })
    };
    world.write_campaign("pace", &limits, args.requests, &[])?;
    let requests = asked(args.requests);
    let mut child = crawl_command(&world, "pace", 1_000)?.spawn()?;
    let status = world.path("data/campaigns/pace/status.json");
    let first = until_first(&world, &mut child).await?;
    let side = watch(&world, &mut child, requests, || is_stored(&status));
    let (side, seconds) = tokio::try_join!(side, until_served(&world, requests, first))?;
    if !child.wait().await?.success() {
        return Err(crawl_failed(&world, "pace"));
    }
    let stats = world.stats().await?;
    let Told { queue, latency, .. } = timings(&world, "pace").await?;
    let ideal = f64::from(requests) / f64::from(args.rate);
    let told = json!({
        "machine": machine(),
        "settings": { "requests": requests, "rate": args.rate, "auto": args.auto },
        "seconds": seconds,
        "times_ideal": seconds / ideal,
        "served": stats["served"],
        "refused": stats["refused_429"],
        "paid_twice": stats["paid_twice"],
        "most_in_one_second": stats["peak_total_1s"],
        "cores": side.cores,
        "cpu_ms_per_request": side.cpu_ms_per_request,
        "peak_rss_mb": side.peak_rss_mb,
        "queue_ms": queue,
        "latency_ms": latency,
    });
    if args.json {
        output::json(&told)?;
    } else {
        line(&format!(
            "{} requests in {seconds:.1} s, {:.3} times the ideal; {} refused, {} paid twice, at \
            most {} in one second\n{:.1} % of a core, {:.3} ms of CPU a request, {:.0} MB; sent {:.1} ms \
            late (median), {:.1} ms (99 %)",
            stats["served"],
            seconds / ideal,
            stats["refused_429"],
            stats["paid_twice"],
            stats["peak_total_1s"],
            100.0 * side.cores,
            side.cpu_ms_per_request,
            side.peak_rss_mb,
            queue.p50,
            queue.p99,
        ));
    }
    Ok(0)
}

async fn until_first(world: &World, child: &mut Child) -> Result<Instant, Failure> {
    loop {
        if world.stats().await?["requests"].as_u64() > Some(0) {
            return Ok(Instant::now());
        }
        if child.try_wait()?.is_some() {
            return Err(crawl_failed(world, "pace"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns the seconds since `first` when everything is served.
async fn until_served(world: &World, requests: u32, first: Instant) -> Result<f64, Failure> {
    while first.elapsed() < PATIENCE {
        if world.stats().await?["served"].as_u64() >= Some(u64::from(requests)) {
            return Ok(first.elapsed().as_secs_f64());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Failure::new("the crawl took more than an hour"))
}
