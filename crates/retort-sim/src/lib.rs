//! A simulated fleet of language-model providers over real HTTP.
//!
//! For demonstrations, rehearsals and tests: canned, recorded or small trained models behind the
//! endpoints of every wire protocol, with rate limits, latencies and faults as real providers have
//! them, and statistics that tell what really happened. Nothing a crawl needs in earnest depends on
//! this crate.
//!
//! Every provider speaks every protocol. `<prefix>` is `/p/<name>/v1` unless set; `<root>` is the
//! same without a `/v1` at its end.
//!
//! | endpoint | answers, plain or streamed |
//! |---|---|
//! | `POST <prefix>/chat/completions`, `<prefix>/completions`, `<prefix>/responses` | as `OpenAI` |
//! | `POST <prefix>/messages` | as Anthropic |
//! | `POST <root>/v1beta/models/{model}:generateContent`, `:streamGenerateContent` | as Gemini |
//! | `POST <root>/model/{model}/converse`, `converse-stream` | as Amazon Bedrock |
//! | `POST <root>/v2/chat` | as Cohere |
//! | `POST <root>/api/chat`, `<root>/api/generate` | as Ollama |
//!
//! | endpoint | answers |
//! |---|---|
//! | `GET <prefix>/models`, `GET <root>/api/tags`, `GET <root>/api/version` | the provider's models |
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
mod route;
mod script;
mod server;
mod spec;
mod state;
mod stats;
mod words;

pub use catalog::{catalog, key_env, signing_env};
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
