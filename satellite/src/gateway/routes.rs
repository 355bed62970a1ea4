//! The routes to the models.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use satellite_sdk::{Deployment, PlatformClient, Secret};
use serde_json::{Value, json};

use crate::model::Models;
use crate::monitoring::{Monitoring, Permit};

/// All available models. Clones share one table, sorted by the ids of the deployments.
#[derive(Clone, Default)]
pub struct Routes(Arc<RwLock<Vec<Arc<Route>>>>);

/// The route to one model, and the model's description of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub deployment_id: String,
    pub name: String,
    pub port: u16,
    /// Attribute → id of the secret with its value.
    pub attributes: BTreeMap<String, String>,
    pub manifest: Option<Value>,
    pub openapi: Option<Value>,
    /// For its calls, with what records them if the deployment is monitored.
    pub permit: Permit,
}

/// The port of a closed route.
const CLOSED: u16 = 0;

impl Route {
    pub fn is_closed(&self) -> bool {
        self.port == CLOSED
    }

    /// Creates a route and reads the manifest and OpenAPI document of the model at `port`.
    pub fn open(
        models: &Models,
        deployment: &Deployment,
        port: u16,
        monitoring: &Monitoring,
    ) -> Self {
        Route {
            deployment_id: deployment.id.clone(),
            name: deployment.name.clone(),
            port,
            attributes: deployment.dynamic_attributes_secrets.clone(),
            manifest: models.document(port, "/manifest"),
            openapi: models.document(port, "/openapi.json"),
            permit: Arc::new(monitoring.watch(deployment, models, port)),
        }
    }

    /// Its OpenAPI document as callers may see it.
    pub fn public_schemas(&self) -> Option<Value> {
        let document = self.openapi.clone()?;
        Some(without(document, self.attributes.keys()))
    }
}

impl Routes {
    pub fn get(&self, deployment_id: &str) -> Option<Arc<Route>> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let at = position(&routes, deployment_id).ok()?;
        Some(routes[at].clone())
    }

    pub fn insert(&self, route: Route) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match position(&routes, &route.deployment_id) {
            Ok(at) => routes[at] = Arc::new(route),
            Err(at) => routes.insert(at, Arc::new(route)),
        }
    }

    pub fn remove(&self, deployment_id: &str) {
        self.retain(|id| id != deployment_id);
    }

    /// Closes a route whose model does not listen any more: requests are not forwarded
    /// until reconcile has found the model again.
    pub fn close(&self, route: &Route) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(at) = position(&routes, &route.deployment_id) {
            if routes[at].port == route.port {
                routes[at] = Arc::new(Route {
                    port: CLOSED,
                    ..route.clone()
                });
            }
        }
    }

    /// Removes all other routes.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|route| keep(&route.deployment_id));
    }

    pub fn all(&self) -> Vec<Arc<Route>> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        routes.clone()
    }

    /// The document for `GET /deployments`: which attributes secrets fill in, but not the
    /// secrets' ids.
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

/// Where the route of a deployment is, or would be.
fn position(routes: &[Arc<Route>], deployment_id: &str) -> Result<usize, usize> {
    routes.binary_search_by(|route| route.deployment_id.as_str().cmp(deployment_id))
}

/// A cached secret is read again after this time.
const SECRET_TTL: Duration = Duration::from_secs(300);

/// A cache of the secrets for attributes.
pub struct SecretCache {
    platform: PlatformClient,
    known: Mutex<HashMap<String, (Secret, Instant)>>,
}

impl SecretCache {
    pub fn new(platform: PlatformClient) -> Self {
        SecretCache {
            platform,
            known: Mutex::default(),
        }
    }

    /// If the platform is unavailable, returns the last known value.
    pub fn get(&self, id: &str) -> satellite_sdk::Result<Secret> {
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(id).cloned()
        };
        match known {
            Some((secret, since)) if since.elapsed() < SECRET_TTL => Ok(secret),
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

/// A model's document without the attributes that secrets fill in: callers do not need to
/// give them.
pub fn without<'a>(mut document: Value, filled_in: impl Iterator<Item = &'a String>) -> Value {
    let path = "/components/schemas/DynamicAttributesModel";
    let Some(model) = document.pointer_mut(path) else {
        return document;
    };
    for attribute in filled_in {
        if let Some(properties) = model.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove(attribute);
        }
        if let Some(required) = model.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name != attribute.as_str());
        }
    }
    document
}
