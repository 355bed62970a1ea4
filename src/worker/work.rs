//! From tasks to delivered results: claim, run, report.

use std::sync::Arc;
use std::time::Instant;

use super::context::{Context, Polling, Running};
use super::figures;
use super::handler;
use super::inbox::Unclear;
use super::journal::Reached;
use super::outbox::Report;
use super::satellite::{OnOrphan, Satellite, named};
use super::step::step;
use super::stopped::Stopped;
use crate::luml::{Task, TaskStatus};
use satellite_core::Failure;
use satellite_core::TaskScope;
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};
use satellite_health as health;

impl Satellite {
    /// Once, before the first poll: the tasks that an earlier process left running.
    pub(super) fn see_to_orphans(&mut self) -> Result<()> {
        if self.turn.orphans_seen_to {
            return Ok(());
        }
        let unfinished = self.shared.journal().unfinished();
        if self.on_orphan == OnOrphan::Leave && unfinished.is_empty() {
            self.turn.orphans_seen_to = true;
            return Ok(());
        }
        let running = {
            let _polling = Polling::begin(&self.shared);
            if self.stage() > Stage::Running {
                return Ok(());
            }
            self.shared.platform.list_once(&TaskStatus::Running)
        };
        let running = self.heard_poll(running)?;
        self.turn.orphans_seen_to = true;
        step("orphans listed");
        for gone in unfinished {
            if running.iter().all(|task| task.id != gone) {
                self.shared.journal().over(&gone);
            }
        }
        for task in running {
            if self.stage() > Stage::Running {
                break;
            }
            if !self.is_mine(&task) || self.shared.outbox().holds(&task.id) {
                continue;
            }
            let reached = self.shared.journal().reached(&task.id);
            let never_begun = reached == Some(Reached::Claiming);
            match never_begun {
                true => log::info!("task {} was claimed by a process that ended then", task.id),
                false => log::warn!("task {} was left running by a killed worker", task.id),
            }
            match self.on_orphan {
                _ if never_begun => self.run_handler(task),
                OnOrphan::Leave => self.shared.journal().over(&task.id),
                OnOrphan::Fail => self.shared.finish(Report::orphan(task)),
                OnOrphan::Rerun => self.run_handler(task),
            }
            self.do_what_is_due()?;
        }
        Ok(())
    }

    /// True when there was work, so that more may wait.
    pub(super) fn poll_and_work(&mut self) -> Result<bool> {
        let tasks = {
            let _polling = Polling::begin(&self.shared);
            if self.stage() > Stage::Running {
                return Ok(false); // between the last look and the flag
            }
            self.shared.platform.list_once(&TaskStatus::Pending)
        };
        let tasks = self.heard_poll(tasks)?;
        self.turn.poll.succeeded(self.now());
        self.shared.health.clear(health::PLATFORM);
        let Stopped { done, failed, .. } = self.stopped;
        self.notifier
            .polled_well(format_args!("polling; {done} tasks done, {failed} failed"));
        if tasks.is_empty() {
            log::debug!("no task waits");
        }
        // Results that an outage held back go before new work, which may take long.
        self.deliver()?;
        let mut worked = false;
        for task in tasks {
            if !self.is_mine(&task) || self.shared.outbox().holds(&task.id) {
                continue;
            }
            if self.stage() > Stage::Running || !self.shared.may_act() {
                break;
            }
            let fresh = Unclear::new(task, self.now(), self.settings.max_backoff);
            // A claim that failed is sent again in its own time, and keeps no other waiting.
            let Some(unclear) = self.inbox.take_or(fresh, self.now()) else {
                continue;
            };
            worked |= self.claim_and_run(unclear)?;
            self.do_what_is_due()?;
            self.notifier.alive();
        }
        Ok(worked)
    }

    /// Claims the task and, if it is ours now, runs its handler. An unanswered
    /// claim is kept, to be asked for again.
    fn claim_and_run(&mut self, unclear: Unclear) -> Result<bool> {
        let task = &unclear.task;
        self.shared.journal().claiming(&task.id);
        step("claim");
        let answer = self.claim(&unclear);
        let answer = self.heard(answer);
        step("claim answered");
        match answer {
            Ok(true) => {
                self.run_handler(unclear.task);
                Ok(true)
            }
            Ok(false) => {
                log::info!("task {} is somebody else's or gone", task.id);
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
                self.inbox.put(unclear, now, &e);
                Err(e)
            }
        }
    }

