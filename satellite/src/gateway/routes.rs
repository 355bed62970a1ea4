//! The ways to the models.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use satellite_sdk::{Deployment, PlatformClient, Secret};
use serde_json::{Value, json};

use super::openapi;
use crate::model::Models;

/// All models that can be asked. Clones share one table.
#[derive(Clone, Default)]
pub struct Routes(Arc<RwLock<BTreeMap<String, Arc<Route>>>>);

/// The way to one model, and what it says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub deployment_id: String,
    pub name: String,
    pub port: u16,
    /// Attribute → id of the secret that fills it in.
    pub attributes: BTreeMap<String, String>,
    pub manifest: Option<Value>,
    pub openapi: Option<Value>,
    /// One holder more for each call under way.
    pub calls: Arc<()>,
}

/// No model listens there.
const CLOSED: u16 = 0;

impl Route {
    pub fn is_closed(&self) -> bool {
        self.port == CLOSED
    }

    /// Asks the model at `port` what it is.
    pub fn open(models: &Models, deployment: &Deployment, port: u16) -> Self {
        Route {
            deployment_id: deployment.id.clone(),
            name: deployment.name.clone(),
            port,
            attributes: deployment.dynamic_attributes_secrets.clone(),
            manifest: models.document(port, "/manifest"),
            openapi: models.document(port, "/openapi.json"),
            calls: Arc::default(),
        }
    }

    /// Its OpenAPI document as callers may see it.
    pub fn public_schemas(&self) -> Option<Value> {
        let document = self.openapi.clone()?;
        Some(openapi::without(document, self.attributes.keys()))
    }
}

impl Routes {
    pub fn get(&self, deployment_id: &str) -> Option<Arc<Route>> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        routes.get(deployment_id).cloned()
    }

    pub fn insert(&self, route: Route) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        routes.insert(route.deployment_id.clone(), Arc::new(route));
    }

    pub fn remove(&self, deployment_id: &str) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        routes.remove(deployment_id);
    }

    /// The model does not answer where it was: nobody is sent there before it has
    /// been found again.
    pub fn close(&self, route: &Route) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.get_mut(&route.deployment_id) {
            if known.port == route.port {
                *known = Arc::new(Route {
                    port: CLOSED,
                    ..route.clone()
                });
            }
        }
    }

    /// Only these stay.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|id, _| keep(id));
    }

    pub fn all(&self) -> Vec<Arc<Route>> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        routes.values().cloned().collect()
    }

    /// For `GET /deployments`: which attributes a secret fills in, but not which
    /// secret.
    pub fn described(&self) -> Value {
        let described = |route: &Arc<Route>| {
            let attributes: Vec<&String> = route.attributes.keys().collect();
            json!({
                "deployment_id": route.deployment_id,
                "name": route.name,
                "manifest": route.manifest,
                "attributes_from_secrets": attributes,
            })
        };
        self.all().iter().map(described).collect()
    }
}

/// A secret is asked for again after this long.
const FRESH: Duration = Duration::from_secs(300);

/// The secrets that fill in attributes, not asked for at each prediction.
pub struct Secrets {
    platform: PlatformClient,
    known: Mutex<HashMap<String, (Secret, Instant)>>,
}

impl Secrets {
    pub fn new(platform: PlatformClient) -> Self {
        Secrets {
            platform,
            known: Mutex::default(),
        }
    }

    /// A platform that is away leaves the last known value in force.
    pub fn get(&self, id: &str) -> satellite_sdk::Result<Secret> {
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(id).cloned()
        };
        match known {
            Some((secret, since)) if since.elapsed() < FRESH => Ok(secret),
            known => match (self.platform.get_secret(id), known) {
                (Ok(secret), _) => {
                    let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.insert(id.to_owned(), (secret.value.clone(), Instant::now()));
                    Ok(secret.value)
                }
                (Err(e), Some((secret, _))) if e.is_retryable() => Ok(secret),
                (Err(e), _) => Err(e),
            },
        }
    }
}
