//! Names, numbers and identities of imported rows: which model, prompt and draw each one is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use retort_types::record::{Asked as AskedOf, HttpFacts, Timing};
use retort_types::sample::SampleKey;
use retort_types::{
    AccountName, ArmName, AttemptRecord, CampaignId, Digest, DomainId, ModelName, Outcome, Params,
    Prompt, PromptInput, ProviderName, Sample, SampleId, SuiteName, WireProtocol,
};
use serde_json::json;

use super::ImportInput;
use super::error::{ImportError, Position};
use super::row::{Asked, Known, Row};
use crate::seal::ModelRow;

/// Stands where a crawl's record has a name; those columns are null in an import.
const UNKNOWN: &str = "unknown";

/// Gives every row its place. Two passes over the same files give the same places.
#[derive(Debug)]
pub(super) struct Numbering {
    campaign: CampaignId,
    suite: SuiteName,
    plan_hash: Digest,
    arm_digest: Digest,
    /// By the name in the file.
    models: BTreeMap<String, (ModelName, u32)>,
    prompts: Vec<Prompt>,
    by_digest: HashMap<Digest, u32>,
    by_name: HashMap<(SuiteName, String), u32>,
    /// Draws that are taken, by model, prompt and draw, and the next one to try.
    draws: HashSet<(u32, u32, u32)>,
    next_draw: HashMap<(u32, u32), u32>,
    total: u64,
}

impl Numbering {
    pub(super) fn new(input: &ImportInput, plan_hash: Digest) -> Self {
        // As plans digest an arm of which nothing is set.
        let arm = json!({ "system": null, "params": Params::default() });
        Self {
            campaign: input.campaign.clone(),
            suite: input.suite.clone(),
            plan_hash,
            arm_digest: Digest::of_json(&arm).expect("no text and no number always serialize"),
            models: BTreeMap::new(),
            prompts: Vec::new(),
            by_digest: HashMap::new(),
            by_name: HashMap::new(),
            draws: HashSet::new(),
            next_draw: HashMap::new(),
            total: 0,
        }
    }

    /// Returns how many rows there were.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the models whose names in the files break the rule of names.
    pub(super) fn renamed(&self) -> BTreeMap<ModelName, String> {
        let models = self.models.iter();
        let renamed = models.filter(|(told, (name, _))| told.as_str() != name.as_str());
        renamed
            .map(|(told, (name, _))| (name.clone(), told.clone()))
            .collect()
    }

    /// Returns the rows of `models`.
    pub(super) fn model_rows(&self) -> Vec<ModelRow> {
        let row = |(told, (name, _)): (&String, &(ModelName, u32))| ModelRow {
            name: name.clone(),
            request_model: told.clone(),
            served: None,
            vendor: None,
            family: None,
            base: None,
            tokenizer: None,
            released: None,
            known_relations: Vec::new(),
            price: None,
        };
        self.models.iter().map(row).collect()
    }

    /// Returns the prompts.
    pub(super) fn into_prompts(self) -> Vec<Prompt> {
        self.prompts
    }

    /// Returns the record of a row.
    pub(super) fn take(&mut self, row: Row<'_>) -> Result<AttemptRecord, ImportError> {
        let (model, model_number) = self.model(row.position, &row.model)?;
        let prompt_number = self.prompt(row.position, &row.prompt)?;
        let draw = self.draw(&row, model_number, prompt_number)?;
        let prompt = self.known(prompt_number);
        let key = SampleKey {
            campaign: &self.campaign,
            model: &model,
            prompt: &prompt.digest,
            arm: &self.arm_digest,
            sample_index: draw,
            round: 0,
        };
        let sample = Sample {
            sample_id: SampleId::of(&key),
            campaign: self.campaign.clone(),
            plan_hash: self.plan_hash,
            index: self.total,
            block_id: 0,
            order_in_block: 0,
            round: 0,
            endpoint: self.plan_hash,
            domain: DomainId::new(UNKNOWN).expect("a slug"),
            suite: prompt.suite.clone(),
            prompt_id: prompt.id.clone(),
            prompt_digest: prompt.digest,
            input: Arc::clone(&prompt.input),
            arm: ArmName::new("default").expect("a name"),
            arm_digest: self.arm_digest,
            system: None,
            params: Arc::new(row.params.clone()),
            sample_index: draw,
            store: retort_types::campaign::StoreOptions::default(),
            deadline: None,
            model,
        };
        self.total += 1;
        Ok(record(sample, row))
    }

    fn model(
        &mut self,
        position: Position<'_>,
        told: &str,
    ) -> Result<(ModelName, u32), ImportError> {
        if let Some((name, number)) = self.models.get(told) {
            return Ok((name.clone(), *number));
        }
        let name = model_name(told).ok_or_else(|| position.bad("its model's name is no text"))?;
        let number = u32::try_from(self.models.len()).unwrap_or(u32::MAX);
        self.models.insert(told.to_owned(), (name.clone(), number));
        Ok((name, number))
    }

