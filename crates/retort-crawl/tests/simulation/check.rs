//! The promises, checked against what happened.

use std::collections::{BTreeMap, BTreeSet};

use retort_dataset::schema::Table;
use retort_dataset::segment::{self, Source};
use retort_dataset::snapshot;
use retort_types::{CampaignId, SampleId};

use crate::journal::{Step, Stored, Told};
use crate::world::World;

/// Returns what a sealed snapshot breaks of the first promise: one final row per planned sample.
pub(crate) async fn complete_and_unique(world: &World, number: usize) -> Vec<String> {
    let id = CampaignId::new(&format!("c{number}")).unwrap();
    let planned = world.shape.campaigns[number] * world.shape.rates.len() as u64;
    let found = match snapshot::latest(&world.store(), &id).await {
        Ok(Some(found)) => found,
        Ok(None) => return vec![format!("{id} has no snapshot")],
        Err(error) => return vec![format!("{id} has no snapshot: {error}")],
    };
    let batches = match found.responses(&["sample_id"]).collect().await {
        Ok(batches) => batches,
        Err(error) => return vec![format!("{id} cannot be read: {error}")],
    };
    let mut ids = BTreeSet::new();
    let mut rows = 0_u64;
    for batch in batches {
        for row in 0..batch.num_rows() {
            ids.insert(text(&batch, 0, row));
            rows += 1;
        }
    }
    if rows == planned && ids.len() as u64 == planned {
        return Vec::new();
    }
    vec![format!(
        "{id} has {rows} rows of {} samples; {planned} were planned",
        ids.len()
    )]
}

fn text(batch: &arrow::array::RecordBatch, column: usize, row: usize) -> String {
    arrow::util::display::array_value_to_string(batch.column(column), row).unwrap()
}

/// Returns when the final row of each sample was first in the store.
pub(crate) fn durable(stored: &[Stored]) -> BTreeMap<SampleId, Step> {
    let mut durable = BTreeMap::new();
    for segment in stored {
        let source = Source::Bytes(segment.bytes.clone());
        // A row of this table is how its sample ended.
        for batch in segment::read(source, &segment.path, Table::Responses, &["sample_id"]).unwrap()
        {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let sample = text(&batch, 0, row).parse().unwrap();
                durable.entry(sample).or_insert(segment.step);
            }
        }
    }
    durable
}

/// Returns what acknowledgements break: none before the sample is durable.
pub(crate) fn acknowledged_after_durable(
    told: &Told,
    durable: &BTreeMap<SampleId, Step>,
) -> Vec<String> {
    let early = told
        .acknowledged
        .iter()
        .filter(|(step, sample)| durable.get(sample).is_none_or(|stored| stored > step));
    early
        .map(|(_, sample)| format!("{sample} was acknowledged before it was durable"))
        .collect()
}

/// Returns in which windows a domain saw more than burst + rate × time.
pub(crate) fn never_faster(told: &Told, rates: &[u32]) -> Vec<String> {
    let mut broken = Vec::new();
    for (n, rate) in rates.iter().enumerate() {
        let per_second = f64::from(*rate) / 60.0;
        // What `retort-pace` documents: one request, and what the rate allows in 40 ms.
        let burst = if per_second < 1.0 {
            1.0
        } else {
            1.0 + (per_second * 0.04).ceil()
        };
        let domain = format!("p{n}");
        let own = told
            .requests
            .iter()
            .filter(|request| request.domain == domain);
        // The most a window may begin with so that none before was too full: a virtual queue.
        let (mut level, mut last_us) = (0.0_f64, 0_u64);
        for request in own {
            let passed = (request.at_us - last_us) as f64 / 1e6;
            level = (level - passed * per_second).max(0.0) + 1.0;
            last_us = request.at_us;
            if level > burst + 1e-3 {
                broken.push(format!(
                    "{domain} got {level:.3} requests beyond its rate, {burst} are allowed, at {:.3} s by {}",
                    request.at_us as f64 / 1e6,
                    request.by,
                ));
                break;
            }
        }
    }
    broken
}

/// Returns which samples one life of a worker asked again although it had a complete answer, or had
/// not heard yet.
pub(crate) fn asked_once_per_life(told: &Told) -> Vec<String> {
    let mut broken = Vec::new();
    let mut last: BTreeMap<(SampleId, &str), Option<Step>> = BTreeMap::new();
    for request in &told.requests {
        let key = (request.sample, request.by.as_str());
        if last.get(&key).is_some_and(Option::is_some) {
            broken.push(format!(
                "{} asked {} again after a complete answer",
                request.by, request.sample
            ));
        }
        last.insert(key, request.answered);
    }
    broken
}

/// Returns which samples were published although the coordinator had read that they were done.
pub(crate) fn published_only_open(told: &Told, durable: &BTreeMap<SampleId, Step>) -> Vec<String> {
    let mut broken = Vec::new();
    for published in &told.published {
        let own = told
            .read
            .iter()
            .filter(|(step, by)| *by == published.by && *step < published.step);
        let Some((read, _)) = own.max_by_key(|(step, _)| *step) else {
            continue;
        };
        if durable
            .get(&published.sample)
            .is_some_and(|stored| stored < read)
        {
            broken.push(format!(
                "{} published {}, which it had read to be done",
                published.by, published.sample
            ));
        }
    }
    broken
}

/// Returns what was answered more than once although no domain ever changed hands, or only by workers
/// that were told to stop.
pub(crate) fn paid_once(told: &Told, calm: bool) -> Vec<String> {
    if told.changes > 0 && !calm {
        return Vec::new();
    }
    let mut answered = BTreeSet::new();
    let twice = told
        .requests
        .iter()
        .filter(|request| request.answered.is_some() && !answered.insert(request.sample));
    twice
        .map(|request| format!("{} was paid twice for nothing", request.sample))
        .collect()
}
