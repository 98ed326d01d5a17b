//! A simulated fleet of language-model providers over real HTTP.
//!
//! For demonstrations, rehearsals and tests: canned, recorded or small trained models behind OpenAI-compatible
//! endpoints, with rate limits, latencies and faults as real providers have them, and statistics
//! that tell what really happened. Nothing a crawl needs in earnest depends on this crate.
//!
//! | endpoint | answers |
//! |---|---|
//! | `POST <prefix>/chat/completions`, `POST <prefix>/completions` | a model's answer, plain or streamed |
//! | `GET <prefix>/models` | the provider's models |
//! | `GET /stats`, `POST /stats/reset` | [`Stats`] as JSON |
//! | `POST /control/faults` | replaces faults: `{"provider": "alpha", "faults": [...]}` |
//! | `GET /health` | `{"status": "ok"}` |
//!
//! Requests with the header [`SAMPLE_ID_HEADER`] are checked for being served twice.

mod announce;
mod api;
mod canned;
mod catalog;
mod error;
mod exchange;
mod fault;
mod fleet;
mod http;
mod ledger;
mod limit;
mod lineage;
mod manners;
mod mix;
mod model;
mod peak;
mod peer;
mod replay;
mod script;
mod server;
mod spec;
mod state;
mod stats;
mod words;

pub use catalog::{catalog, key_env};
pub use error::SimError;
pub use fault::{FaultKind, FaultSpec};
pub use fleet::{Fleet, FleetThread, Setup};
pub use lineage::{LanguageModel, Lineage, LineageSpec, Made};
pub use model::{Ask, CannotAnswer, Ended, Generation, SimModel, Token, split_tokens};
pub use replay::{RecordedPrompt, ReplayModels};
pub use spec::{
    FleetSpec, HeaderFamily, LatencySpec, LimitKind, LimitSpec, ModelKind, ModelSpec, ProviderSpec,
    RetryHint, Vocabulary,
};
pub use stats::{Counts, ProviderStats, Stats};

/// Header that carries the sample id of a request, to find samples that were paid twice.
pub const SAMPLE_ID_HEADER: &str = "x-retort-sample-id";
