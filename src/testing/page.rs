//! The platform's page for a new deployment: which satellites a user can choose there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::MockPlatform;
use super::state::PlatformState;
use satellite_core::wake::{Clock, SystemClock};

/// A satellite that has sent no request for longer than this has the status `error`.
const OFFLINE_AFTER: Duration = Duration::from_secs(20 * 60);

impl MockPlatform {
    /// Whether a user can choose the satellite on the platform's page for a model with this
    /// variant and without tags. Variants are currently `pipeline` and `pyfunc`.
    /// [`not_choosable`] returns the reason if not.
    ///
    /// ```
    /// use satellite_sdk::{DeployCapability, Task, done, testing::MockPlatform};
    ///
    /// let platform = MockPlatform::start();
    /// assert!(!platform.choosable_for("pipeline"));
    /// let mut satellite = platform
    ///     .worker()
    ///     .base_url("http://edge-7.example")
    ///     .capability("deploy", DeployCapability::new(["pipeline"]))
    ///     .handler("deploy", |_: Task| done(()))
    ///     .build()?;
    /// satellite.run_until_idle()?;
    /// assert!(platform.choosable_for("pipeline"));
    /// assert!(!platform.choosable_for("pyfunc"));
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// [`not_choosable`]: MockPlatform::not_choosable
    pub fn choosable_for(&self, variant: &str) -> bool {
        self.not_choosable(variant, &[]).is_none()
    }

    /// Why a user cannot choose the satellite for a model with this variant and these producer
    /// tags; `None` if it can be chosen.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let why = MockPlatform::start().not_choosable("pipeline", &["luml.ai::sklearn:v1"]);
    /// assert_eq!(why.as_deref(), Some("inactive: the satellite never registered"));
    /// ```
    pub fn not_choosable(&self, variant: &str, producer_tags: &[&str]) -> Option<String> {
        let state = self.state();
        match state.satellite_status() {
            "active" => {}
            "inactive" => return Some("inactive: the satellite never registered".into()),
            status => return Some(format!("{status}: no request for more than 20 minutes")),
        }
        let deploy = &state.satellite["capabilities"]["deploy"];
        if deploy.as_object().is_none_or(|deploy| deploy.is_empty()) {
            return Some("not offered: the deploy capability is empty".into());
        }
        let variants = deploy["supported_variants"].as_array();
        if !variants.is_some_and(|variants| variants.contains(&json!(variant))) {
            return Some("The satellite does not support this model variant".into());
        }
        let holds = |tag: &Value| tag.as_str().is_some_and(|tag| producer_tags.contains(&tag));
        let fits =
            |combination: &Value| combination.as_array().is_some_and(|c| c.iter().all(holds));
        match &deploy["supported_tags_combinations"] {
            Value::Null => None,
            Value::Array(combinations) if combinations.iter().any(fits) => None,
            _ => Some(
                "The model does not contain a combination of tags required by the satellite".into(),
            ),
        }
    }

    /// Sets the clock with which the platform detects that a satellite sends no requests, instead
    /// of the system's.
    ///
    /// ```
    /// # use satellite_sdk::testing::{ManualClock, MockPlatform};
    /// let (platform, clock) = (MockPlatform::start(), ManualClock::default());
    /// platform.clock(clock.clone());
    /// let worker = platform.worker().clock(clock);
    /// # let _ = worker;
    /// ```
    pub fn clock(&self, clock: impl Clock) {
        let mut state = self.state();
        state.last_request = state.last_request.map(|_| clock.now());
        state.clock = Some(Arc::new(clock));
    }
}

impl PlatformState {
    /// Records that the satellite has sent a request.
    pub(super) fn record_request(&mut self) {
        self.last_request = Some(self.clock_now());
        if !self.satellite.is_null() {
            self.satellite["last_seen_at"] = json!(self.now());
        }
    }

    /// The satellite's record with its current status.
    pub(super) fn satellite(&self) -> Value {
        let mut satellite = self.satellite.clone();
        if !satellite.is_null() {
            satellite["status"] = json!(self.satellite_status());
        }
        satellite
    }

    fn satellite_status(&self) -> &'static str {
        let elapsed = |last: Instant| self.clock_now().saturating_duration_since(last);
        match self.last_request {
            Some(last) if !self.satellite.is_null() => match elapsed(last) > OFFLINE_AFTER {
                true => "error",
                false => "active",
            },
            _ => "inactive",
        }
    }

    fn clock_now(&self) -> Instant {
        match &self.clock {
            Some(clock) => clock.now(),
            None => SystemClock.now(),
        }
    }
}
