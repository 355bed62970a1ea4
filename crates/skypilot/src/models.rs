//! What the server speaks of. Fields that this version does not know are kept
//! in `extra`, unknown words as `Other`. Pickles, which only Python can read and
//! nobody should, are left out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use satellite_core::http::Secret;
use satellite_core::lenient::or_default;
use satellite_core::open_words;

/// How the server is.
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
    /// Whether service account tokens are taken.
    #[serde(default)]
    pub service_account_token_enabled: bool,
    /// Whether names and passwords are taken.
    #[serde(default)]
    pub basic_auth_enabled: bool,
    /// Who it takes the caller for, where it knows.
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
    /// Where a request stands.
    ///
    /// ```
    /// use satellite_skypilot::RequestStatus;
    ///
    /// assert!(RequestStatus::from("CANCELLED").is_final());
    /// ```
    RequestStatus {
        /// Waits for a worker of the server.
        Pending = "PENDING",
        /// Waits for something else, as told in `status_msg`.
        Waiting = "WAITING",
        /// Is carried out.
        Running = "RUNNING",
        /// Ended well.
        Succeeded = "SUCCEEDED",
        /// Ended badly.
        Failed = "FAILED",
        /// Was cancelled.
        Cancelled = "CANCELLED",
    }
}

impl RequestStatus {
    /// Nothing more will come.
    pub fn is_final(&self) -> bool {
        use RequestStatus::{Cancelled, Failed, Succeeded};
        matches!(self, Succeeded | Failed | Cancelled)
    }
}

/// A request, as the server has it on record.
///
/// The server keeps what was sent, credentials included, and shows it to the
/// owner: this type shows nothing of that part.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Its id.
    pub request_id: String,
    /// What it is: `sky.launch`.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Where it stands.
    pub status: RequestStatus,
    /// What it is at, for people.
    #[serde(default)]
    pub status_msg: Option<String>,
    /// The cluster that it is about.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: f64,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<f64>,
    #[serde(default)]
    pub(super) return_value: Option<Secret>,
    #[serde(default)]
    pub(super) error: Option<Secret>,
    #[serde(default)]
    pub(super) request_body: Option<Secret>,
}

/// What a launch or an exec brought about.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Launched {
    /// The job on the cluster; none for a dry run.
    pub job_id: Option<u64>,
}

open_words! {
    /// Where a cluster stands.
    ///
    /// ```
    /// use satellite_skypilot::ClusterStatus;
    ///
    /// assert_eq!(ClusterStatus::from("UP"), ClusterStatus::Up);
    /// ```
    ClusterStatus {
        /// Comes up, or is in an abnormal state.
        Init = "INIT",
        /// Runs.
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
    /// Where it stands.
    pub status: ClusterStatus,
    /// The cloud.
    #[serde(default)]
    pub cloud: Option<String>,
    /// The region in it.
    #[serde(default)]
    pub region: Option<String>,
    /// What it is made of, for people.
    #[serde(default)]
    pub resources_str: Option<String>,
    /// Accelerators of a node, as text.
    #[serde(default)]
    pub accelerators: Option<String>,
    /// How many nodes.
    #[serde(default, deserialize_with = "or_default")]
    pub nodes: u32,
    /// Minutes of idleness after which it stops; negative: never.
    #[serde(default = "never")]
    pub autostop: i64,
    /// Whether it is then taken down and not only stopped.
    #[serde(default)]
    pub to_down: bool,
    /// When it was launched, in seconds since 1970.
    #[serde(default, deserialize_with = "or_default")]
    pub launched_at: f64,
    /// The task that it was made from, which may hold secrets.
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

/// What all of SkyPilot's catalogues are in.
pub(super) const CURRENCY: &str = "USD";

fn usd() -> &'static str {
    CURRENCY
}

fn never() -> i64 {
    -1
}

open_words! {
    /// Where a job stands.
    ///
    /// ```
    /// use satellite_skypilot::JobStatus;
    ///
    /// assert!(!JobStatus::SettingUp.is_final());
    /// ```
    JobStatus {
        /// Handed in.
        Init = "INIT",
        /// Waits for resources.
        Pending = "PENDING",
        /// Its setup runs.
        SettingUp = "SETTING_UP",
        /// Runs.
        Running = "RUNNING",
        /// Ended well.
        Succeeded = "SUCCEEDED",
        /// Ended badly.
        Failed = "FAILED",
        /// What carries jobs out broke.
        FailedDriver = "FAILED_DRIVER",
        /// Its setup ended badly.
        FailedSetup = "FAILED_SETUP",
        /// Was cancelled.
        Cancelled = "CANCELLED",
    }
}

impl JobStatus {
    /// Nothing more will come.
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
    /// Its identity within the cluster.
    pub job_id: u64,
    /// Its name.
    #[serde(default)]
    pub job_name: Option<String>,
    /// Where it stands.
    pub status: JobStatus,
    /// All other fields of the response.
    #[serde(flatten, deserialize_with = "without_pickles")]
    pub extra: Map<String, Value>,
}

/// What a cluster has cost.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ClusterCost {
    /// Its name.
    pub name: String,
    /// How long it ran, in seconds.
    #[serde(default, deserialize_with = "or_default")]
    pub duration: f64,
    /// What that cost, in its [`currency`](Self::currency).
    #[serde(default, deserialize_with = "or_default")]
    pub total_cost: f64,
    /// In what the costs are: `USD`, as all of SkyPilot's catalogues.
    #[serde(skip, default = "usd")]
    pub currency: &'static str,
    /// When it was launched, in seconds since 1970.
    #[serde(default, deserialize_with = "or_default")]
    pub launched_at: f64,
    /// All other fields of the response.
    #[serde(flatten, deserialize_with = "without_pickles")]
    pub extra: Map<String, Value>,
}

impl ClusterCost {
    /// What it cost for an hour, all of its nodes; none where it has not run.
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
    /// For an hour, exactly as the server's catalogue has it.
    pub price: Option<f64>,
    /// The same for a spot machine.
    pub spot_price: Option<f64>,
    /// In what the prices are: `USD`, as all of SkyPilot's catalogues.
    pub currency: &'static str,
    /// The region.
    pub region: Option<String>,
}

/// On the wire it is an array, which may grow.
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

/// Workspace → cloud → what may be used of it: `compute`, `storage`.
pub type EnabledClouds = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = match &value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| number.try_into().ok()),
    };
    number.ok_or_else(|| serde::de::Error::custom("expected a version number"))
}

/// What else the server says, without pickles: base64 that begins with the
/// opcode of a pickle's protocol and ends with the one of its end.
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
    fn pickles_are_known_by_their_first_and_last_opcode() {
        for pickle in ["gAROLg==", "gASVBAAAAAAAAACMAWOULg==", "gAJOLg=="] {
            assert!(is_pickle(pickle), "{pickle}");
        }
        for text in ["", "gA", "gAROLh==", "1x(cpus=1)", "gateway"] {
            assert!(!is_pickle(text), "{text}");
        }
    }
}
