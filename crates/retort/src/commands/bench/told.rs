//! Reads the times of a crawl from its snapshot.

use arrow::array::{ArrayRef, AsArray as _};
use retort_dataset::schema::Table as Rows;
use retort_dataset::{Store, snapshot};
use retort_types::CampaignId;

use super::measure::Waits;
use super::world::World;
use crate::failure::Failure;

/// What the rows of a crawl tell of its times.
pub(super) struct Told {
    /// How late requests were sent.
    pub(super) queue: Waits,
    /// How long answers took.
    pub(super) latency: Waits,
    /// How late their ends were read.
    pub(super) lag: Waits,
    /// How long they took without that.
    pub(super) host: Waits,
    /// How long the server held them, as its headers say.
    pub(super) held: Waits,
}

/// Reads the times of the campaign `id` from its snapshot.
pub(super) async fn timings(world: &World, id: &str) -> Result<Told, Failure> {
    let store = Store::open(&world.path("data").display().to_string())?;
    let campaign = CampaignId::new(id).map_err(Failure::usage)?;
    let Some(snapshot) = snapshot::latest(&store, &campaign).await? else {
        return Err(Failure::new("the crawl left no snapshot"));
    };
    let columns = ["client_queue_ms", "latency_ms", "client_lag_ms"];
    let mut told: [Vec<f64>; 3] = Default::default();
    let mut held = Vec::new();
    let wanted = [columns.as_slice(), &["response_headers"]].concat();
    for batch in snapshot.rows(Rows::Responses, &wanted).collect().await? {
        held.extend(
            batch
                .column_by_name("response_headers")
                .map(held_ms)
                .into_iter()
                .flatten(),
        );
        for (name, values) in columns.iter().zip(&mut told) {
            let column = batch.column_by_name(name);
            let column = column.and_then(|column| {
                column
                    .as_any()
                    .downcast_ref::<arrow::array::Float64Array>()
                    .cloned()
            });
            values.extend(column.iter().flatten().map(Option::unwrap_or_default));
        }
    }
    let [queue, latency, lag] = told;
    let host = latency.iter().zip(&lag).map(|(all, late)| all - late);
    Ok(Told {
        host: Waits::of(host.collect()),
        held: Waits::of(held),
        queue: Waits::of(queue),
        latency: Waits::of(latency),
        lag: Waits::of(lag),
    })
}

/// Returns how long the server held the requests of a column of headers.
fn held_ms(headers: &ArrayRef) -> Vec<f64> {
    let pairs = headers.as_list::<i32>().values().as_struct();
    let [names, values] = [0, 1].map(|at| pairs.column(at).as_string::<i32>());
    let told = names.iter().zip(values);
    told.filter(|(name, _)| *name == Some("openai-processing-ms"))
        .filter_map(|(_, value)| value?.parse().ok())
        .collect()
}
