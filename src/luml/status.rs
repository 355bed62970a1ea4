//! The platform's status values. All of them are open enums: a value that this
//! version does not know is kept, not rejected.

use satellite_core::open_words;

open_words! {
    /// The status of a task.
    ///
    /// The values of the Python kit are accepted as well: `completed` is
    /// [`Done`](Self::Done), `processing` is [`Running`](Self::Running).
    ///
    /// ```
    /// use satellite_sdk::TaskStatus;
    ///
    /// assert_eq!(TaskStatus::from("completed"), TaskStatus::Done);
    /// assert_eq!(TaskStatus::from("paused").as_str(), "paused");
    /// ```
    TaskStatus {
        /// Not claimed by a satellite yet.
        Pending = "pending",
        /// Claimed by a satellite.
        Running = "running" | "processing",
        /// Succeeded.
        Done = "done" | "completed",
        /// Failed; the result contains the reason.
        Failed = "failed",
    }
}

impl TaskStatus {
    /// Whether the status is `done` or `failed` and will not change.
    pub fn is_final(&self) -> bool {
        matches!(self, TaskStatus::Done | TaskStatus::Failed)
    }
}

open_words! {
    /// The status of a deployment.
    ///
    /// ```
    /// use satellite_sdk::DeploymentStatus;
    ///
    /// assert_eq!(DeploymentStatus::NotResponding.as_str(), "not_responding");
    /// ```
    DeploymentStatus {
        /// Not deployed yet.
        Pending = "pending",
        /// Serving requests.
        Active = "active",
        /// Could not be deployed.
        Failed = "failed",
        /// Its deletion was requested.
        DeletionPending = "deletion_pending",
        /// Its deletion failed.
        DeletionFailed = "deletion_failed",
        /// Was active and does not respond.
        NotResponding = "not_responding",
    }
}

open_words! {
    /// The status of this satellite on the platform.
    ///
    /// ```
    /// assert_eq!(satellite_sdk::SatelliteStatus::from("active").as_str(), "active");
    /// ```
    SatelliteStatus {
        /// It has sent requests recently.
        Active = "active",
        /// It has not sent requests recently.
        Inactive = "inactive",
        /// It reported an error.
        Error = "error",
    }
}
