//! `retort store`: what the place where datasets live can be trusted with.

use retort_dataset::store::doctor::{self, Found};

use super::Context;
use crate::cli::Doctor;
use crate::failure::{FAILED, Failure};
use crate::files;
use crate::output::{self, Table, line, note};

/// Tries what a store guarantees and tells what follows.
pub(crate) async fn doctor(context: &Context, args: &Doctor) -> Result<u8, Failure> {
    let store = match &args.url {
        Some(url) => files::open_store(context, url)?,
        None => files::store(context)?,
    };
    let report = doctor::examine(&store, &*context.clock).await?;
    if args.json {
        output::json(&report)?;
    } else {
        let mut table = Table::new("llll", &["promise", "", "seen", "so"]);
        for check in &report.checks {
            table.row(vec![
                check.name.to_owned(),
                check.found.to_string(),
                check.seen.clone(),
                check.follows.to_owned(),
            ]);
        }
        line(&table.to_string());
        let told = if report.fit {
            "everything holds that Retort relies on"
        } else {
            "this store does not keep what Retort relies on"
        };
        line(&format!("\n{}: {told}", report.store));
        if report
            .checks
            .iter()
            .any(|check| !check.needed && check.found != Found::Holds)
        {
            line(
                "Retort does not rely on conditional puts: two coordinators may duplicate work there, never damage it",
            );
        }
    }
    if let Some(left) = &report.left_behind {
        note(&format!(
            "warning: the scratch folder could not be removed: {left}"
        ));
    }
    Ok(if report.fit { 0 } else { FAILED })
}
