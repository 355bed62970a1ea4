//! The settings of a builder, which override the environment, and reading the others.

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

/// Settings, which override the environment.
impl Builder {
    /// The variables to read the settings from. They can contain problems with the
    /// program's own settings: one error message lists all of them.
    pub fn variables(mut self, variables: Variables) -> Self {
        self.variables = Some(variables);
        self
    }

    /// Overrides `LUML_SATELLITE_TOKEN`.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.draft.token = Some(token.into());
        self
    }

    /// Overrides `LUML_PLATFORM_URL`.
    pub fn platform_url(mut self, url: impl Into<String>) -> Self {
        self.draft.platform_url = Some(url.into());
        self
    }

    /// Overrides `LUML_POLL_INTERVAL_SEC`: 10 ms to a day.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.draft.poll_interval = Some(interval);
        self
    }

    /// Overrides `LUML_MAX_BACKOFF_SEC`: 10 ms to a day.
    pub fn max_backoff(mut self, max: Duration) -> Self {
        self.draft.max_backoff = Some(max);
        self
    }

    /// Overrides `LUML_SUPPORTED_TASK_TYPES`: tasks of other types are skipped, for
    /// another satellite.
    pub fn supported_task_types<T: Into<String>>(
        mut self,
        types: impl IntoIterator<Item = T>,
    ) -> Self {
        self.draft.supported_task_types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// Overrides `LUML_HEALTH_HOST` and `LUML_HEALTH_PORT`. With port 0 the system
    /// chooses the port.
    pub fn health(mut self, host: IpAddr, port: u16) -> Self {
        self.draft.health_host = Some(host);
        self.draft.health_port = Some(port);
        self.draft.health_enabled = Some(true);
        self
    }

    /// Like `LUML_HEALTH_ENABLED=false`.
    pub fn no_health(mut self) -> Self {
        self.draft.health_enabled = Some(false);
        self
    }

    /// Overrides `LUML_BASE_URL`: the URL at which the platform reaches this
    /// satellite. If set, the satellite registers when it starts.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.draft.base_url = Some(url.into());
        self
    }

    /// Overrides `LUML_CA_FILE`: PEM certificates of the only certificate authorities
    /// to trust.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.draft.ca_file = Some(path.into());
        self
    }

    /// Overrides `LUML_STATE_DIR` and systemd's `STATE_DIRECTORY`: a folder used only
    /// by this satellite, created if it does not exist.
    ///
    /// It holds a journal. If the process is killed, the next one delivers the
    /// outstanding results before its first poll, and runs tasks whose claim was
    /// sent but whose handler had not started. A second process with the same folder
    /// fails to start. Results are stored in plain text, readable by this user only,
    /// until the platform has accepted them.
    ///
    /// ```
    /// satellite_sdk::Builder::new().state_dir("/var/lib/satellite");
    /// ```
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.draft.state_dir = Some(folder.into());
        self
    }

    /// Like `LUML_ALLOW_PLAIN_HTTP=true`: anybody on the network path to the platform
    /// can read the token.
    pub fn allow_plain_http(mut self) -> Self {
        self.draft.plain_http = Some(true);
        self
    }

    /// Declares a capability when registering, instead of those derived from the
    /// handlers: a [`DeployCapability`](crate::DeployCapability), or any JSON. Without
    /// the details of its `deploy` capability, the platform's UI offers a satellite
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

    /// The kind and version of this satellite, sent to the platform when registering.
    /// Satellites of the same kind share it.
    pub fn slug(mut self, slug: impl Into<String>) -> Self {
        self.slug = Some(slug.into());
        self
    }

    /// Replaces the system clock, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.waiter.clock = Arc::new(clock);
        self
    }
}

/// Reading the settings.
impl Builder {
    /// Reads and checks the settings once; setters called after this have no effect.
    /// For programs that need the settings before they build the satellite.
    ///
    /// ```
    /// let mut builder = satellite_sdk::Builder::new().token("t");
    /// assert_eq!(builder.settings()?.token.expose(), "t");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_settings()` lists all wrong settings, including a state folder that is not
    /// writable.
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

    /// Like [`settings`](Self::settings), and a missing handler is an error too.
    pub(super) fn settings_with_handlers(&mut self) -> Result<Settings> {
        if !self.handlers.is_empty() {
            return self.settings();
        }
        // Reported in one message with all other problems.
        let mut variables = match self.settings {
            Some(_) => Variables::from_lookup(|_| None),
            None => self.variables.take().unwrap_or_else(Variables::from_env),
        };
        variables.problem(
            "handler",
            "this satellite has no handler, so every task would fail: \
             add one with `Builder::handler`",
        );
        match self.settings {
            Some(_) => variables.finish()?,
            None => self.variables = Some(variables),
        }
        self.settings()
    }
}
