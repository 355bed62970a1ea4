//! The platform's words for states. All of them are open: a word that this
//! version does not know is kept, not refused.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! open_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// The word that goes over the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)+
                    $name::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word $(| $alias)* => $name::$variant,)+
                    other => $name::Other(other.to_owned()),
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                $name::from(word.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, word: &&str) -> bool {
                self.as_str() == *word
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map($name::from)
            }
        }
    };
}

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
