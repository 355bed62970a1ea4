//! The rights that a ConfigMap store needs, and whether the API grants them.

use satellite_core::{Error, Result};
use serde_json::{Value, json};

use super::ConfigMapStore;
use super::identity;
use super::kubernetes::Kubernetes;

const CONFIG_MAPS: (&str, &str) = ("", "configmaps");
const LEASES: (&str, &str) = ("coordination.k8s.io", "leases");
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// A right that the service account of a processor needs in its own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, such as `configmaps`.
    pub resource: &'static str,
    /// The verb, such as `get`.
    pub verb: &'static str,
    /// The name of the object; `None` for `create`, which the API cannot limit to a name.
    pub name: Option<String>,
}

/// Whether the API grants a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The right.
    pub right: Right,
    /// The API grants it.
    pub is_allowed: bool,
    /// The reason that the API gives; may be empty.
    pub reason: String,
}

impl Right {
    fn new((group, resource): (&'static str, &'static str), verb: &'static str) -> Self {
        Right {
            group,
            resource,
            verb,
            name: None,
        }
    }

    fn on(self, name: &str) -> Self {
        Right {
            name: Some(name.to_owned()),
            ..self
        }
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

impl ConfigMapStore {
    /// The rights that the store of this processor needs: nothing else is requested of the
    /// API while Leases are granted.
    ///
    /// ```
    /// use satellite_state::ConfigMapStore;
    ///
    /// let rights = ConfigMapStore::rights("orders");
    /// assert!(rights.iter().any(|right| right.to_string() == "get configmaps/dory-state-orders"));
    /// assert!(rights.iter().all(|right| right.name.is_some() || right.verb == "create"));
    /// ```
    pub fn rights(processor: &str) -> Vec<Right> {
        let state = format!("dory-state-{processor}");
        let original = format!("dory-original-{processor}");
        vec![
            Right::new(CONFIG_MAPS, "get").on(&state),
            Right::new(CONFIG_MAPS, "update").on(&state),
            // A damaged state is moved to another name.
            Right::new(CONFIG_MAPS, "delete").on(&state),
            // A state of dory-sdk is copied before it is overwritten.
            Right::new(CONFIG_MAPS, "update").on(&original),
            Right::new(LEASES, "get").on(&state),
            Right::new(LEASES, "update").on(&state),
            Right::new(CONFIG_MAPS, "create"),
            Right::new(LEASES, "create"),
        ]
    }

    /// The further rights that importing a state of dory-sdk needs, which derives another
    /// name from that of the pod: `my` for `my-app-7d9f8b6c5d-x2x4z`. None if it derives
    /// the same one.
    ///
    /// ```
    /// use satellite_state::ConfigMapStore;
    ///
    /// let rights = ConfigMapStore::import_rights("my-app");
    /// assert_eq!(rights[0].to_string(), "get configmaps/dory-state-my");
    /// ```
    pub fn import_rights(deployment: &str) -> Vec<Right> {
        let derived = identity::of_original(&format!("{deployment}-7d9f8b6c5d-x2x4z"));
        let is_other = derived != deployment && identity::is_name(&derived);
        let right = Right::new(CONFIG_MAPS, "get").on(&format!("dory-state-{derived}"));
        is_other.then_some(right).into_iter().collect()
    }

    /// Uses the rights of this user instead of those of the token's owner, who must be
    /// allowed to impersonate it: `system:serviceaccount:<namespace>:<name>` for a pod.
    #[must_use]
    pub fn impersonating(mut self, user: impl Into<String>) -> Self {
        self.cluster.impersonated = Some(user.into());
        self
    }

    /// Asks the API which of the [`rights`](Self::rights) are granted in this namespace,
    /// with a `SelfSubjectAccessReview` for each. Changes nothing.
    ///
    /// # Errors
    /// When the API does not respond, or rejects the token.
    ///
    /// ```no_run
    /// use satellite_state::ConfigMapStore;
    ///
    /// let store = ConfigMapStore::new();
    /// for review in store.review("default", "orders")? {
    ///     println!("{}: {}", review.right, review.is_allowed);
    /// }
    /// # Ok::<(), satellite_state::Error>(())
    /// ```
    pub fn review(&self, namespace: &str, processor: &str) -> Result<Vec<Review>> {
        let mut api = Kubernetes::new(self.cluster.clone());
        let reviewed = Self::rights(processor).into_iter().map(|right| {
            let answer = api.post(REVIEWS, &request(namespace, &right))?.ok()?;
            let answer: Value = answer.json()?;
            let status = &answer["status"];
            let Some(is_allowed) = status["allowed"].as_bool() else {
                return Err(Error::new("the API did not review the right: no status"));
            };
            let reason = status["reason"].as_str().unwrap_or_default();
            Ok(Review {
                right,
                is_allowed,
                reason: reason.to_owned(),
            })
        });
        reviewed.collect()
    }
}

fn request(namespace: &str, right: &Right) -> Value {
    let mut attributes = json!({
        "namespace": namespace,
        "group": right.group,
        "resource": right.resource,
        "verb": right.verb,
    });
    if let Some(name) = &right.name {
        attributes["name"] = json!(name);
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    })
}
