//! Pairing and registration of a satellite with the platform.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{PREFIX, PlatformClient};
use super::models::SatelliteInfo;
use crate::settings::Draft;
use satellite_core::Variables;
use satellite_core::http::{Call, Effort, Method, Op, Secret};
use satellite_core::{Error, Result};

/// The data that a satellite sends when it registers.
///
/// ```
/// use satellite_sdk::{DeployCapability, Registration};
///
/// let registration = Registration::new("http://edge-7.example:8000")
///     .capability("deploy", DeployCapability::new(["pyfunc"]))
///     .slug("edge-7");
/// # let _ = registration;
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Registration {
    base_url: String,
    capabilities: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
}

impl Registration {
    /// A registration of a satellite that the platform reaches at `base_url`.
    pub fn new(base_url: impl Into<String>) -> Self {
        Registration {
            base_url: base_url.into(),
            capabilities: BTreeMap::new(),
            slug: None,
        }
    }

    /// Adds a capability: a [`DeployCapability`](super::DeployCapability), or any JSON.
    /// The platform currently accepts `deploy` and `monitoring`. It rejects others, and
    /// a registration without any.
    pub fn capability(mut self, name: impl Into<String>, details: impl Into<Value>) -> Self {
        self.capabilities.insert(name.into(), details.into());
        self
    }

    /// Sets the kind and version of this satellite.
    pub fn slug(mut self, slug: impl Into<String>) -> Self {
        self.slug = Some(slug.into());
        self
    }

    pub(crate) fn has_capabilities(&self) -> bool {
        !self.capabilities.is_empty()
    }
}

impl PlatformClient {
    /// Registers the address and the capabilities of this satellite
    /// (`POST /satellites/v1/pair` with the token). It may be repeated.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// use satellite_sdk::{DeployCapability, Registration};
    ///
    /// let deploy = DeployCapability::new(["pyfunc"]);
    /// let me = Registration::new("http://edge-7.example").capability("deploy", deploy);
    /// let info = platform.register(&me)?;
    /// assert!(info.paired);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_invalid()` if the platform rejects a capability or the URL.
    pub fn register(&self, registration: &Registration) -> Result<SatelliteInfo> {
        self.register_with(registration, Effort::Persistent)
    }

    /// Sent once: the worker has its own backoff.
    pub(crate) fn register_once(&self, registration: &Registration) -> Result<SatelliteInfo> {
        self.register_with(registration, Effort::Once)
    }

    fn register_with(&self, registration: &Registration, effort: Effort) -> Result<SatelliteInfo> {
        let path = format!("{PREFIX}/pair");
        let call = Call::new(Method::POST, &path).op(Op::Idempotent);
        self.send(call.effort(effort).json(registration)?)?.json()
    }

    /// Exchanges a pairing code for a token; see [`pair`].
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_pairing_code("ABC123");
    /// # let platform = mock.client();
    /// let token = platform.pair("ABC123")?;
    /// assert!(!token.expose().is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the platform creates tokens only on its web page; the error says so.
    pub fn pair(&self, code: &str) -> Result<Secret> {
        #[derive(Deserialize)]
        struct Paired {
            token: Secret,
        }
        let path = format!("{PREFIX}/pair");
        let call = Call::new(Method::POST, &path).anonymous();
        let answer = self.send(call.json(&json!({ "code": code }))?)?;
        if let 400..=499 = answer.status() {
            return Err(Error::new(format_args!(
                "the platform at {} does not support pairing codes (it answered {}): \
                 create the token on its Satellites page and set LUML_SATELLITE_TOKEN",
                self.url(),
                answer.status(),
            )));
        }
        answer.json().map(|paired: Paired| paired.token)
    }
}

/// Exchanges a pairing code for a token at `platform_url`, for a satellite that
/// has none yet.
///
/// The LUML platform currently creates tokens on its Satellites page and does not
/// support pairing codes; this is for platforms that do.
///
/// ```
/// # let mock = satellite_sdk::testing::MockPlatform::start();
/// # mock.add_pairing_code("ABC123");
/// # let platform_url = mock.url();
/// let token = satellite_sdk::pair("ABC123", &platform_url)?;
/// assert!(!token.expose().is_empty());
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
///
/// # Errors
/// `is_settings()` for an invalid URL; otherwise as
/// [`PlatformClient::pair`].
pub fn pair(code: &str, platform_url: &str) -> Result<Secret> {
    let draft = Draft {
        token: Some(Secret::new("")),
        platform_url: Some(platform_url.to_owned()),
        ..Draft::default()
    };
    let settings = draft.finish(Variables::from_env())?;
    PlatformClient::new(&settings, Default::default())?.pair(code)
}

/// The capabilities implied by the task types with a handler, without details. Only
/// those that the platform accepts.
pub(crate) fn capabilities_of<'a>(
    task_types: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, Value> {
    task_types
        .filter(|name| matches!(*name, "deploy" | "monitoring"))
        .map(|name| (name.to_owned(), json!({ "version": 1 })))
        .collect()
}
