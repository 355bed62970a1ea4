//! States in ConfigMaps.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use super::fenced::Fenced;
use super::kubernetes::{Cluster, Kubernetes};
use super::lease::LeaseObject;
use super::lease_manager::{self, LeaseManager};
use super::register::{Cell, Put, Register};
use super::{LeaseRenewer, OpenRequest, Opened, Original, Store};
use crate::document::{self, Content};
use crate::import;
use crate::time;
use satellite_core::http::Response;
use satellite_core::{Error, Result};

/// The maximum size of all values of a ConfigMap together.
const MAX_BYTES: usize = 1024 * 1024;
/// Larger states are compressed: every save goes through the cluster's datastore.
const MAX_PLAIN_BYTES: usize = 64 * 1024;
/// How long after a takeover dory-sdk may still write its last state.
const LATE_SAVE_WINDOW: Duration = Duration::from_secs(600);
/// Annotations by which states of dory-sdk are removed after an hour.
const DORY_SDK_EXPIRY_ANNOTATIONS: [&str; 2] = ["dory.io/state-ttl", "dory.io/created-timestamp"];
/// The maximum size of a decompressed state.
const MAX_INFLATED_BYTES: u64 = 256 * 1024 * 1024;

/// States in ConfigMaps, `dory-state-<processor>` in the pod's namespace, with a
/// Lease of the same name for the handover.
///
/// The pod's service account needs, in its own namespace:
///
/// ```yaml
/// rules:
/// - apiGroups: [""]
///   resources: ["configmaps"]
///   verbs: ["get", "create", "update", "delete"]
/// - apiGroups: ["coordination.k8s.io"]
///   resources: ["leases"]
///   verbs: ["get", "create", "update"]
/// ```
///
/// Where Leases are forbidden, a second ConfigMap, `dory-lease-<processor>`,
/// is used instead.
///
/// A ConfigMap holds 1 MiB: a state that is larger even when compressed is
/// rejected before anything is sent.
///
/// A state of dory-sdk, the original Python implementation, is imported from the
/// ConfigMap that its generated manifests configure. If that is also the ConfigMap of
/// this store, the state of dory-sdk is first copied to `dory-original-<processor>`.
#[derive(Debug)]
pub struct ConfigMapStore {
    cluster: Cluster,
    lease_duration: Duration,
    /// ConfigMaps of dory-sdk that have been read.
    originals: Vec<ConfigMap>,
    opened: Option<Fenced<ConfigMap, LeaseObject>>,
}

impl ConfigMapStore {
    /// Stores states in the cluster that this pod runs in.
    pub fn new() -> Self {
        ConfigMapStore {
            cluster: Cluster::default(),
            lease_duration: Duration::from_secs(15),
            originals: Vec::new(),
            opened: None,
        }
    }

    /// Uses the cluster whose API is at `url`, such as that of `kubectl proxy`.
    #[must_use]
    pub fn at(mut self, url: impl Into<String>) -> Self {
        self.cluster.at(url);
        self
    }

    /// Uses the `token` and the `ca.crt` in this folder. They are read again every
    /// minute, and when a token is rejected.
    #[must_use]
    pub fn service_account(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cluster.service_account(folder);
        self
    }

    /// The lease duration: a holder that does not renew for this long is considered
    /// dead. 15 seconds by default.
    #[must_use]
    pub fn lease_duration(mut self, lease_duration: Duration) -> Self {
        self.lease_duration = lease_duration;
        self
    }

    fn connected(
        &mut self,
        request: &OpenRequest<'_>,
    ) -> Result<&mut Fenced<ConfigMap, LeaseObject>> {
        if self.opened.is_none() {
            let (namespace, id) = (request.namespace(), request.processor());
            let within = lease_manager::call_limit(self.lease_duration);
            let name = format!("dory-state-{id}");
            let state = ConfigMap::new(&self.cluster, namespace, &name);
            let lease = LeaseObject::new(&self.cluster, namespace, id, within);
            let lease =
                LeaseManager::new(lease, self.lease_duration, request.lease_validity.clone());
            let mut seen = ConfigMap::new(&self.cluster, namespace, &name).within(within);
            seen.last = Arc::clone(&state.last);
            self.opened = Some(Fenced::new(state, seen, lease, self.lease_duration));
        }
        self.opened()
    }

    fn opened(&mut self) -> Result<&mut Fenced<ConfigMap, LeaseObject>> {
        self.opened
            .as_mut()
            .ok_or_else(|| Error::new("the store was not opened"))
    }
}

impl Default for ConfigMapStore {
    fn default() -> Self {
        ConfigMapStore::new()
    }
}

impl Store for ConfigMapStore {
    fn peek(&mut self, request: &OpenRequest<'_>) -> Result<Option<Opened>> {
        self.connected(request)?.peek(request)
    }

    fn give_up(&mut self, request: &OpenRequest<'_>, why: &str) -> Result<()> {
        self.connected(request)?.give_up(request, why)
    }

