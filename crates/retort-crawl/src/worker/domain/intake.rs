//! What comes into a domain: samples, and what people and the coordinator say about them.

use std::sync::Arc;

use retort_broker::Delivery;
use retort_types::{Outcome, Sample};
use tokio::time::Instant;

use super::super::lane::Job;
use super::super::registry::Admission;
use super::Domain;
use crate::message::{CANCELLED, Command, Control, DEADLINE_PASSED, carried};

/// Ends of campaigns that are remembered: more than are ever open at the same time.
const CLOSED_REMEMBERED: usize = 1_024;

impl Domain {
    pub(super) async fn take_in(&mut self, delivery: Delivery) {
        self.claim(&delivery);
        let delivery_count = delivery.delivery_count;
        let sample: Arc<Sample> = match carried(&delivery.message) {
            Ok(sample) => sample,
            Err(error) => {
                tracing::warn!(error = %error, "a message is not a sample; it goes to the dead letters");
                self.context.reject(delivery, "not a sample").await;
                return;
            }
        };
        if !self.lane_of.contains_key(&sample.model) || self.context.target(&sample.model).is_none()
        {
            tracing::warn!(model = %sample.model, "a sample of an unknown model goes to the dead letters");
            self.context
                .reject(delivery, "the worker does not know this model")
                .await;
            return;
        }
        let (_, acker) = delivery.split();
        match self
            .context
            .registry
            .admit(sample.sample_id, self.number, acker)
        {
            Admission::New => {}
            Admission::Held => return,
            Admission::Finished(acker) => return self.context.acknowledge(acker).await,
        }
        let (input_tokens, output_tokens) =
            retort_plan::estimate_tokens(&sample.input, sample.system.as_deref(), &sample.params);
        self.arrivals += 1;
        let job = Job {
            sample,
            arrival: self.arrivals,
            attempts: 0,
            counted: 0,
            delivery_count,
            input_tokens,
            output_tokens,
        };
        self.queue(job, Instant::now());
    }

    /// Puts a sample in its lane, or ends it when it must not be asked.
    pub(super) fn queue(&mut self, job: Job, not_before: Instant) {
        if let Some(reason) = self.unaskable(&job.sample) {
            return self.end(&job, reason);
        }
        let Some(&lane) = self.lane_of.get(&job.sample.model) else {
            return self.end(&job, "the model is not in this domain".to_owned());
        };
        let unjudged = self.is_unjudged(&job.sample.campaign);
        if self.is_sealed(&job.sample.campaign) {
            return self.drop_one(&job);
        }
        let lane = &mut self.lanes[lane];
        if unjudged || self.paused.contains(&job.sample.campaign) {
            lane.push_paused(job);
        } else if not_before > Instant::now() {
            lane.push_later(job, not_before);
        } else {
            lane.push(job);
        }
    }

    fn unaskable(&self, sample: &Sample) -> Option<String> {
        if sample
            .deadline
            .is_some_and(|deadline| deadline <= self.context.clock().now())
        {
            return Some(DEADLINE_PASSED.to_owned());
        }
        for (campaign, models, reason) in &self.closed {
            if *campaign == sample.campaign && (models.is_empty() || models.contains(&sample.model))
            {
                return Some(reason.clone());
            }
        }
        let target = self.context.target(&sample.model);
        let other = target.filter(|target| target.identity != sample.endpoint);
        other.map(|_| {
            "the worker's catalog means another model by this name than the plan".to_owned()
        })
    }

    /// Ends a sample that is not asked, or not asked again.
    fn end(&mut self, job: &Job, reason: String) {
        self.tally(&job.sample, None, Some(Outcome::NotAsked));
        let (context, sample, attempts) = (
            Arc::clone(&self.context),
            Arc::clone(&job.sample),
            job.attempts,
        );
        self.endings
            .spawn(async move { context.end(&sample, attempts, reason).await });
    }

    pub(super) fn control(&mut self, control: Control) {
        let Control { campaign, command } = control;
        match command {
            Command::Pause => {
                self.lanes.iter_mut().for_each(|lane| lane.pause(&campaign));
                if !self.paused.contains(&campaign) {
                    self.paused.push(campaign);
                }
            }
            Command::Resume => {
                self.lanes
                    .iter_mut()
                    .for_each(|lane| lane.resume(&campaign));
                self.paused.retain(|paused| *paused != campaign);
                // A resume takes a cancellation back, and nothing else.
                self.closed
                    .retain(|(closed, _, reason)| *closed != campaign || reason != CANCELLED);
            }
            Command::Close { models, reason } => {
                let meant = |job: &Job| {
                    job.sample.campaign == campaign
                        && (models.is_empty() || models.contains(&job.sample.model))
                };
                let jobs: Vec<Job> = self
                    .lanes
                    .iter_mut()
                    .flat_map(|lane| lane.take(meant))
                    .collect();
                let entry = (campaign.clone(), models.clone(), reason.clone());
                if !self.closed.contains(&entry) {
                    self.closed.push(entry);
                    let forgotten = self.closed.len().saturating_sub(CLOSED_REMEMBERED);
                    self.closed.drain(..forgotten);
                }
                for job in jobs {
                    self.end(&job, reason.clone());
                }
            }
        }
    }

    /// Ends samples whose deadline passed while they waited.
    pub(super) fn end_overdue(&mut self) {
        let now = self.context.clock().now();
        let overdue = |job: &Job| job.sample.deadline.is_some_and(|deadline| deadline <= now);
        let jobs: Vec<Job> = self
            .lanes
            .iter_mut()
            .flat_map(|lane| lane.take(overdue))
            .collect();
        for job in jobs {
            self.end(&job, DEADLINE_PASSED.to_owned());
        }
    }
}
