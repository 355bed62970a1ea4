//! The options of operations on clusters. A cluster's name converts into each of them,
//! so it can be passed directly if no option is needed.

use super::credentials::CloudCredentials;

/// How to [start](super::SkyPilotClient::start) a cluster.
///
/// ```
/// use satellite_skypilot::Start;
///
/// let start = Start::new("llama3-8b-prod").retry_until_up(true).idle_minutes_to_stop(30);
/// # let _ = start;
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is started until it is passed to the client"]
pub struct Start {
    pub(super) cluster_name: String,
    pub(super) retry_until_up: bool,
    pub(super) idle_minutes: Option<u32>,
    pub(super) down: bool,
    pub(super) credentials: Option<CloudCredentials>,
}

impl Start {
    /// Starts this cluster.
    pub fn new(cluster_name: impl Into<String>) -> Self {
        Start {
            cluster_name: cluster_name.into(),
            retry_until_up: false,
            idle_minutes: None,
            down: false,
            credentials: None,
        }
    }

    /// Waits for capacity and keeps retrying.
    pub fn retry_until_up(mut self, retry: bool) -> Self {
        self.retry_until_up = retry;
        self
    }

    /// Stops the cluster after it has been idle for `minutes`.
    pub fn idle_minutes_to_stop(mut self, minutes: u32) -> Self {
        self.idle_minutes = Some(minutes);
        self
    }

    /// When idle, terminates the cluster instead of stopping it.
    pub fn down(mut self, down: bool) -> Self {
        self.down = down;
        self
    }

    /// The cloud account: the credentials that the cluster was launched with.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

/// How to [stop](super::SkyPilotClient::stop) a cluster.
///
/// ```
/// use satellite_skypilot::Stop;
///
/// let stop = Stop::new("llama3-8b-prod").graceful(true);
/// # let _ = stop;
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is stopped until it is passed to the client"]
pub struct Stop {
    pub(super) cluster_name: String,
    pub(super) graceful: bool,
    pub(super) credentials: Option<CloudCredentials>,
}

impl Stop {
    /// Stops this cluster.
    pub fn new(cluster_name: impl Into<String>) -> Self {
        Stop {
            cluster_name: cluster_name.into(),
            graceful: false,
            credentials: None,
        }
    }

    /// Waits for mounted storage to be written first.
    pub fn graceful(mut self, graceful: bool) -> Self {
        self.graceful = graceful;
        self
    }

    /// The cloud account: the credentials that the cluster was launched with.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

/// How to [terminate](super::SkyPilotClient::terminate) a cluster.
///
/// ```
/// use satellite_skypilot::Terminate;
///
/// let terminate = Terminate::new("llama3-8b-prod").purge(true);
/// # let _ = terminate;
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is terminated until it is passed to the client"]
pub struct Terminate {
    pub(super) cluster_name: String,
    pub(super) purge: bool,
    pub(super) graceful: bool,
    pub(super) credentials: Option<CloudCredentials>,
}

impl Terminate {
    /// Terminates this cluster.
    pub fn new(cluster_name: impl Into<String>) -> Self {
        Terminate {
            cluster_name: cluster_name.into(),
            purge: false,
            graceful: false,
            credentials: None,
        }
    }

    /// Removes the cluster from the server's records even if the cloud fails to
    /// terminate it: resources left behind there may continue to cost money.
    pub fn purge(mut self, purge: bool) -> Self {
        self.purge = purge;
        self
    }

    /// Waits for mounted storage to be written first.
    pub fn graceful(mut self, graceful: bool) -> Self {
        self.graceful = graceful;
        self
    }

    /// The cloud account: the credentials that the cluster was launched with.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

/// Which [clusters](super::SkyPilotClient::clusters) to list.
///
/// ```
/// use satellite_skypilot::{Clusters, Refresh};
///
/// let seen_now = Clusters::new().name("llama3-8b-prod").refresh(Refresh::Force);
/// let everybodys = Clusters::new().all_users(true);
/// # let _ = (seen_now, everybodys);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Clusters {
    pub(super) names: Vec<String>,
    pub(super) refresh: Refresh,
    pub(super) all_users: bool,
}

impl Clusters {
    /// All of the caller's own clusters, in their last known state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the cluster of this name to the query.
    pub fn name(mut self, cluster_name: impl Into<String>) -> Self {
        self.names.push(cluster_name.into());
        self
    }

    /// Whether the server queries their clouds first.
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// Includes those of other users: see
    /// [`Cluster::user_name`](super::Cluster::user_name).
    pub fn all_users(mut self, all_users: bool) -> Self {
        self.all_users = all_users;
        self
    }
}

/// Whether the server queries the clouds for clusters before it responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// It returns the last known state.
    #[default]
    None,
    /// It queries those that may have changed on their own.
    Auto,
    /// It queries all of them.
    Force,
}

impl Refresh {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Refresh::None => "NONE",
            Refresh::Auto => "AUTO",
            Refresh::Force => "FORCE",
        }
    }
}

/// A cluster's name converts into an operation without options.
macro_rules! from_a_name {
    ($($options:ident)*) => {$(
        impl From<&str> for $options {
            fn from(cluster_name: &str) -> Self {
                Self::new(cluster_name)
            }
        }

        impl From<&String> for $options {
            fn from(cluster_name: &String) -> Self {
                Self::new(cluster_name)
            }
        }

        impl From<String> for $options {
            fn from(cluster_name: String) -> Self {
                Self::new(cluster_name)
            }
        }

        impl From<&$options> for $options {
            fn from(options: &$options) -> Self {
                options.clone()
            }
        }
    )*};
}

from_a_name! { Start Stop Terminate }