    /// A platform that guards its claims refuses the second of two, also when
    /// the first was this worker's and only its answer was lost. One process
    /// for each token: if the task runs, it is ours.
    fn claim(&self, unclear: &Unclear) -> Result<bool> {
        let platform = &self.shared.platform;
        match platform.claim_once(&unclear.task.id) {
            Err(e) if !e.is_final() => Err(e), // not the platform's own word
            Err(e) if e.is_conflict() && unclear.was_tried() => {
                let running = platform.list_once(&TaskStatus::Running)?;
                Ok(running.iter().any(|task| task.id == unclear.task.id))
            }
            Err(e) if e.is_conflict() || e.is_not_found() => Ok(false),
            answer => answer.map(|()| true),
        }
    }

    pub(super) fn ask_again_for_unclear_claims(&mut self) -> Result<()> {
        while self.stage() == Stage::Running {
            let Some(unclear) = self.inbox.take_due(self.now()) else {
                break;
            };
            log::debug!("asking again for task {}", unclear.task.id);
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
        log::info!("task {id} ({task_type}) begins");
        let running = Arc::new(Running::new(id, task_type, Instant::now()));
        let cx = Context {
            shared: Arc::clone(&self.shared),
            running: Some(Arc::clone(&running)),
        };
        self.shared.journal().begun(&running.task_id);
        let watch = self.shared.platform.watch(&running.task_id);
        step("handler");
        let result = match self.handlers.get_mut(&running.task_type) {
            Some(handler) => {
                self.notifier.handler_begins(self.handler_limit);
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
                    named(self.handlers.keys())
                ),
            )),
        };
        step("handler returned");
        let by_itself = watch.was_reported();
        if let Some(report) = running.returned(result, by_itself) {
            self.shared.finish(report);
        } else if by_itself {
            self.shared.journal().over(&running.task_id);
        }
    }

    /// Delivers results whose time has come and does periodic work.
    pub(super) fn do_what_is_due(&mut self) -> Result<()> {
        self.deliver()?;
        let cx = self.context();
        for periodic in &mut self.periodic {
            periodic.run_if_due(&cx);
        }
        self.deliver() // what periodic work has finished
    }

    fn deliver(&mut self) -> Result<()> {
        let now = self.now();
        loop {
            // Bound on a line of its own: the outbox is not held while sending.
            let due = self.shared.outbox().take_due(now);
            let Some(waiting) = due else {
                let left = self.shared.outbox().undelivered() as f64;
                let metrics = self.shared.health.metrics();
                metrics.set(&figures::WAITING, &[], left);
                return Ok(());
            };
            let report = &waiting.report;
            step("report");
            let answer = self.shared.platform.report_once(
                &report.task_id,
                &report.status,
                report.result.as_ref(),
            );
            step("report answered");
            // A refusal in the platform's own words is an answer as well.
            if answer.as_ref().err().is_none_or(Error::is_final) {
                self.platform_answered();
            }
            match answer {
                Ok(()) => {
                    self.shared.journal().over(&report.task_id);
                    step("report noted");
                    self.delivered(report);
                }
                Err(e) if e.is_final() || e.is_too_large() => {
                    log::error!("the result of task {} is refused: {e}", report.task_id);
                    if (e.is_invalid() || e.is_too_large()) && !waiting.is_reduced {
                        self.shared.outbox().put_back_reduced(waiting, now);
                    } else {
                        self.shared.journal().over(&report.task_id);
                    }
                }
                Err(e) => {
                    log::warn!("the result of task {} waits: {e}", report.task_id);
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
        metrics.add(&figures::TASKS, &outcome, 1);
        metrics.observe(&figures::DURATION, &[], report.elapsed);
        let ms = report.elapsed.as_millis();
        match report.status {
            TaskStatus::Done => {
                self.stopped.done += 1;
                log::info!("task {} is done in {ms} ms", report.task_id);
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

    /// Notes how a call of the loop went: a good answer ends the backoff of all others.
    pub(super) fn heard<T>(&mut self, answer: Result<T>) -> Result<T> {
        answer.inspect(|_| self.platform_answered())
    }

    fn heard_poll<T>(&mut self, answer: Result<T>) -> Result<T> {
        self.heard(answer).inspect_err(|_| {
            self.turn.registration.poll_failed();
            self.inbox.poll_failed();
            self.shared.outbox().poll_failed();
        })
    }

    fn platform_answered(&mut self) {
        let now = self.now();
        self.turn.platform_answered(now);
        self.inbox.platform_answered(now);
        self.shared.outbox().platform_answered(now);
    }

    fn is_mine(&self, task: &Task) -> bool {
        let types = &self.settings.supported_task_types;
        let mine = types.is_empty() || types.contains(&task.task_type);
        if !mine {
            log::debug!("task {} ({}) is left alone", task.id, task.task_type);
        }
        mine
    }
}