    fn open(&mut self, request: &OpenRequest<'_>) -> Result<Opened> {
        let fenced = self.connected(request)?;
        let opened = fenced.open(request)?;
        let own = opened.snapshot.as_ref();
        if own.is_none_or(|snapshot| snapshot.stamp.epoch == 0) {
            fenced.state().last().expects_original_until = Some(Instant::now() + LATE_SAVE_WINDOW);
        }
        Ok(opened)
    }

    fn lease_renewer(&mut self) -> Option<Box<dyn LeaseRenewer>> {
        self.opened.as_mut()?.lease_renewer()
    }

    fn save(&mut self, content: &Content) -> Result<u64> {
        self.opened()?.save(content)
    }

    fn release(&mut self, last: &Content) -> Result<u64> {
        self.opened()?.release(last)
    }

    fn release_lease(&mut self) -> Result<()> {
        self.opened.as_mut().map_or(Ok(()), Fenced::release_lease)
    }

    /// The usual interval of the holders of Leases.
    fn renew_interval(&self) -> Duration {
        self.lease_duration * 2 / 15
    }

    fn move_aside(&mut self) -> Result<String> {
        self.opened()?.move_aside()
    }

    fn is_free(&mut self) -> Result<bool> {
        self.opened()?.is_free()
    }

    fn read_original(&mut self, namespace: &str, id: &str) -> Result<Option<Original>> {
        let name = format!("dory-state-{id}");
        let own = self.opened()?.state();
        if own.is_at(namespace, &name) {
            return own.late_original();
        }
        let known = self
            .originals
            .iter()
            .position(|m| m.is_at(namespace, &name));
        let at = known.unwrap_or_else(|| {
            let map = ConfigMap::new(&self.cluster, namespace, &name);
            self.originals.push(map);
            self.originals.len() - 1
        });
        let map = &mut self.originals[at];
        let found = map.get()?.filter(|cell| !document::is_own(&cell.document));
        Ok(found.map(|cell| map.original(cell.document)))
    }
}

/// A document in a ConfigMap: uncompressed under `state`, or compressed under
/// `state.gz`.
#[derive(Debug)]
pub(super) struct ConfigMap {
    api: Kubernetes,
    collection: String,
    name: String,
    /// Labels and other metadata that were added by others.
    metadata: Map<String, Value>,
    last: Arc<Mutex<LastWrite>>,
    /// A state of dory-sdk that was read here and is not copied yet.
    uncopied: Option<Vec<u8>>,
    /// A state of dory-sdk that overwrote the state of this process.
    late_save: Option<Vec<u8>>,
}

/// What this process wrote last, shared by all readers of the same ConfigMap.
#[derive(Debug, Default)]
struct LastWrite {
    /// The header of the document.
    header: Option<Vec<u8>>,
    /// Until then dory-sdk may overwrite the state of this process with its last save.
    expects_original_until: Option<Instant>,
}

impl ConfigMap {
    pub(super) fn new(cluster: &Cluster, namespace: &str, name: &str) -> Self {
        ConfigMap {
            api: Kubernetes::new(cluster.clone()),
            collection: collection(namespace),
            name: name.to_owned(),
            metadata: Map::new(),
            last: Arc::default(),
            uncopied: None,
            late_save: None,
        }
    }

    fn last(&self) -> MutexGuard<'_, LastWrite> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_at(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.collection == collection(namespace)
    }

    fn original(&self, document: Vec<u8>) -> Original {
        Original {
            place: format!("ConfigMap {} ({})", self.name, self.collection),
            document,
        }
    }

    /// The state with which dory-sdk overwrote the state of this process, if any.
    fn late_original(&mut self) -> Result<Option<Original>> {
        self.get()?;
        Ok(self
            .late_save
            .clone()
            .map(|document| self.original(document)))
    }

    /// Handles a state of dory-sdk found in place of this process's state: it is
    /// remembered and will be copied. Returns the own document, so that fencing works as
    /// if it were still there.
    fn seen_original(&mut self, document: Vec<u8>) -> Vec<u8> {
        self.uncopied = Some(document.clone());
        let last = self.last();
        let is_expected = (last.expects_original_until).is_some_and(|end| Instant::now() < end);
        match last.header.as_deref().map(document::of_header) {
            Some(own) if is_expected => {
                drop(last);
                self.late_save = Some(document);
                own
            }
            _ => document,
        }
    }

    /// Copies the state of dory-sdk before this process overwrites it.
    fn copy_original(&mut self, document: &[u8]) {
        let name = self.name.replacen("dory-state-", "dory-original-", 1);
        let copied = self.object(&name, document, None).and_then(|object| {
            let answer = self.api.post(&self.collection, &object)?;
            match answer.status() {
                409 => self
                    .api
                    .put(&format!("{}/{name}", self.collection), &object)?
                    .ok(),
                _ => answer.ok(),
            }
        });
        match copied {
            Ok(_) => log::info!("copied the state of dory-sdk to ConfigMap {name}"),
            Err(e) => log::warn!("could not copy the state of dory-sdk to ConfigMap {name}: {e}"),
        }
    }

    pub(super) fn within(mut self, within: Duration) -> Self {
        self.api = self.api.within(within);
        self
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name)
    }

    fn object(&self, name: &str, document: &[u8], over: Option<&str>) -> Result<Value> {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(&self.metadata, name, over),
        });
        object["metadata"]["labels"]["dory.io/state-owner"] = json!("true");
        match std::str::from_utf8(document) {
            Ok(text) if document.len() <= MAX_PLAIN_BYTES => {
                object["data"] = json!({ "state": text })
            }
            _ => {
                let compressed = compress(document)?;
                if compressed.len() > MAX_BYTES {
                    return Err(Error::too_large(format_args!(
                        "the state is too large for ConfigMap {name}: {} bytes, compressed {}, \
                         the limit is {MAX_BYTES}",
                        document.len(),
                        compressed.len()
                    )));
                }
                object["binaryData"] = json!({ "state.gz": BASE64.encode(compressed) });
            }
        }
        Ok(object)
    }
}

