//! From a campaign and a catalog to a plan: seeded, randomised blocks of samples.
//!
//! This crate reads campaigns, catalogs and prompts from text, checks them, resolves models to
//! endpoints and rate-limit domains, and lays out every sample of a campaign in an order that
//! the campaign's seed alone decides. It opens no file, socket or clock: texts are passed in.
//!
//! A *cell* is one prompt under one arm, drawn for the n-th time. A *block* is one cell of one
//! round, put to every model in random order. The blocks of a round stand in random order too, so
//! neither a provider's bad hour nor a model's place in a list can look like a trait of a model.
//! Sample `index` is `block_id` × models + `order_in_block`, and `block_id` is
//! `round` × cells + position within the round.

mod build;
pub mod builtin;
mod check;
pub mod doctor;
mod document;
mod error;
mod estimate;
mod expand;
#[cfg(test)]
mod fixtures;
pub mod limits;
mod node;
mod order;
mod plan;
mod prices;
mod prompts;
mod read;
pub mod registry;
mod resolve;
pub mod suites;

pub use document::{PLAN_SCHEMA, PlanDocument, PlannedArm, PlannedModel, PlannedSuite};
pub use error::{Document, SpecError};
pub use estimate::{DomainEstimate, ESTIMATE_RULES, Estimate, ModelEstimate, estimate_tokens};
pub use order::ORDER_ALGORITHM;
pub use plan::Plan;
pub use prices::{Prices, apply_prices, parse_prices};
pub use prompts::{inline_files, parse_prompts};
pub use read::{TEXT_MAX_BYTES, parse_campaign, parse_catalog, parse_yaml};
pub use resolve::{Resolved, resolve};
