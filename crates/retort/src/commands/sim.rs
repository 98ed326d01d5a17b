//! `retort sim`: simulated models, or a recorded dataset, served on this machine.

use std::path::Path;
use std::sync::Arc;

use retort_sim::{Fleet, ReplayModels, Setup};
use retort_types::CampaignId;

use super::Context;
use super::signals::Signals;
use crate::cli::Sim;
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Table, count, line, note};

/// Serves until Ctrl-C or SIGTERM, then tells what was served.
pub(crate) async fn sim(context: &Context, args: &Sim) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let mut setup = Setup::new(Arc::clone(&context.clock));
    let mut spec = match (&args.fleet, &args.replay) {
        (_, Some(path)) => {
            let replay = Arc::new(ReplayModels::open(path)?);
            let spec = replay.spec();
            note(&format!(
                "{} recorded replies of {} models",
                count(replay.rows() as u64),
                replay.models().len()
            ));
            setup.replay = Some(replay);
            spec
        }
        (Some(path), None) => files::fleet(path)?,
        (None, None) => return Err(Failure::bad("name a fleet file or --replay FILE.parquet")),
    };
    if args.port != 0 {
        spec.port = args.port;
    }
    if let Some(limit) = args.requests_per_minute {
        for provider in &mut spec.providers {
            provider.limits.requests_per_minute = Some(f64::from(limit));
        }
    }
    let replay = setup.replay.clone();
    let fleet = Fleet::start_in_thread(spec, setup)?;
    let catalog = fleet.catalog()?;
    if let Some(folder) = &args.emit {
        write(
            &folder.join("models.yaml"),
            &(serde_json::to_string_pretty(&catalog)? + "\n"),
        )?;
        if let Some(replay) = replay {
            let id = CampaignId::new("replay").map_err(Failure::usage)?;
            let campaign = serde_json::to_string_pretty(&replay.campaign(id))?;
            write(&folder.join("campaign.yaml"), &(campaign + "\n"))?;
        }
    }
    line(&format!("serving on http://{}", fleet.address()));
    let mut table = Table::new("lll", &["model", "provider", "base_url"]);
    for (name, model) in &catalog.models {
        let provider = model.account.as_str();
        table.row(vec![
            name.to_string(),
            provider.to_owned(),
            fleet.base_url(provider).unwrap_or_default(),
        ]);
    }
    line(&table.to_string());
    note("GET /stats tells what was served; Ctrl-C ends it");
    signals.next().await;
    output::json(&fleet.shutdown())?;
    Ok(0)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("failed to write `{}`: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)?;
    note(&format!("written: {}", path.display()));
    Ok(())
}
