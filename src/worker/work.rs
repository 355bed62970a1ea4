//! Task processing: claim, run the handler, report the result.

use std::sync::Arc;
use std::time::Instant;

use super::context::{Context, Polling};
use super::handler;
use super::journal::Progress;
use super::kill_point::kill_point;
use super::metrics;
use super::problems;
use super::report::Report;
use super::running::{Running, orphan_report};
use super::satellite::{OnOrphan, Satellite};
use super::stopped::Stopped;
use super::unclear_claims::UnclearClaim;
use crate::luml::{Task, TaskStatus};
use satellite_core::Failure;
use satellite_core::TaskScope;
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};

impl Satellite {
    /// Handles the tasks that an earlier process left running. Runs once, before
    /// the first poll.
    pub(super) fn recover_orphans(&mut self) -> Result<()> {
        if self.loop_state.orphans_recovered {
            return Ok(());
        }
        let unfinished = self.shared.journal().unfinished();
        if self.on_orphan == OnOrphan::Leave && unfinished.is_empty() {
            self.loop_state.orphans_recovered = true;
            return Ok(());
        }
        let running = {
            let _polling = Polling::begin(&self.shared);
            if self.stage() > Stage::Running {
                return Ok(());
            }
            self.shared.platform.list_once(&TaskStatus::Running)
        };
        let running = self.note_poll_answer(running)?;
        self.loop_state.orphans_recovered = true;
        kill_point("orphans listed");
        for id in unfinished {
            if running.iter().all(|task| task.id != id) {
                self.shared.journal().over(&id);
            }
        }
        for task in running {
            if self.stage() > Stage::Running {
                break;
            }
            if !self.is_supported(&task) || self.shared.outbox().contains(&task.id) {
                continue;
            }
            let progress = self.shared.journal().progress(&task.id);
            let never_started = progress == Some(Progress::Claiming);
            match never_started {
                true => log::info!(
                    "task {} was claimed but not started by an earlier process",
                    task.id
                ),
                false => log::warn!("task {} was left running by a killed process", task.id),
            }
            match self.on_orphan {
                _ if never_started => self.run_handler(task),
                OnOrphan::Leave => self.shared.journal().over(&task.id),
                OnOrphan::Fail => self.shared.finish(orphan_report(task)),
                OnOrphan::Rerun => self.run_handler(task),
            }
            self.run_due_work()?;
        }
        Ok(())
    }

    /// Returns true when at least one task ran: more may be pending.
    pub(super) fn poll_and_work(&mut self) -> Result<bool> {
        let tasks = {
            let _polling = Polling::begin(&self.shared);
            if self.stage() > Stage::Running {
                return Ok(false); // stopped before the `polling` flag was set
            }
            self.shared.platform.list_once(&TaskStatus::Pending)
        };
        let tasks = self.note_poll_answer(tasks)?;
        self.loop_state.poll.succeeded(self.now());
        self.shared.health.clear(problems::PLATFORM);
        self.shared.health.page().connected();
        let Stopped { done, failed, .. } = self.stopped;
        self.notifier
            .poll_succeeded(format_args!("polling; {done} tasks done, {failed} failed"));
        if tasks.is_empty() {
            log::debug!("no pending tasks");
        }
        // Deliver results delayed by an outage first: new tasks may take long.
        self.deliver()?;
        let mut worked = false;
        for task in tasks {
            if !self.is_supported(&task) || self.shared.outbox().contains(&task.id) {
                continue;
            }
            if self.stage() > Stage::Running || !self.shared.may_act() {
                break;
            }
            let fresh = UnclearClaim::new(task, self.now(), self.settings.max_backoff);
            // A failed claim is retried on its own timer and does not block other tasks.
            let Some(unclear) = self.unclear_claims.take_or(fresh, self.now()) else {
                continue;
            };
            worked |= self.claim_and_run(unclear)?;
            self.run_due_work()?;
            self.notifier.feed_watchdog();
        }
        Ok(worked)
    }

    /// Claims the task and, on success, runs its handler. A claim without a
    /// response is kept and retried.
    fn claim_and_run(&mut self, unclear: UnclearClaim) -> Result<bool> {
        let task = &unclear.task;
        self.shared.journal().claiming(&task.id);
        kill_point("claim");
        let answer = self.claim(&unclear);
        let answer = self.note_answer(answer);
        kill_point("claim answered");
        match answer {
            Ok(true) => {
                self.run_handler(unclear.task);
                Ok(true)
            }
            Ok(false) => {
                log::info!("task {} is already claimed or deleted; skipping", task.id);
                self.shared.journal().over(&task.id);
                Ok(false)
            }
            Err(e) if e.is_refused_token() => Err(e),
            Err(e) if e.is_final() => {
                log::warn!("task {} cannot be claimed: {e}", task.id);
                self.shared.journal().over(&task.id);
                Ok(false)
            }
            Err(e) => {
                let now = self.now();
                self.unclear_claims.put(unclear, now, &e);
                Err(e)
            }
        }
    }

    /// A platform with exclusive claims rejects a second claim with a conflict, even
    /// if the first one was ours and only its response was lost. Only one process
    /// uses each token, so if the task is listed as running, the claim is ours.
    fn claim(&self, unclear: &UnclearClaim) -> Result<bool> {
        let platform = &self.shared.platform;
        match platform.claim_once(&unclear.task.id) {
            Err(e) if !e.is_final() => Err(e), // not an answer of the platform itself
            Err(e) if e.is_conflict() && unclear.was_tried() => {
                let running = platform.list_once(&TaskStatus::Running)?;
                Ok(running.iter().any(|task| task.id == unclear.task.id))
            }
            Err(e) if e.is_conflict() || e.is_not_found() => Ok(false),
            answer => answer.map(|()| true),
        }
    }

