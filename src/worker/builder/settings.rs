//! What a builder may be told in place of the environment, and the reading of the rest.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Builder;
use crate::settings::Settings;
use crate::worker::journal;
use satellite_core::Result;
use satellite_core::Variables;
use satellite_core::http::Secret;
use satellite_core::wake::Clock;

/// Settings, in place of the environment's.
impl Builder {
    /// The variables to take the settings from, with what was wrong about the
    /// program's own settings among them: all of it is named in one message.
    pub fn variables(mut self, variables: Variables) -> Self {
        self.variables = Some(variables);
        self
    }

    /// In place of `LUML_SATELLITE_TOKEN`.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.draft.token = Some(token.into());
        self
    }

    /// In place of `LUML_PLATFORM_URL`.
    pub fn platform_url(mut self, url: impl Into<String>) -> Self {
        self.draft.platform_url = Some(url.into());
        self
    }

    /// In place of `LUML_POLL_INTERVAL_SEC`: 10 ms to a day.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.draft.poll_interval = Some(interval);
        self
    }

    /// In place of `LUML_MAX_BACKOFF_SEC`: 10 ms to a day.
    pub fn max_backoff(mut self, max: Duration) -> Self {
        self.draft.max_backoff = Some(max);
        self
    }

    /// In place of `LUML_SUPPORTED_TASK_TYPES`: tasks of other types are left
    /// alone, for another satellite.
    pub fn supported_task_types<T: Into<String>>(
        mut self,
        types: impl IntoIterator<Item = T>,
    ) -> Self {
        self.draft.supported_task_types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// In place of `LUML_HEALTH_HOST` and `LUML_HEALTH_PORT`; port 0 is of the
    /// system's choice.
    pub fn health(mut self, host: IpAddr, port: u16) -> Self {
        self.draft.health_host = Some(host);
        self.draft.health_port = Some(port);
        self.draft.health_enabled = Some(true);
        self
    }

    /// In place of `LUML_HEALTH_ENABLED=false`.
    pub fn no_health(mut self) -> Self {
        self.draft.health_enabled = Some(false);
        self
    }

    /// In place of `LUML_BASE_URL`: where the platform reaches this satellite.
    /// With it the satellite registers at its start.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.draft.base_url = Some(url.into());
        self
    }

    /// In place of `LUML_CA_FILE`: PEM certificates of the authorities to trust,
    /// and no others.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.draft.ca_file = Some(path.into());
        self
    }

    /// In place of `LUML_STATE_DIR`, or of systemd's `STATE_DIRECTORY`: a folder of
    /// this satellite's own, made if it is not there.
    ///
    /// With it there is a journal: a result that a kill kept from being delivered is
    /// sent by the next process before its first poll, and a task whose claim was
    /// sent but whose handler had not begun is run. A second process with the same
    /// folder is refused. Results lie there in plain text, readable by this user
    /// alone, until the platform has taken them.
    ///
    /// ```
    /// satellite_sdk::Builder::new().state_dir("/var/lib/satellite");
    /// ```
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.draft.state_dir = Some(folder.into());
        self
    }

    /// In place of `LUML_ALLOW_PLAIN_HTTP=true`: the token may be read by anybody
    /// on the way to the platform.
    pub fn allow_plain_http(mut self) -> Self {
        self.draft.plain_http = Some(true);
        self
    }

    /// Declares a capability when registering, in place of those that follow from the
    /// handlers: a [`DeployCapability`](crate::DeployCapability), or any JSON. Without
    /// the details of its `deploy` capability the platform's page offers a satellite
    /// for no model.
    ///
    /// ```
    /// use satellite_sdk::{Builder, DeployCapability};
    ///
    /// Builder::new()
    ///     .base_url("http://edge-7.example:8000")
    ///     .capability("deploy", DeployCapability::new(["pyfunc", "pipeline"]));
    /// ```
    pub fn capability(mut self, name: impl Into<String>, details: impl Into<Value>) -> Self {
        self.capabilities.insert(name.into(), details.into());
        self
    }

    /// What kind of satellite this is, and of which version, told to the platform when
    /// registering: satellites of one kind have the same.
    pub fn slug(mut self, slug: impl Into<String>) -> Self {
        self.slug = Some(slug.into());
        self
    }

    /// A clock in place of the system's: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.waiter.clock = Arc::new(clock);
        self
    }
}

/// Reading them.
impl Builder {
    /// Reads the settings and checks them, once: calls after this one do not
    /// change them any more. For what has to know them before it can be built.
    ///
    /// ```
    /// let mut builder = satellite_sdk::Builder::new().token("t");
    /// assert_eq!(builder.settings()?.token.expose(), "t");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_settings()` names all that is wrong, a state folder that cannot be
    /// written to among it.
    pub fn settings(&mut self) -> Result<Settings> {
        self.read_settings(Some(journal::check_folder))
    }

    pub(super) fn read_settings(
        &mut self,
        check_state_dir: Option<fn(&Path) -> io::Result<()>>,
    ) -> Result<Settings> {
        if let Some(settings) = &self.settings {
            return Ok(settings.clone());
        }
        let variables = self.variables.take().unwrap_or_else(Variables::from_env);
        let mut draft = std::mem::take(&mut self.draft);
        draft.check_state_dir = check_state_dir;
        let settings = draft.finish(variables)?;
        self.settings = Some(settings.clone());
        Ok(settings)
    }

    /// With a satellite that has no handler among what may be wrong.
    pub(super) fn settings_with_handlers(&mut self) -> Result<Settings> {
        if !self.handlers.is_empty() {
            return self.settings();
        }
        // Named together with whatever else is wrong.
        let mut variables = match self.settings {
            Some(_) => Variables::from_lookup(|_| None),
            None => self.variables.take().unwrap_or_else(Variables::from_env),
        };
        variables.problem(
            "handler",
            "this satellite has no handler, so that each task would fail: \
             add one with `Builder::handler`",
        );
        match self.settings {
            Some(_) => variables.finish()?,
            None => self.variables = Some(variables),
        }
        self.settings()
    }
}
