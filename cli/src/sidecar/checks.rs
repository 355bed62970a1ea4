//! Checks the application at intervals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::app_check::AppClient;
use super::metrics;
use super::shared::{APP, Context};

/// How often the application is checked.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Checks the application on a thread of its own: it may take as long as its timeout.
pub(super) struct Checks {
    pub(super) client: Arc<AppClient>,
    pub(super) cx: Context,
    pub(super) restarts_container: bool,
    pub(super) was_healthy: bool,
}

impl Checks {
    pub(super) fn run(mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::SeqCst) {
            self.check();
            thread::sleep(CHECK_INTERVAL);
        }
    }

    fn check(&mut self) {
        let settings = self.client.settings();
        let healthy = self.client.is_healthy();
        let ready = match settings.ready_path {
            Some(_) => self.client.is_ready(),
            None => healthy.clone(),
        };
        let (Some(healthy), Some(ready)) = (healthy, ready) else {
            return;
        };
        if self.restarts_container && settings.health_path.is_some() {
            self.was_healthy |= healthy.is_ok();
            // It may still be starting: the startup probe has a limit.
            let problem = healthy.err().filter(|_| self.was_healthy);
            let problem = problem.map(|why| format!("the application: {why}"));
            self.cx.set_liveness_problem(problem);
        }
        match (&ready, settings.is_required) {
            (Err(why), true) => self.cx.health().problem(APP, why),
            (Err(why), false) => log::debug!("the application does not answer: {why}"),
            (Ok(()), _) => self.cx.health().clear(APP),
        }
        let metrics = self.cx.health().metrics();
        let (up, outcome) = match ready {
            Ok(()) => (1.0, "ok"),
            Err(_) => (0.0, "failed"),
        };
        metrics.set(&metrics::UP, &[], up);
        metrics.add(&metrics::CHECKS, &[("outcome", outcome)], 1);
    }
}
