//! The doorbell in a cluster: a Lease, which `kubectl get lease` shows.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::configmap::{ConfigMap, kept_metadata, metadata, put_of, version};
use super::kubernetes::{Cluster, Kubernetes};
use super::register::{Cell, Lease, Put, Register};
use crate::error::Result;

const CLAIMED_BY: &str = "dory.io/claimed-by";

/// A Lease, or where those are forbidden a ConfigMap in its place.
#[derive(Debug)]
pub(super) struct LeaseObject {
    api: Kubernetes,
    collection: String,
    name: String,
    metadata: Map<String, Value>,
    instead: ConfigMap,
    /// When the API first said so; see [`SETTLED`].
    forbidden_since: Option<Instant>,
}

/// A role that was granted a moment ago is not known to all API servers yet:
/// after the first refusal, Leases are tried for this long before they are given up.
const SETTLED: Duration = Duration::from_secs(30);

impl LeaseObject {
    pub(super) fn new(cluster: &Cluster, namespace: &str, processor: &str) -> Self {
        LeaseObject {
            api: Kubernetes::new(cluster.clone()),
            collection: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            name: format!("dory-state-{processor}"),
            metadata: Map::new(),
            instead: ConfigMap::new(cluster, namespace, &format!("dory-lease-{processor}")),
            forbidden_since: None,
        }
    }

    fn object(&self, lease: &Lease, over: Option<&str>) -> Value {
        let mut object = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata(&self.metadata, &self.name, over),
            "spec": {
                "holderIdentity": lease.holder,
                "leaseDurationSeconds": lease.seconds.max(1),
                "acquireTime": lease.acquired,
                "renewTime": lease.renewed,
                "leaseTransitions": lease.transitions,
            },
        });
        object["metadata"]["annotations"][CLAIMED_BY] = json!(lease.claimed_by);
        object
    }

    fn is_forbidden(&self) -> bool {
        self.forbidden_since
            .is_some_and(|since| since.elapsed() > SETTLED)
    }

    fn forbidden(&mut self) {
        if self.forbidden_since.is_none() {
            self.forbidden_since = Some(Instant::now());
            log::warn!(
                "Leases are forbidden to this pod, a ConfigMap takes their place: \
                 grant get, create and update of leases in coordination.k8s.io"
            );
        }
    }

    fn allowed(&mut self) {
        if self.forbidden_since.take().is_some() {
            log::info!("Leases are no longer forbidden to this pod");
        }
    }
}

impl Register for LeaseObject {
    fn get(&mut self) -> Result<Option<Cell>> {
        if !self.is_forbidden() {
            let answer = self
                .api
                .get(&format!("{}/{}", self.collection, self.name))?;
            match answer.status() {
                404 => {
                    self.allowed();
                    return Ok(None);
                }
                403 => self.forbidden(),
                _ => {
                    let object: Value = answer.json()?;
                    self.allowed();
                    self.metadata = kept_metadata(&object);
                    return Ok(Some(Cell {
                        document: serde_json::to_vec(&lease_of(&object))?,
                        version: version(&object),
                    }));
                }
            }
        }
        self.instead.get()
    }

    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put> {
        if !self.is_forbidden() {
            let object = self.object(&serde_json::from_slice(document)?, over);
            let answer = match over {
                Some(_) => {
                    let path = format!("{}/{}", self.collection, self.name);
                    self.api.put(&path, &object)?
                }
                None => self.api.post(&self.collection, &object)?,
            };
            match answer.status() {
                403 => self.forbidden(),
                _ => return put_of(answer, over),
            }
        }
        self.instead.put(document, over)
    }

    fn set_aside(&mut self) -> Result<String> {
        Ok(self.name.clone()) // there is nothing in it to keep
    }
}

fn lease_of(object: &Value) -> Lease {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Lease {
        holder: text(&spec["holderIdentity"]),
        claimed_by: text(&object["metadata"]["annotations"][CLAIMED_BY]),
        acquired: text(&spec["acquireTime"]),
        renewed: text(&spec["renewTime"]),
        seconds: spec["leaseDurationSeconds"].as_u64().unwrap_or(0),
        transitions: spec["leaseTransitions"].as_u64().unwrap_or(0),
    }
}
