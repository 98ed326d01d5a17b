//! A plan: which samples there are, in which order, each computed from its index alone.

use std::fmt;
use std::sync::{Arc, OnceLock};

use retort_types::sample::SampleKey;
use retort_types::{Campaign, Catalog, Digest, DomainId, DomainSpec, ModelName, Sample, SampleId};

use crate::document::{PLAN_SCHEMA, PlanDocument, PlannedArm};
use crate::error::{Document, SpecError, steps};
use crate::estimate::{Estimate, TokenCounts};
use crate::order::{ORDER_ALGORITHM, Order};
use crate::{build, check};

/// All samples of a campaign, in order.
///
/// It keeps the document and, for each round that was looked into, four bytes per block.
pub struct Plan {
    document: PlanDocument,
    hash: Digest,
    order: Order,
    /// First cell and first prompt of each suite, in the document's order.
    starts: Vec<(u64, usize)>,
    cells: u32,
    /// The order of cells of each round, made when it is first asked for.
    rounds: Vec<OnceLock<Vec<u32>>>,
    domains: Vec<DomainId>,
    domain_of_model: Vec<usize>,
    tokens: TokenCounts,
}

/// One cell, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    prompt: usize,
    arm: usize,
    sample_index: u32,
}

/// An index, taken apart.
#[derive(Debug, Clone, Copy)]
struct Position {
    block: u32,
    order_in_block: u32,
    round: u32,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("campaign", &self.document.campaign.id)
            .field("hash", &self.hash)
            .field("total", &self.document.total)
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// Lays out `campaign` with the models of `catalog`.
    ///
    /// # Errors
    /// When the campaign or the catalog breaks a rule, when they do not fit together, or when the
    /// plan would be larger than [`crate::limits`] allow. [`SpecError::located_in`] finds the
    /// place in the text.
    pub fn build(campaign: Campaign, catalog: &Catalog) -> Result<Self, SpecError> {
        Self::of(build::document(campaign, catalog)?)
    }

    /// Takes up a plan that was written earlier; neither catalog nor built-in suites are needed.
    ///
    /// # Errors
    /// When the document has another schema or order, or does not agree with itself.
    pub fn from_document(document: PlanDocument) -> Result<Self, SpecError> {
        verify(&document)?;
        Self::of(document)
    }

    fn of(document: PlanDocument) -> Result<Self, SpecError> {
        let hash = Digest::of_json(&document)
            .map_err(|error| SpecError::new(Document::Plan, Vec::new(), error.to_string()))?;
        let mut starts = Vec::with_capacity(document.suites.len());
        let (mut cell, mut prompt) = (0_u64, 0_usize);
        for suite in &document.suites {
            starts.push((cell, prompt));
            prompt += suite.prompts as usize;
            cell +=
                u64::from(suite.prompts) * u64::from(suite.samples) * document.arms.len() as u64;
        }
        let mut domains: Vec<DomainId> = Vec::new();
        let mut domain_of_model = Vec::with_capacity(document.models.len());
        for model in &document.models {
            let known = domains.iter().position(|domain| *domain == model.domain);
            domain_of_model.push(known.unwrap_or(domains.len()));
            if known.is_none() {
                domains.push(model.domain.clone());
            }
        }
        let rounds = document.campaign.rounds() as usize;
        Ok(Self {
            hash,
            order: Order::new(&document.campaign.id, document.campaign.seed),
            starts,
            cells: u32::try_from(cell).unwrap_or(u32::MAX),
            rounds: std::iter::repeat_with(OnceLock::new).take(rounds).collect(),
            domains,
            domain_of_model,
            tokens: TokenCounts::of(&document),
            document,
        })
    }

    /// Returns the plan as it is written down.
    pub fn document(&self) -> &PlanDocument {
        &self.document
    }

    /// Returns the SHA-256 of the document's canonical JSON.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Returns the campaign, prompts of files written into it.
    pub fn campaign(&self) -> &Campaign {
        &self.document.campaign
    }

    /// Returns the number of samples.
    pub fn len(&self) -> u64 {
        self.document.total
    }

    /// Returns whether there is no sample. A plan that was built always has one.
    pub fn is_empty(&self) -> bool {
        self.document.total == 0
    }

