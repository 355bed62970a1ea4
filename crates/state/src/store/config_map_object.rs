//! One ConfigMap that holds a document, and what Leases share with it.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use super::Original;
use super::kubernetes::{Cluster, Kubernetes};
use super::register::{Cell, Put, Register};
use crate::document;
use crate::import;
use crate::time;
use satellite_core::http::Response;
use satellite_core::{Error, Result};

/// The maximum size of all values of a ConfigMap together.
const MAX_BYTES: usize = 1024 * 1024;
/// Larger states are compressed: every save goes through the cluster's datastore.
const MAX_PLAIN_BYTES: usize = 64 * 1024;
/// Annotations by which states of dory-sdk are removed after an hour.
const DORY_SDK_EXPIRY_ANNOTATIONS: [&str; 2] = ["dory.io/state-ttl", "dory.io/created-timestamp"];
/// The maximum size of a decompressed state.
const MAX_INFLATED_BYTES: u64 = 256 * 1024 * 1024;

/// A document in a ConfigMap: uncompressed under `state`, or compressed under
/// `state.gz`.
#[derive(Debug)]
pub(super) struct ConfigMap {
    api: Kubernetes,
    collection: String,
    name: String,
    /// Labels and other metadata that were added by others.
    metadata: Map<String, Value>,
    pub(super) last: Arc<Mutex<LastWrite>>,
    /// A state of dory-sdk that was read here and is not copied yet.
    uncopied: Option<Vec<u8>>,
    /// A state of dory-sdk that overwrote the state of this process.
    late_save: Option<Vec<u8>>,
}

/// What this process wrote last, shared by all readers of the same ConfigMap.
#[derive(Debug, Default)]
pub(super) struct LastWrite {
    /// The header of the document.
    header: Option<Vec<u8>>,
    /// Until then dory-sdk may overwrite the state of this process with its last save.
    pub(super) expects_original_until: Option<Instant>,
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

    pub(super) fn last(&self) -> MutexGuard<'_, LastWrite> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_at(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.collection == collection(namespace)
    }

    pub(super) fn original(&self, document: Vec<u8>) -> Original {
        Original {
            place: format!("ConfigMap {} ({})", self.name, self.collection),
            document,
        }
    }

    /// The state with which dory-sdk overwrote the state of this process, if any.
    pub(super) fn late_original(&mut self) -> Result<Option<Original>> {
        self.get()?;
        Ok(self
            .late_save
            .clone()
            .map(|document| self.original(document)))
    }

    /// Handles a state of dory-sdk found in place of this process's state: it is
    /// remembered and will be copied. Returns the own document, so that fencing works as
    /// if it were still there.
    pub(super) fn seen_original(&mut self, document: Vec<u8>) -> Vec<u8> {
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
    pub(super) fn copy_original(&mut self, document: &[u8]) {
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

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name)
    }

    pub(super) fn object(&self, name: &str, document: &[u8], over: Option<&str>) -> Result<Value> {
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

    fn check_size(&self, document: &[u8]) -> Result<()> {
        self.object(&self.name, document, None).map(drop)
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
