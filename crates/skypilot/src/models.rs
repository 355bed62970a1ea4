//! The server's data types. Fields that this version does not know are kept in
//! `extra`, unknown enum values as `Other`. Pickles, which only Python can read and
//! which are unsafe to read, are dropped.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use satellite_core::http::Secret;
use satellite_core::lenient::or_default;
use satellite_core::open_words;

/// The health of the server.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// `healthy`, or a description of the problem.
    pub status: String,
    /// Its API version.
    #[serde(deserialize_with = "number_or_text")]
    pub api_version: u32,
    /// Its version: `0.14.1`.
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    /// Whether service account tokens are accepted.
    #[serde(default)]
    pub service_account_token_enabled: bool,
    /// Whether user names and passwords are accepted.
    #[serde(default)]
    pub basic_auth_enabled: bool,
    /// The user that the server identified the caller as, if any.
    #[serde(default)]
    pub user: Option<Value>,
    /// All other fields of the response.
    #[serde(flatten, deserialize_with = "without_pickles")]
    pub extra: Map<String, Value>,
}

impl Health {
    /// Whether its status is `healthy`.
    pub fn is_healthy(&self) -> bool {
        self.status == "healthy"
    }
}

open_words! {
    /// The status of a request.
    ///
    /// ```
    /// use satellite_skypilot::RequestStatus;
    ///
    /// assert!(RequestStatus::from("CANCELLED").is_final());
    /// ```
    RequestStatus {
        /// Waits for a worker of the server.
        Pending = "PENDING",
        /// Waits for something else, described in `status_msg`.
        Waiting = "WAITING",
        /// Is running.
        Running = "RUNNING",
        /// Succeeded.
        Succeeded = "SUCCEEDED",
        /// Failed.
        Failed = "FAILED",
        /// Was cancelled.
        Cancelled = "CANCELLED",
    }
}

impl RequestStatus {
    /// Whether the status is final.
    pub fn is_final(&self) -> bool {
        use RequestStatus::{Cancelled, Failed, Succeeded};
        matches!(self, Succeeded | Failed | Cancelled)
    }
}

/// The server's record of a request.
///
/// The server stores the request body, including credentials, and shows it to the
/// owner. This type does not expose it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Its id.
    pub request_id: String,
    /// Its operation: `sky.launch`.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its status.
    pub status: RequestStatus,
    /// A progress message for people.
    #[serde(default)]
    pub status_msg: Option<String>,
    /// The cluster that it is about.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// When it was created, as a Unix timestamp in seconds.
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: f64,
    /// When it ended, as a Unix timestamp in seconds.
    #[serde(default)]
    pub finished_at: Option<f64>,
    #[serde(default)]
    pub(super) return_value: Option<Secret>,
    #[serde(default)]
    pub(super) error: Option<Secret>,
    #[serde(default)]
    pub(super) request_body: Option<Secret>,
}

/// The result of a launch or an exec.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Launched {
    /// The job on the cluster; `None` for a dry run.
    pub job_id: Option<u64>,
}

open_words! {
    /// The status of a cluster.
    ///
    /// ```
    /// use satellite_skypilot::ClusterStatus;
    ///
    /// assert_eq!(ClusterStatus::from("UP"), ClusterStatus::Up);
    /// ```
    ClusterStatus {
        /// Is starting, or is in an abnormal state.
        Init = "INIT",
        /// Is running.
        Up = "UP",
        /// Stopped; its disk is kept.
        Stopped = "STOPPED",
    }
}

/// A cluster.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: ClusterStatus,
    /// The cloud.
    #[serde(default)]
    pub cloud: Option<String>,
    /// The region in it.
    #[serde(default)]
    pub region: Option<String>,
    /// Its resources, as text for people.
    #[serde(default)]
    pub resources_str: Option<String>,
    /// Accelerators of a node, as text.
    #[serde(default)]
    pub accelerators: Option<String>,
    /// How many nodes.
    #[serde(default, deserialize_with = "or_default")]
    pub nodes: u32,
    /// The idle minutes after which it stops; negative: never.
    #[serde(default = "never")]
    pub autostop: i64,
    /// Whether it is then terminated instead of stopped.
    #[serde(default)]
    pub to_down: bool,
    /// When it was launched, as a Unix timestamp in seconds.
    #[serde(default, deserialize_with = "or_default")]
    pub launched_at: f64,
    /// The task that it was created with, which may contain secrets.
    #[serde(default)]
    pub last_creation_yaml: Option<Secret>,
    /// The name of its owner, who launched it.
    #[serde(default, deserialize_with = "or_default")]
    pub user_name: String,
    /// The id of its owner.
    #[serde(default, deserialize_with = "or_default")]
    pub user_hash: String,
    /// All other fields of the response.
    #[serde(flatten, deserialize_with = "without_pickles")]
    pub extra: Map<String, Value>,
}

/// The currency of all of SkyPilot's catalogues.
pub(super) const CURRENCY: &str = "USD";

fn usd() -> &'static str {
    CURRENCY
}

fn never() -> i64 {
    -1
}

