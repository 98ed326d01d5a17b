//! The vocabulary of Retort: ids, campaign, catalog, sample, outcome and record.
//!
//! Every other crate speaks in these types. Nothing here does I/O, reads a clock or is async:
//! times, random numbers and file contents are passed in.

pub mod campaign;
pub mod catalog;
pub mod digest;
pub mod ids;
pub mod limits;
pub mod outcome;
pub mod params;
pub mod prompt;
pub mod record;
pub mod reply;
pub mod sample;
pub mod time;
pub mod token;

pub use campaign::Campaign;
pub use catalog::{Catalog, Endpoint, Limits, WireProtocol};
pub use digest::Digest;
pub use ids::{AccountName, ArmName, CampaignId, DomainId, ModelName, ProviderName, SuiteName};
pub use limits::{AnnouncedLimit, AnnouncedLimits, Counted, DomainSpec, LaneSpec};
pub use outcome::{Disposition, Outcome};
pub use params::Params;
pub use prompt::{Message, Mode, Prompt, PromptInput};
pub use record::AttemptRecord;
pub use reply::Reply;
pub use sample::{Sample, SampleId};
pub use time::{HumanDuration, Timestamp, WallClock};