impl Register for ConfigMap {
    fn get(&mut self) -> Result<Option<Cell>> {
        let answer = self.api.get(&self.path())?;
        if answer.status() == 404 {
            return Ok(None);
        }
        let object: Value = answer.json()?;
        self.metadata = kept_metadata(&object);
        let (plain, binary) = (&object["data"]["state"], &object["binaryData"]["state.gz"]);
        let document = match (plain.as_str(), binary.as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            // What cannot be decoded is returned unchanged, to be moved aside.
            (None, Some(text)) => {
                let bytes = BASE64.decode(text).unwrap_or_else(|_| text.into());
                inflate(&bytes).unwrap_or(bytes)
            }
            (None, None) => {
                let name = &self.name;
                return Err(Error::new(format_args!("ConfigMap {name} holds no state")));
            }
        };
        let document = match import::envelope(&document) {
            Ok(_) => self.seen_original(document),
            Err(_) => document,
        };
        Ok(Some(Cell {
            document,
            version: version(&object),
        }))
    }

    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put> {
        if let Some(original) = over.and_then(|_| self.uncopied.take()) {
            self.copy_original(&original);
        }
        let object = self.object(&self.name, document, over)?;
        let answer = match over {
            Some(_) => self.api.put(&self.path(), &object)?,
            None => self.api.post(&self.collection, &object)?,
        };
        let put = put_of(answer, over)?;
        if let Put::Done(_) = put {
            self.last().header = document::header(document).map(<[u8]>::to_vec);
        }
        Ok(put)
    }

    fn move_aside(&mut self) -> Result<String> {
        let Some(cell) = self.get()? else {
            return Ok("already removed".to_owned());
        };
        let name = format!(
            "{}-corrupt-{}",
            self.name,
            time::for_file_name().to_lowercase()
        );
        let object = self.object(&name, &cell.document, None)?;
        self.api.post(&self.collection, &object)?.ok()?;
        self.api.delete(&self.path())?.ok()?;
        self.metadata.clear();
        Ok(format!("ConfigMap {name}"))
    }
}

fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// The result of a write over `over`.
pub(super) fn put_of(answer: Response, over: Option<&str>) -> Result<Put> {
    match (answer.status(), over) {
        (409, _) => Ok(Put::Conflict),
        // Without `over`, a 404 means that the namespace does not exist.
        (404, Some(_)) => Ok(Put::Gone),
        _ => answer
            .json()
            .map(|object: Value| Put::Done(version(&object))),
    }
}

pub(super) fn version(object: &Value) -> String {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.unwrap_or_default().to_owned()
}

/// The name, the version, and metadata that was added by others.
pub(super) fn metadata(kept: &Map<String, Value>, name: &str, over: Option<&str>) -> Value {
    let mut metadata = Value::Object(kept.clone());
    metadata["name"] = json!(name);
    if let Some(version) = over {
        metadata["resourceVersion"] = json!(version);
    }
    metadata
}

pub(super) fn kept_metadata(object: &Value) -> Map<String, Value> {
    let mut kept: Map<_, _> = ["labels", "annotations", "ownerReferences", "finalizers"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), object["metadata"].get(name)?.clone())))
        .collect();
    if let Some(Value::Object(annotations)) = kept.get_mut("annotations") {
        annotations.retain(|name, _| !DORY_SDK_EXPIRY_ANNOTATIONS.contains(&name.as_str()));
    }
    kept
}

fn compress(document: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(document)?;
    Ok(encoder.finish()?)
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut document = Vec::new();
    let mut decoder = GzDecoder::new(bytes).take(MAX_INFLATED_BYTES);
    decoder.read_to_end(&mut document).ok()?;
    Some(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_data_round_trips_and_damaged_data_is_rejected() {
        let document = b"satellite-state 1 ".repeat(9000);
        let compressed = compress(&document).unwrap();
        assert!(compressed.len() < document.len() / 20);
        assert_eq!(inflate(&compressed).unwrap(), document);
        assert!(inflate(&compressed[..compressed.len() - 1]).is_none());
        assert!(inflate(b"nonsense").is_none());
    }
}