    fn prompt(&mut self, position: Position<'_>, asked: &Asked) -> Result<u32, ImportError> {
        let (input, digest) = match &asked.prompt {
            Known::Input(input) => ((**input).clone(), input.digest()),
            Known::CustomId(id) => {
                let digest = Digest::of_json(&json!({ "custom_id": id }));
                let digest = digest.map_err(|error| position.bad(error.to_string()))?;
                (PromptInput::Messages(Vec::new()), digest)
            }
        };
        if let Some(number) = self.by_digest.get(&digest) {
            return Ok(*number);
        }
        let number = u32::try_from(self.prompts.len()).unwrap_or(u32::MAX);
        let suite = asked.suite.clone().unwrap_or_else(|| self.suite.clone());
        let id = match (&asked.id, &asked.prompt) {
            (Some(id), _) | (None, Known::CustomId(id)) => id.clone(),
            (None, Known::Input(_)) => self.free_id(&suite, number),
        };
        if self
            .by_name
            .insert((suite.clone(), id.clone()), number)
            .is_some()
        {
            let shown: String = id.chars().take(80).collect();
            return Err(position.bad_hint(
                format!("prompt `{shown}` was another text before"),
                "number prompts instead with --column prompt_id=-",
            ));
        }
        self.by_digest.insert(digest, number);
        self.prompts.push(Prompt {
            suite,
            id,
            digest,
            input: Arc::new(input),
        });
        Ok(number)
    }

    /// Returns a name that no prompt of the suite has, by the prompt's number.
    fn free_id(&self, suite: &SuiteName, number: u32) -> String {
        let mut id = format!("p{:06}", u64::from(number) + 1);
        while self.by_name.contains_key(&(suite.clone(), id.clone())) {
            id.push('x');
        }
        id
    }

    fn known(&self, prompt: u32) -> &Prompt {
        let place = usize::try_from(prompt).ok();
        place
            .and_then(|place| self.prompts.get(place))
            .expect("numbers are places in the list")
    }

    fn draw(&mut self, row: &Row<'_>, model: u32, prompt: u32) -> Result<u32, ImportError> {
        if let Some(stated) = row.sample_index {
            if self.draws.insert((model, prompt, stated)) {
                return Ok(stated);
            }
            return Err(row.position.bad_hint(
                format!("draw {stated} of this model and prompt was there before"),
                "number draws by their order instead with --column sample_index=-",
            ));
        }
        let next = self.next_draw.entry((model, prompt)).or_default();
        while !self.draws.insert((model, prompt, *next)) {
            *next += 1;
        }
        Ok(*next)
    }
}

/// Returns a name that keeps the rule of names: the one told, or one made from it with eight
/// characters of its digest, so that two names stay two.
fn model_name(told: &str) -> Option<ModelName> {
    if told.trim().is_empty() {
        return None;
    }
    if let Ok(name) = ModelName::new(told) {
        return Some(name);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/@+".contains(c);
    let plain: String = told
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .take(100)
        .collect();
    let plain = plain.replace("..", "--").replace("//", "--");
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let digest = Digest::of(told.as_bytes()).to_string();
    let tail: String = digest.chars().take(8).collect();
    ModelName::new(&format!("{plain}-{tail}"))
        .or_else(|_| ModelName::new(&tail))
        .ok()
}

fn record(sample: Sample, row: Row<'_>) -> AttemptRecord {
    let was_asked = row.outcome != Outcome::NotAsked;
    AttemptRecord {
        attempt_id: attempt_id(sample.sample_id),
        attempt_no: u32::from(was_asked),
        outcome: row.outcome,
        final_outcome: Some(row.final_outcome),
        reason: row.reason,
        asked: Arc::new(AskedOf {
            provider: ProviderName::new(UNKNOWN).expect("a name"),
            account: AccountName::new(UNKNOWN).expect("a name"),
            request_model: row.model,
            endpoint_host: String::new(),
            wire_protocol: WireProtocol::OpenaiChat,
            streamed: false,
            request_params: row.request_params.unwrap_or_default(),
        }),
        timing: Timing {
            // The epoch stands for a time that is not known.
            finished_at: row.finished_at.unwrap_or_default(),
            ..Timing::default()
        },
        http: HttpFacts {
            status: row.http_status,
            provider_request_id: row.request_id,
            ..HttpFacts::default()
        },
        stream_end: None,
        reply: row.reply,
        late_fault: None,
        error: row.error,
        retry_after_ms: None,
        cost_usd: None,
        price_as_of: None,
        exchange: None,
        worker_id: "".into(),
        delivery_count: 0,
        software_version: concat!("retort/", env!("CARGO_PKG_VERSION")).into(),
        sample: Arc::new(sample),
    }
}

/// Returns a UUID of version 8 made from the sample's identity: the same file, the same id.
fn attempt_id(sample: SampleId) -> String {
    let id = uuid::Builder::from_custom_bytes(*sample.as_bytes()).into_uuid();
    id.as_hyphenated().to_string()
}
