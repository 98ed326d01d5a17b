//! `retort pause`, `resume`, `cancel`: wishes that whoever carries the campaign out obeys.

use retort_crawl::control;
use retort_types::CampaignId;

pub(crate) use retort_crawl::control::Wish;

use super::Context;
use crate::failure::Failure;
use crate::files;
use crate::output::line;

/// Records a wish.
pub(crate) async fn wish(
    context: &Context,
    campaign: &CampaignId,
    wish: Wish,
) -> Result<u8, Failure> {
    let store = files::store(context)?;
    super::dataset::require_campaign(&store, campaign).await?;
    control::wish(&store, &*context.clock, campaign, wish).await?;
    let word = match wish {
        Wish::Pause => "will start nothing new until `retort resume`",
        Wish::Resume => "goes on",
        Wish::Cancel => "will be ended and sealed with what it has",
    };
    line(&format!("campaign `{campaign}` {word}"));
    Ok(0)
}