    /// Returns the number of models, which is the number of samples of each block.
    pub fn model_count(&self) -> usize {
        self.document.models.len()
    }

    /// Returns the number of blocks of all rounds.
    pub fn block_count(&self) -> u32 {
        self.cells.saturating_mul(self.document.campaign.rounds())
    }

    /// Returns the number of blocks of each round.
    pub fn blocks_per_round(&self) -> u32 {
        self.cells
    }

    /// Returns the sample at `index`, counted from 0.
    pub fn sample(&self, index: u64) -> Option<Sample> {
        let position = self.position(index)?;
        let cell = self.cell(position)?;
        let document = &self.document;
        let campaign = &document.campaign;
        let model = document.models.get(self.model_at(index)?)?;
        let prompt = document.prompts.get(cell.prompt)?;
        let arm = document.arms.get(cell.arm)?;
        let sample_id = SampleId::of(&SampleKey {
            campaign: &campaign.id,
            model: &model.name,
            prompt: &prompt.digest,
            arm: &arm.digest,
            sample_index: cell.sample_index,
            round: position.round,
        });
        Some(Sample {
            sample_id,
            campaign: campaign.id.clone(),
            plan_hash: self.hash,
            index,
            block_id: position.block,
            order_in_block: position.order_in_block,
            round: position.round,
            model: model.name.clone(),
            endpoint: model.endpoint,
            domain: model.domain.clone(),
            suite: prompt.suite.clone(),
            prompt_id: prompt.id.clone(),
            prompt_digest: prompt.digest,
            input: Arc::clone(&prompt.input),
            arm: arm.name.clone(),
            arm_digest: arm.digest,
            system: arm.system.clone(),
            params: Arc::clone(&arm.params),
            sample_index: cell.sample_index,
            store: campaign.store,
            deadline: campaign.budget.deadline,
        })
    }

    /// Returns which model is asked at `index`, as its position in the document's `models`,
    /// without making the sample.
    pub fn model_at(&self, index: u64) -> Option<usize> {
        let position = self.position(index)?;
        let models = u32::try_from(self.model_count()).ok()?;
        let order = self.order.models(position.block, models);
        order
            .get(position.order_in_block as usize)
            .map(|model| *model as usize)
    }

    /// Returns the models of a block in the order in which it asks them, as positions in the
    /// document's `models`. Cheaper than [`Plan::model_at`] for each of its indices.
    pub fn models_of_block(&self, block: u32) -> Vec<usize> {
        if block >= self.block_count() {
            return Vec::new();
        }
        let models = u32::try_from(self.model_count()).unwrap_or(u32::MAX);
        let order = self.order.models(block, models);
        order.into_iter().map(|model| model as usize).collect()
    }

    /// Returns the position of a model in the document's `models`, by its name.
    pub fn model_number(&self, name: &ModelName) -> Option<usize> {
        let models = &self.document.models;
        models.iter().position(|model| model.name == *name)
    }

    /// Returns the name of a model, by its position in the document's `models`.
    ///
    /// # Panics
    /// When there is no such model.
    pub fn model_name(&self, model: usize) -> &ModelName {
        &self.document.models[model].name
    }

    /// Returns the rate-limit domains, in the order of their first model.
    pub fn domain_ids(&self) -> &[DomainId] {
        &self.domains
    }

    /// Returns which of [`Plan::domain_ids`] pays for a model of the document, by its position
    /// there.
    ///
    /// # Panics
    /// When there is no such model.
    pub fn domain_of_model(&self, model: usize) -> usize {
        self.domain_of_model[model]
    }

    /// Returns the round of `index`, from 0. Beyond the end, the rounds go on counting.
    pub fn round_of(&self, index: u64) -> u32 {
        self.block_of(index) / self.cells.max(1)
    }

    /// Returns the block of `index`, from 0. Beyond the end, the blocks go on counting.
    pub fn block_of(&self, index: u64) -> u32 {
        let models = (self.model_count() as u64).max(1);
        u32::try_from(index / models).unwrap_or(u32::MAX)
    }

    /// Returns what the plan will take: tokens, money and time. `domains` are those that
    /// [`crate::resolve()`] returns; a domain that is not among them counts as unlimited.
    pub fn estimate(&self, domains: &[DomainSpec]) -> Estimate {
        Estimate::of(self, domains)
    }