open_words! {
    /// The status of a job.
    ///
    /// ```
    /// use satellite_skypilot::JobStatus;
    ///
    /// assert!(!JobStatus::SettingUp.is_final());
    /// ```
    JobStatus {
        /// Submitted.
        Init = "INIT",
        /// Waits for resources.
        Pending = "PENDING",
        /// Its setup runs.
        SettingUp = "SETTING_UP",
        /// Is running.
        Running = "RUNNING",
        /// Succeeded.
        Succeeded = "SUCCEEDED",
        /// Failed.
        Failed = "FAILED",
        /// The job driver failed.
        FailedDriver = "FAILED_DRIVER",
        /// Its setup failed.
        FailedSetup = "FAILED_SETUP",
        /// Was cancelled.
        Cancelled = "CANCELLED",
    }
}

impl JobStatus {
    /// Whether the status is final.
    pub fn is_final(&self) -> bool {
        use JobStatus::{Cancelled, Failed, FailedDriver, FailedSetup, Succeeded};
        matches!(
            self,
            Succeeded | Failed | FailedDriver | FailedSetup | Cancelled
        )
    }
}

/// A job of a cluster.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// Its id within the cluster.
    pub job_id: u64,
    /// Its name.
    #[serde(default)]
    pub job_name: Option<String>,
    /// Its status.
    pub status: JobStatus,
    /// All other fields of the response.
    #[serde(flatten, deserialize_with = "without_pickles")]
    pub extra: Map<String, Value>,
}

/// The cost of a cluster so far.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ClusterCost {
    /// Its name.
    pub name: String,
    /// How long it ran, in seconds.
    #[serde(default, deserialize_with = "or_default")]
    pub duration: f64,
    /// Its total cost, in its [`currency`](Self::currency).
    #[serde(default, deserialize_with = "or_default")]
    pub total_cost: f64,
    /// The currency of the costs: `USD`, as in all of SkyPilot's catalogues.
    #[serde(skip, default = "usd")]
    pub currency: &'static str,
    /// When it was launched, as a Unix timestamp in seconds.
    #[serde(default, deserialize_with = "or_default")]
    pub launched_at: f64,
    /// All other fields of the response.
    #[serde(flatten, deserialize_with = "without_pickles")]
    pub extra: Map<String, Value>,
}

impl ClusterCost {
    /// Its cost per hour for all of its nodes; `None` if it has not run.
    ///
    /// ```
    /// # use satellite_skypilot::ClusterCost;
    /// let cost: ClusterCost =
    ///     serde_json::from_str(r#"{"name": "c", "duration": 1800, "total_cost": 0.75}"#)?;
    /// assert_eq!((cost.cost_per_hour(), cost.currency), (Some(1.5), "USD"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn cost_per_hour(&self) -> Option<f64> {
        (self.duration > 0.0).then(|| self.total_cost / self.duration * 3600.0)
    }
}

/// A machine with accelerators, and its price.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Offer {
    /// The cloud.
    pub cloud: String,
    /// The cloud's name for the machine; not all clouds have one.
    pub instance_type: Option<String>,
    /// The accelerator.
    pub accelerator: String,
    /// How many of them.
    pub count: f64,
    /// Virtual CPUs.
    pub cpus: Option<f64>,
    /// Memory of an accelerator, in GB.
    pub device_memory: Option<f64>,
    /// Memory of the machine, in GB.
    pub memory: Option<f64>,
    /// The price per hour, exactly as in the server's catalogue.
    pub price: Option<f64>,
    /// The price per hour of a spot machine.
    pub spot_price: Option<f64>,
    /// The currency of the prices: `USD`, as in all of SkyPilot's catalogues.
    pub currency: &'static str,
    /// The region.
    pub region: Option<String>,
}

/// On the wire it is an array, which later versions may extend.
impl<'de> Deserialize<'de> for Offer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let row = Vec::<Value>::deserialize(deserializer)?;
        let text = |at: usize| row.get(at).and_then(Value::as_str).map(str::to_owned);
        let number = |at: usize| row.get(at).and_then(Value::as_f64);
        Ok(Offer {
            cloud: text(0).unwrap_or_default(),
            instance_type: text(1),
            accelerator: text(2).unwrap_or_default(),
            count: number(3).unwrap_or_default(),
            cpus: number(4),
            device_memory: number(5),
            memory: number(6),
            price: number(7),
            spot_price: number(8),
            currency: CURRENCY,
            region: text(9),
        })
    }
}

/// Accelerator → the machines that have it.
pub type Offers = BTreeMap<String, Vec<Offer>>;

/// Workspace → cloud → its usable capabilities: `compute`, `storage`.
pub type EnabledClouds = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = match &value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| number.try_into().ok()),
    };
    number.ok_or_else(|| serde::de::Error::custom("expected a version number"))
}

/// The other fields, without pickles: base64 data that begins with a pickle's PROTO
/// opcode and ends with its STOP opcode.
fn without_pickles<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    let mut fields = Map::deserialize(deserializer)?;
    fields.retain(|_, value| !value.as_str().is_some_and(is_pickle));
    Ok(fields)
}

fn is_pickle(text: &str) -> bool {
    let bytes = match text.starts_with("gA") {
        true => BASE64.decode(text).unwrap_or_default(),
        false => Vec::new(),
    };
    matches!(bytes[..], [0x80, 2..=5, .., b'.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_are_detected_by_their_first_and_last_opcode() {
        for pickle in ["gAROLg==", "gASVBAAAAAAAAACMAWOULg==", "gAJOLg=="] {
            assert!(is_pickle(pickle), "{pickle}");
        }
        for text in ["", "gA", "gAROLh==", "1x(cpus=1)", "gateway"] {
            assert!(!is_pickle(text), "{text}");
        }
    }
}
