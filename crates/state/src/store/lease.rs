//! The lease in a cluster: a Lease object, which `kubectl get lease` shows.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::config_map_object::{ConfigMap, kept_metadata, metadata, put_of, version};
use super::kubernetes::{Cluster, Kubernetes};
use super::register::{Cell, Lease, Put, Register};
use satellite_core::Result;

const CLAIMED_BY: &str = "dory.io/claimed-by";
const EPOCH: &str = "dory.io/epoch";
const CANDIDATE: &str = "dory.io/candidate";
const CANDIDATE_BEAT: &str = "dory.io/candidate-beat";
const CANDIDATE_FAILED: &str = "dory.io/candidate-failed";

/// A Lease, or a ConfigMap where Leases are forbidden.
#[derive(Debug)]
pub(super) struct LeaseObject {
    api: Kubernetes,
    collection: String,
    name: String,
    metadata: Map<String, Value>,
    instead: ConfigMap,
    /// The warning was logged. Each call tries the Lease again: permissions may take
    /// effect late, and all pods have to use the same object.
    warned: bool,
}

impl LeaseObject {
    pub(super) fn new(
        cluster: &Cluster,
        namespace: &str,
        processor: &str,
        within: Duration,
    ) -> Self {
        let name = format!("dory-lease-{processor}");
        LeaseObject {
            api: Kubernetes::new(cluster.clone()).within(within),
            collection: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            name: format!("dory-state-{processor}"),
            metadata: Map::new(),
            instead: ConfigMap::new(cluster, namespace, &name).within(within),
            warned: false,
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
        let annotations = &mut object["metadata"]["annotations"];
        annotations[CLAIMED_BY] = json!(lease.claimed_by);
        annotations[EPOCH] = json!(lease.epoch.to_string());
        annotations[CANDIDATE] = json!(lease.candidate);
        annotations[CANDIDATE_BEAT] = json!(lease.candidate_beat.to_string());
        annotations[CANDIDATE_FAILED] = json!(lease.candidate_failed);
        object
    }

    fn forbidden(&mut self) {
        if !std::mem::replace(&mut self.warned, true) {
            log::warn!(
                "this pod may not use Leases, a ConfigMap is used instead: \
                 grant get, create and update of leases in coordination.k8s.io"
            );
        }
    }

    fn allowed(&mut self) {
        if std::mem::take(&mut self.warned) {
            log::info!("this pod may use Leases now");
        }
    }
}

impl Register for LeaseObject {
    fn get(&mut self) -> Result<Option<Cell>> {
        let path = format!("{}/{}", self.collection, self.name);
        let answer = self.api.get(&path)?;
        match answer.status() {
            404 => {
                self.allowed();
                Ok(None)
            }
            403 => {
                self.forbidden();
                self.instead.get()
            }
            _ => {
                let object: Value = answer.json()?;
                self.allowed();
                self.metadata = kept_metadata(&object);
                Ok(Some(Cell {
                    document: serde_json::to_vec(&lease_of(&object))?,
                    version: version(&object),
                }))
            }
        }
    }

    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put> {
        let object = self.object(&serde_json::from_slice(document)?, over);
        let answer = match over {
            Some(_) => {
                let path = format!("{}/{}", self.collection, self.name);
                self.api.put(&path, &object)?
            }
            None => self.api.post(&self.collection, &object)?,
        };
        match answer.status() {
            403 => {
                self.forbidden();
                self.instead.put(document, over)
            }
            _ => put_of(answer, over),
        }
    }

    fn move_aside(&mut self) -> Result<String> {
        Ok(self.name.clone()) // it contains no data to keep
    }
}

fn lease_of(object: &Value) -> Lease {
    let spec = &object["spec"];
    let annotations = &object["metadata"]["annotations"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| text(value).parse().unwrap_or(0);
    Lease {
        holder: text(&spec["holderIdentity"]),
        claimed_by: text(&annotations[CLAIMED_BY]),
        acquired: text(&spec["acquireTime"]),
        renewed: text(&spec["renewTime"]),
        seconds: spec["leaseDurationSeconds"].as_u64().unwrap_or(0),
        transitions: spec["leaseTransitions"].as_u64().unwrap_or(0),
        epoch: number(&annotations[EPOCH]),
        candidate: text(&annotations[CANDIDATE]),
        candidate_beat: number(&annotations[CANDIDATE_BEAT]),
        candidate_failed: text(&annotations[CANDIDATE_FAILED]),
    }
}