    pub(super) fn retry_unclear_claims(&mut self) -> Result<()> {
        while self.stage() == Stage::Running {
            let Some(unclear) = self.unclear_claims.take_due(self.now()) else {
                break;
            };
            log::debug!("retrying the claim of task {}", unclear.task.id);
            match self.claim_and_run(unclear) {
                Err(e) if e.is_refused_token() => return Err(e),
                Err(e) => log::warn!("{e}"),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn run_handler(&mut self, task: Task) {
        let (id, task_type) = (task.id.clone(), task.task_type.clone());
        log::info!("task {id} ({task_type}) started");
        let running = Arc::new(Running::new(id, task_type, Instant::now()));
        let cx = Context {
            shared: Arc::clone(&self.shared),
            running: Some(Arc::clone(&running)),
        };
        self.shared.journal().begun(&running.task_id);
        let page = self.shared.health.page();
        page.task_started(&running.task_id, &running.task_type);
        let watch = self.shared.platform.watch(&running.task_id);
        kill_point("handler");
        let result = match self.handlers.get_mut(&running.task_type) {
            Some(handler) => {
                self.notifier.handler_started(self.handler_limit);
                let _scope = TaskScope::enter(&running.task_id);
                let result = handler::run(handler, task, &cx);
                self.notifier.handler_ended();
                result
            }
            None => Err(Failure::new(
                "unknown task type",
                format_args!(
                    "this satellite has no handler for {:?}; it has {}",
                    running.task_type,
                    self.handlers.list()
                ),
            )),
        };
        kill_point("handler returned");
        let already_reported = watch.was_reported();
        if let Some(report) = running.returned(result, already_reported) {
            self.shared.finish(report);
        } else if already_reported {
            self.shared.journal().over(&running.task_id);
        }
    }

    /// Delivers the results that are due and runs periodic jobs that are due.
    pub(super) fn run_due_work(&mut self) -> Result<()> {
        self.deliver()?;
        if !self.periodic.is_empty() {
            let cx = self.context();
            for periodic in &mut self.periodic {
                periodic.run_if_due(&cx);
            }
            self.deliver()?; // results of deferred tasks that periodic work completed
        }
        let left = self.shared.outbox().undelivered() as f64;
        self.shared
            .health
            .metrics()
            .set(&metrics::WAITING, &[], left);
        Ok(())
    }

    fn deliver(&mut self) -> Result<()> {
        let now = self.now();
        loop {
            // A separate `let`, so that the outbox lock is released before sending.
            let due = self.shared.outbox().take_due(now);
            let Some(waiting) = due else {
                return Ok(());
            };
            let report = &waiting.report;
            kill_point("report");
            let answer = self.shared.platform.report_once(
                &report.task_id,
                &report.status,
                report.result.as_ref(),
            );
            kill_point("report answered");
            // An error response of the platform itself also shows that it is up.
            if answer.as_ref().err().is_none_or(Error::is_final) {
                self.platform_answered();
            }
            match answer {
                Ok(()) => {
                    self.shared.journal().over(&report.task_id);
                    kill_point("report recorded");
                    self.delivered(report);
                }
                Err(e) if e.is_final() || e.is_too_large() => {
                    log::error!(
                        "the platform rejected the result of task {}: {e}",
                        report.task_id
                    );
                    if (e.is_invalid() || e.is_too_large()) && !waiting.is_reduced {
                        self.shared.outbox().put_back_reduced(waiting, now);
                    } else {
                        self.shared.journal().over(&report.task_id);
                    }
                }
                Err(e) => {
                    log::warn!(
                        "could not deliver the result of task {}; will retry: {e}",
                        report.task_id
                    );
                    self.shared.outbox().put_back(waiting, self.now(), &e);
                    if e.is_refused_token() {
                        return Err(e);
                    }
                }
            }
        }
    }

    fn delivered(&mut self, report: &Report) {
        let metrics = self.shared.health.metrics();
        let outcome = [("outcome", report.status.as_str())];
        metrics.add(&metrics::TASKS, &outcome, 1);
        metrics.observe(&metrics::DURATION, &[], report.elapsed);
        let ms = report.elapsed.as_millis();
        match report.status {
            TaskStatus::Done => {
                self.stopped.done += 1;
                log::info!("task {} done in {ms} ms", report.task_id);
            }
            _ => {
                self.stopped.failed += 1;
                let error = report.result.as_ref().and_then(|r| r["error"].as_str());
                let reason: String = error.unwrap_or_default().chars().take(2_000).collect();
                log::warn!("task {} failed in {ms} ms: {reason:?}", report.task_id);
            }
        }
        if let Some(on_report) = &mut self.on_report {
            on_report(report);
        }
    }

    /// Records the result of a call: a success ends the backoff of all other calls.
    pub(super) fn note_answer<T>(&mut self, answer: Result<T>) -> Result<T> {
        answer.inspect(|_| self.platform_answered())
    }

    fn note_poll_answer<T>(&mut self, answer: Result<T>) -> Result<T> {
        self.note_answer(answer).inspect_err(|_| {
            self.loop_state.registration.poll_failed();
            self.unclear_claims.poll_failed();
            self.shared.outbox().poll_failed();
        })
    }

    fn platform_answered(&mut self) {
        let now = self.now();
        self.loop_state.platform_answered(now);
        self.unclear_claims.platform_answered(now);
        self.shared.outbox().platform_answered(now);
    }

    fn is_supported(&self, task: &Task) -> bool {
        let types = &self.settings.supported_task_types;
        let supported = types.is_empty() || types.contains(&task.task_type);
        if !supported {
            log::debug!(
                "task {} ({}) skipped: unsupported type",
                task.id,
                task.task_type
            );
        }
        supported
    }
}
