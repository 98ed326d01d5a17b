//! One model's samples within its domain: those ready, those waiting and those of a paused campaign.

use std::collections::BTreeMap;
use std::sync::Arc;

use retort_types::{CampaignId, Sample, SampleId};
use tokio::time::Instant;

/// A sample on its way through a worker.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is asked.
    pub(crate) sample: Arc<Sample>,
    /// When it came, counted in samples of its domain: the order they are asked in, so that campaigns
    /// which share a domain share it as their samples were published.
    pub(crate) arrival: u64,
    /// Attempts so far, those turned away with 429 included.
    pub(crate) attempts: u32,
    /// Attempts that counted against the sample's allowance.
    pub(crate) counted: u32,
    /// How often the broker had delivered it before.
    pub(crate) delivery_count: u32,
    /// Estimated tokens of the prompt.
    pub(crate) input_tokens: u64,
    /// Estimated tokens of the answer.
    pub(crate) output_tokens: u64,
}

impl Job {
    fn key(&self) -> (u64, SampleId) {
        (self.arrival, self.sample.sample_id)
    }
}

/// The samples of one model, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    ready: BTreeMap<(u64, SampleId), Job>,
    delayed: BTreeMap<(Instant, SampleId), Job>,
    paused: Vec<Job>,
}

impl Lane {
    /// Adds a sample that may start.
    pub(crate) fn push(&mut self, job: Job) {
        self.ready.insert(job.key(), job);
    }

    /// Adds a sample that must not start before `at`.
    pub(crate) fn push_later(&mut self, job: Job, at: Instant) {
        self.delayed.insert((at, job.sample.sample_id), job);
    }

    /// Adds a sample of a paused campaign.
    pub(crate) fn push_paused(&mut self, job: Job) {
        self.paused.push(job);
    }

    /// Makes samples ready whose time has come.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let job = entry.remove();
            self.push(job);
        }
    }

    /// Returns when the next waiting sample becomes ready.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns the first ready sample.
    pub(crate) fn head(&self) -> Option<&Job> {
        self.ready.first_key_value().map(|(_, job)| job)
    }

    /// Takes the first ready sample.
    pub(crate) fn pop(&mut self) -> Option<Job> {
        self.ready.pop_first().map(|(_, job)| job)
    }

    /// Sets a campaign's samples aside.
    pub(crate) fn pause(&mut self, campaign: &CampaignId) {
        let jobs = self.take(|job| job.sample.campaign == *campaign);
        self.paused.extend(jobs);
    }

    /// Brings a campaign's samples back.
    pub(crate) fn resume(&mut self, campaign: &CampaignId) {
        let paused = std::mem::take(&mut self.paused);
        for job in paused {
            if job.sample.campaign == *campaign {
                self.push(job);
            } else {
                self.paused.push(job);
            }
        }
    }

    /// Takes every sample out that has not started and that `which` names.
    pub(crate) fn take(&mut self, which: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut taken: Vec<Job> = self
            .ready
            .extract_if(.., |_, job| which(job))
            .map(|(_, job)| job)
            .collect();
        taken.extend(
            self.delayed
                .extract_if(.., |_, job| which(job))
                .map(|(_, job)| job),
        );
        taken.extend(self.paused.extract_if(.., |job| which(job)));
        taken
    }

    /// Returns how many samples have not started.
    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.paused.len()
    }

    /// Returns whether a sample could start as soon as the pace allows.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}
