//! How long a family tree of small language models takes to grow, until each of them has answered.

use std::time::Instant;

use serde_json::{Value, json};

use super::machine;
use super::measure::{cpu_seconds, peak_rss_mb};
use super::world::{serving, this_program};
use crate::cli::BenchFamily;
use crate::failure::Failure;
use crate::output::{self, line};

/// Of ten models, this many are bases; the rest is tuned from them, taught by them and made beside
/// them.
const BASES: u32 = 2;
const TUNED: u32 = 3;
const TAUGHT: u32 = 3;

/// Most tokens of an answer.
const MAX_TOKENS: u32 = 60;

/// Grows a tree, asks each model once, and tells what that took.
pub(crate) async fn family(args: &BenchFamily) -> Result<u8, Failure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("fleet.yaml");
    std::fs::write(&file, fleet(args.models).to_string())?;
    let begun = Instant::now();
    let (child, address) = serving(this_program()?.arg("sim").arg(&file)).await?;
    let serving_after = begun.elapsed().as_secs_f64();
    let process = child
        .id()
        .ok_or_else(|| Failure::new("the server ended at once"))?;
    let cpu = cpu_seconds(process)?;
    let answered = ask_all(&address, args.models).await?;
    let told = json!({
        "machine": machine(),
        "models": args.models,
        "serving_after_seconds": serving_after,
        "cpu_seconds_until_serving": cpu,
        "all_answered_after_seconds": begun.elapsed().as_secs_f64(),
        "cpu_seconds": cpu_seconds(process)?,
        "peak_rss_mb": peak_rss_mb(process)?,
        "answered": answered,
    });
    drop(child);
    if args.json {
        output::json(&told)?;
    } else {
        let number = |name: &str| told[name].as_f64().unwrap_or_default();
        line(&format!(
            "{} models serve after {:.1} s ({:.1} s of CPU); each has answered after {:.1} s ({:.1} s \
             of CPU), with {:.0} MB at the peak",
            args.models,
            number("serving_after_seconds"),
            number("cpu_seconds_until_serving"),
            number("all_answered_after_seconds"),
            number("cpu_seconds"),
            number("peak_rss_mb"),
        ));
    }
    if answered < args.models {
        let silent = args.models - answered;
        return Err(Failure::new(format!("{silent} models did not answer")));
    }
    Ok(0)
}

/// Asks each model one question; returns how many answered with a text.
async fn ask_all(address: &str, models: u32) -> Result<u32, Failure> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()?;
    let url = format!("{address}/p/p/v1/chat/completions");
    let mut answered = 0;
    for number in 0..models {
        let body = json!({
            "model": name(number),
            "messages": [{ "role": "user", "content": "Describe a river." }],
            "max_tokens": MAX_TOKENS,
        });
        let asked = client
            .post(&url)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = asked.send().await?.bytes().await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let text = answer["choices"][0]["message"]["content"].as_str();
        answered += u32::from(text.is_some_and(|text| !text.is_empty()));
    }
    Ok(answered)
}

fn name(number: u32) -> String {
    format!("m{number}")
}

/// Returns the description of a tree: its bases first, the others each of another base.
fn fleet(models: u32) -> Value {
    let bases = (models * BASES / 10).max(1);
    let of = |number: u32| name(number % bases);
    let made = |number: u32| match number.checked_sub(bases).map(|number| number % 8) {
        None => json!("base"),
        Some(kind) if kind < TUNED => {
            json!({ "fine_tune": { "of": of(number), "strength": 0.4 } })
        }
        Some(kind) if kind < TUNED + TAUGHT && bases > 1 => {
            let taught = json!({ "of": of(number), "teacher": of(number + 1), "dose": 0.5 });
            json!({ "student": taught })
        }
        Some(_) => json!({ "sibling": { "of": of(number), "shared": 0.5 } }),
    };
    let all = || 0..models;
    let lineage = all().map(|number| json!({ "name": name(number), "made": made(number) }));
    let served = all().map(|number| json!({ "name": name(number), "kind": "language" }));
    json!({
        "lineage": lineage.collect::<Vec<_>>(),
        "providers": [{ "name": "p", "models": served.collect::<Vec<_>>() }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_two_hundred_has_every_kind() {
        let tree = fleet(200);
        let kinds = |kind: &str| {
            let models = tree["lineage"].as_array().unwrap().iter();
            models
                .filter(|model| model["made"] == kind || model["made"].get(kind).is_some())
                .count()
        };
        let counts = ["base", "fine_tune", "student", "sibling"].map(kinds);
        assert_eq!(counts, [40, 60, 60, 40]);
        let spec: retort_sim::FleetSpec = serde_json::from_value(tree).unwrap();
        assert_eq!(spec.lineage.len(), 200);
    }
}