    /// Returns the tokens that the sample at `index` will take, as (input, output), by the rules
    /// of [`crate::ESTIMATE_RULES`]; zero beyond the end.
    pub fn estimated_tokens(&self, index: u64) -> (u64, u64) {
        let cell = self.position(index).and_then(|at| self.cell(at));
        cell.map_or((0, 0), |cell| self.tokens.of_cell(cell.prompt, cell.arm))
    }

    pub(crate) fn tokens(&self) -> &TokenCounts {
        &self.tokens
    }

    fn position(&self, index: u64) -> Option<Position> {
        if index >= self.document.total {
            return None;
        }
        let models = self.model_count() as u64;
        let block = u32::try_from(index / models).ok()?;
        Some(Position {
            block,
            order_in_block: u32::try_from(index % models).ok()?,
            round: block / self.cells,
        })
    }

    /// Returns the cell that the block at `position` asks.
    fn cell(&self, position: Position) -> Option<Cell> {
        let order = self
            .rounds
            .get(position.round as usize)?
            .get_or_init(|| self.order.cells(position.round, self.cells));
        let within_round = position.block % self.cells;
        let cell = u64::from(*order.get(within_round as usize)?);
        let suite = self.starts.partition_point(|(start, _)| *start <= cell) - 1;
        let (first_cell, first_prompt) = self.starts[suite];
        let samples = u64::from(self.document.suites[suite].samples);
        let arms = self.document.arms.len() as u64;
        let within = cell - first_cell;
        let prompt = usize::try_from(within / samples / arms).ok()?;
        Some(Cell {
            prompt: first_prompt + prompt,
            arm: usize::try_from(within / samples % arms).ok()?,
            sample_index: u32::try_from(within % samples).ok()?,
        })
    }
}

/// Refuses a document that this version cannot read or that contradicts itself.
fn verify(document: &PlanDocument) -> Result<(), SpecError> {
    let wrong = |key: &str, message: String| SpecError::new(Document::Plan, steps![key], message);
    if document.schema != PLAN_SCHEMA {
        let message = format!("schema `{}` is not `{PLAN_SCHEMA}`", document.schema);
        return Err(wrong("schema", message).with_hint("use the version that made the plan"));
    }
    if document.order != ORDER_ALGORITHM {
        let message = format!("order `{}` is not `{ORDER_ALGORITHM}`", document.order);
        return Err(wrong("order", message).with_hint("use the version that made the plan"));
    }
    check::campaign_numbers(&document.campaign).map_err(|error| error.about(Document::Plan))?;
    if Digest::of_json(&document.campaign).ok() != Some(document.campaign_digest) {
        return Err(wrong(
            "campaign_digest",
            "not the digest of the campaign".to_owned(),
        ));
    }
    let names = document.models.iter().map(|model| &model.name);
    if !names.eq(&document.campaign.models) || document.models.is_empty() {
        return Err(wrong("models", "not the models of the campaign".to_owned()));
    }
    let prompts: u64 = document
        .suites
        .iter()
        .map(|suite| u64::from(suite.prompts))
        .sum();
    if prompts != document.prompts.len() as u64
        || document.suites.iter().any(|suite| suite.samples == 0)
    {
        return Err(wrong(
            "suites",
            "not the suites of these prompts".to_owned(),
        ));
    }
    for (index, prompt) in document.prompts.iter().enumerate() {
        if prompt.input.digest() != prompt.digest {
            let message = "not the digest of this prompt";
            return Err(SpecError::new(
                Document::Plan,
                steps!["prompts", index, "digest"],
                message,
            ));
        }
    }
    for (index, arm) in document.arms.iter().enumerate() {
        if PlannedArm::digest_of(arm.system.as_deref(), &arm.params) != arm.digest {
            let message = "not the digest of this arm";
            return Err(SpecError::new(
                Document::Plan,
                steps!["arms", index, "digest"],
                message,
            ));
        }
    }
    let total = build::total(
        &document.suites,
        document.arms.len(),
        document.models.len(),
        document.campaign.rounds(),
    )
    .map_err(|error| error.about(Document::Plan))?;
    if total != document.total || total == 0 {
        return Err(wrong("total", format!("the plan makes {total} samples")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
