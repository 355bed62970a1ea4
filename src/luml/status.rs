//! The platform's words for states. All of them are open: a word that this
//! version does not know is kept, not refused.

use satellite_core::open_words;

open_words! {
    /// Where a task stands.
    ///
    /// The words of the Python kit are taken as well: `completed` is
    /// [`Done`](Self::Done), `processing` is [`Running`](Self::Running).
    ///
    /// ```
    /// use satellite_sdk::TaskStatus;
    ///
    /// assert_eq!(TaskStatus::from("completed"), TaskStatus::Done);
    /// assert_eq!(TaskStatus::from("paused").as_str(), "paused");
    /// ```
    TaskStatus {
        /// Waits for a satellite.
        Pending = "pending",
        /// A satellite has claimed it.
        Running = "running" | "processing",
        /// Ended well.
        Done = "done" | "completed",
        /// Ended badly; the result says why.
        Failed = "failed",
    }
}

impl TaskStatus {
    /// `done` or `failed`: nothing more will come.
    pub fn is_final(&self) -> bool {
        matches!(self, TaskStatus::Done | TaskStatus::Failed)
    }
}

open_words! {
    /// Where a deployment stands.
    ///
    /// ```
    /// use satellite_sdk::DeploymentStatus;
    ///
    /// assert_eq!(DeploymentStatus::NotResponding.as_str(), "not_responding");
    /// ```
    DeploymentStatus {
        /// Waits to be deployed.
        Pending = "pending",
        /// Serves.
        Active = "active",
        /// Could not be deployed.
        Failed = "failed",
        /// Its deletion was asked for.
        DeletionPending = "deletion_pending",
        /// Its deletion went wrong.
        DeletionFailed = "deletion_failed",
        /// Was active and does not answer.
        NotResponding = "not_responding",
    }
}

open_words! {
    /// What the platform thinks of this satellite.
    ///
    /// ```
    /// assert_eq!(satellite_sdk::SatelliteStatus::from("active").as_str(), "active");
    /// ```
    SatelliteStatus {
        /// It has been seen lately.
        Active = "active",
        /// It has not.
        Inactive = "inactive",
        /// It reported an error.
        Error = "error",
    }
}
