//! Options of clients, as the Python classes send them.

use std::time::Duration;

use satellite_sdk::compute::TimeLimits;
use satellite_sdk::{Error, Result};
use serde::Deserialize;

use crate::platform::seconds_of;

/// The options of every client; times in seconds.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub url: Option<String>,
    pub token: Option<String>,
    pub timeout: Option<f64>,
    pub connect_timeout: Option<f64>,
    pub idle_timeout: Option<f64>,
    pub work_timeout: Option<f64>,
    pub max_retries: Option<u32>,
    pub retry_delay: Option<f64>,
    pub max_retry_delay: Option<f64>,
    pub ca_file: Option<String>,
    pub allow_plain_http: Option<bool>,
    /// Of one kind of client only.
    pub dialect: Option<String>,
    pub max_parallel: Option<usize>,
    pub api_version: Option<String>,
    pub refresh_token: Option<String>,
    pub token_file: Option<String>,
    pub auth0: Option<(String, String)>,
    pub user: Option<(String, String)>,
}

impl Options {
    /// The time limits, or `None` if all have their defaults.
    pub fn limits(&self) -> Result<Option<TimeLimits>> {
        let mut limits = TimeLimits::default();
        let mut is_set = false;
        let all = [
            ("timeout", self.timeout, &mut limits.request),
            ("connect_timeout", self.connect_timeout, &mut limits.connect),
            ("idle_timeout", self.idle_timeout, &mut limits.idle),
            ("work_timeout", self.work_timeout, &mut limits.work),
        ];
        for (name, given, limit) in all {
            if let Some(seconds) = given {
                *limit = positive(name, seconds)?;
                is_set = true;
            }
        }
        Ok(is_set.then_some(limits))
    }
}

/// Seconds that must be more than 0.
pub fn positive(name: &str, seconds: f64) -> Result<Duration> {
    let duration = seconds_of(name, seconds)?;
    match duration.is_zero() {
        true => Err(Error::settings(vec![format!(
            "{name}: expected more than 0"
        )])),
        false => Ok(duration),
    }
}

/// Applies the options that all builders have.
#[macro_export]
macro_rules! configured {
    ($builder:expr, $options:expr) => {{
        let mut builder = $builder;
        if let Some(url) = &$options.url {
            builder = builder.url(url);
        }
        if let Some(token) = &$options.token {
            builder = builder.token(token);
        }
        if let Some(limits) = $options.limits()? {
            builder = builder.limits(limits);
        }
        if let Some(most) = $options.max_retries {
            builder = builder.max_retries(most);
        }
        if let Some(delay) = $options.retry_delay {
            builder = builder.retry_delay($crate::platform::seconds_of("retry_delay", delay)?);
        }
        if let Some(delay) = $options.max_retry_delay {
            let delay = $crate::platform::seconds_of("max_retry_delay", delay)?;
            builder = builder.max_retry_delay(delay);
        }
        if let Some(path) = &$options.ca_file {
            builder = builder.ca_file(path);
        }
        if let Some(allow) = $options.allow_plain_http {
            builder = builder.allow_plain_http(allow);
        }
        builder
    }};
}
