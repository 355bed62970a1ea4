//! The responses of the health endpoints, independent of the HTTP server.

use miniserde::{Serialize, json};

use crate::Health;
use crate::reasons::Reasons;

/// The response to a health probe: an HTTP status and a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// 200 or 503.
    pub status: u16,
    /// A JSON document for `Content-Type: application/json`.
    pub body: String,
}

impl Health {
    /// The response for `/healthz`: 200 as long as the process can respond at all.
    ///
    /// ```
    /// let probe = satellite_health::Health::new().liveness();
    /// assert_eq!((probe.status, probe.body.as_str()), (200, r#"{"status":"ok"}"#));
    /// ```
    pub fn liveness(&self) -> Probe {
        #[derive(Serialize)]
        struct Liveness {
            status: &'static str,
        }
        let body = json::to_string(&Liveness { status: "ok" });
        Probe { status: 200, body }
    }

    /// The response for `/readyz`: 200 when no problem is reported, otherwise 503. The body lists
    /// problems and warnings by name.
    ///
    /// ```
    /// let health = satellite_health::Health::new();
    /// health.problem("model", "still loading");
    /// let probe = health.readiness();
    /// assert_eq!(probe.status, 503);
    /// assert!(probe.body.contains("still loading"));
    /// ```
    pub fn readiness(&self) -> Probe {
        #[derive(Serialize)]
        struct Readiness {
            status: &'static str,
            reasons: Reasons,
            warnings: Reasons,
        }
        let state = self.lock();
        let (reasons, warnings) = (state.problems.clone(), state.warnings.clone());
        drop(state);
        let (code, status) = match reasons.0.is_empty() {
            true => (200, "ready"),
            false => (503, "not ready"),
        };
        let readiness = Readiness {
            status,
            reasons,
            warnings,
        };
        Probe {
            status: code,
            body: json::to_string(&readiness),
        }
    }
}
