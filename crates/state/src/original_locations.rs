//! Where dory-sdk, the original Python implementation, stored the state of this processor,
//! and which of the documents found there belong to it.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::identity;
use super::import;
use super::snapshot::Snapshot;
use satellite_core::{Error, Result};

/// The maximum size of a state file.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// The id that dory-sdk uses for all processors without a configured pod name.
const UNKNOWN: &str = "unknown";

/// Where dory-sdk would have stored the state of this processor.
#[derive(Debug, Clone, Default)]
pub(super) struct OriginalLocations {
    /// The ids that it may have used, this processor's own first.
    ids: Vec<String>,
    /// It may have used [`UNKNOWN`], which does not identify the processor.
    may_be_unknown: bool,
    /// This pod's namespace first.
    pub(super) namespaces: Vec<String>,
    /// The Deployment of this pod.
    deployment: Option<String>,
}

impl OriginalLocations {
    /// Derives the locations as dory-sdk does from the environment.
    pub(super) fn of(
        processor_id: &str,
        is_configured: bool,
        pod_name: Option<&str>,
        namespace: &str,
        pod_namespace: Option<String>,
    ) -> Self {
        let mut ids = vec![processor_id.to_owned()];
        let derived = pod_name.map(identity::of_original);
        ids.extend(derived.filter(|id| id != processor_id && identity::is_name(id)));
        let mut namespaces = vec![namespace.to_owned()];
        // Its generated manifests set DORY_POD_NAMESPACE, and it reads POD_NAMESPACE.
        let other = pod_namespace.unwrap_or_else(|| "default".to_owned());
        if other != namespace {
            namespaces.push(other);
        }
        OriginalLocations {
            ids,
            may_be_unknown: !is_configured && pod_name.is_none(),
            namespaces,
            deployment: pod_name.and_then(identity::of_pod),
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let unknown = self.may_be_unknown.then_some(UNKNOWN);
        self.ids.iter().map(String::as_str).chain(unknown)
    }

    /// Whether the state found under `id` belongs to this processor, or why not.
    pub(super) fn check(&self, id: &str, document: &[u8]) -> Result<Snapshot, String> {
        let (snapshot, pod) = import::with_pod(document).map_err(|e| e.to_string())?;
        let named = &snapshot.stamp.processor;
        if ![id, UNKNOWN, ""].contains(&named.as_str()) {
            return Err(format!("it is the state of processor {named:?}"));
        }
        let own = &self.ids[0];
        if id == UNKNOWN && own != UNKNOWN {
            return Err(format!(
                "it does not say which processor it belongs to; to take it over, rename it to \
                 dory-state-{own}"
            ));
        }
        // dory-sdk derives `my` from both `my-app` and `my-db`.
        let others = identity::of_pod(&pod);
        match (&others, &self.deployment) {
            (Some(theirs), Some(ours)) if theirs != ours && id != own => Err(format!(
                "pod {pod} saved it, which belongs to {theirs}, not to {ours}"
            )),
            _ => Ok(snapshot),
        }
    }
}

/// The backend `local` of dory-sdk stores files in `/data`, else in `/tmp`, and its
/// backend `pvc` in `/data`, unless it uses the folder of the store.
pub(super) fn folders() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/data"), PathBuf::from("/tmp")];
    folders.push(std::env::temp_dir());
    folders.dedup();
    folders
}

/// The name of its file for `id`.
pub(super) fn file_name(id: &str) -> String {
    format!("dory-state-{id}.json")
}

/// Reads a state file, unless any user of this host could have created it.
pub(super) fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    let error = |e: &dyn std::fmt::Display| Error::new(e);
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;

        // Do not follow a symlink in a folder that others may write to, and do not block
        // on a pipe.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        options.custom_flags(i32::try_from(flags).map_err(Error::new)?);
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(error(&e)),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(error(&"it is not a regular file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let folder = path.parent().map(fs::metadata).transpose()?;
        let is_open_to_all = folder.is_some_and(|folder| folder.mode() & 0o002 != 0);
        let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if is_open_to_all && owner != me && owner != 0 {
            return Err(error(&format_args!(
                "it belongs to user {owner}, in a world-writable folder"
            )));
        }
    }
    let mut document = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut document)?;
    Ok(Some(document))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    // Generated by the real dory-sdk: see `tests/original/make.py`.
    const STATES: &str = include_str!("../tests/original/states.json");
    const SAVES: &str = include_str!("../tests/original/saves.json");
    const IDS: &str = include_str!("../tests/original/ids.json");
    const PLACES: &str = include_str!("../tests/original/places.json");

    #[derive(Deserialize)]
    struct Saved {
        payload: Value,
        document: String,
    }

    fn save(id: &str) -> Vec<u8> {
        let saves: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_str(SAVES).unwrap();
        saves[id]["41"].clone().into_bytes()
    }

    #[test]
    fn every_state_that_dory_sdk_writes_is_read_completely() {
        let states: BTreeMap<String, Saved> = serde_json::from_str(STATES).unwrap();
        assert!(states.len() > 5);
        for (name, saved) in states {
            let (snapshot, pod) = import::with_pod(saved.document.as_bytes())
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let state: Value = serde_json::from_slice(&snapshot.content.state).unwrap();
            assert_eq!(state, saved.payload, "{name}");
            assert_eq!(snapshot.stamp.processor, "orders");
            assert_eq!(pod, UNKNOWN);
        }
    }

    #[test]
    fn dory_sdk_and_this_kit_derive_the_same_id_from_a_pod_name() {
        let ids: BTreeMap<String, String> = serde_json::from_str(IDS).unwrap();
        for (pod, id) in ids {
            assert_eq!(identity::of_original(&pod), id, "{pod}");
        }
    }

    #[test]
    fn files_are_searched_where_dory_sdk_stores_them() {
        let places: BTreeMap<String, String> = serde_json::from_str(PLACES).unwrap();
        let in_folders: Vec<_> = folders()
            .iter()
            .map(|folder| folder.join(file_name("orders")).display().to_string())
            .collect();
        assert_eq!(places["local, /data there"], in_folders[0]);
        assert_eq!(places["local, no /data"], in_folders[1]);
        assert_eq!(places["pvc, in the mount"], file_name("orders"));
    }

    #[test]
    fn only_a_state_of_this_processor_is_imported_and_others_are_rejected_with_a_reason() {
        let app = "my-app-7d9f8b6c5d-x2x4z";
        let places = OriginalLocations::of("my-app", false, Some(app), "shop", None);
        assert_eq!(places.ids().collect::<Vec<_>>(), ["my-app", "my"]);
        assert_eq!(places.namespaces, ["shop", "default"]);
        assert!(places.check("my", &save("my")).is_ok());
        assert!(places.check("my-app", &save("my-app")).is_ok());
        let refused = |id: &str, document: &[u8]| places.check(id, document).unwrap_err();
        assert!(refused("my", &save("orders")).contains("of processor \"orders\""));
        assert!(refused("my", b"{}").contains("not a state"));
        let text = String::from_utf8(save("my")).unwrap();
        let of = |pod: &str| {
            text.replace(
                "\"pod_name\": \"unknown\"",
                &format!("\"pod_name\": {pod:?}"),
            )
        };
        assert!(places.check("my", of(app).as_bytes()).is_ok());
        let reason = refused("my", of("my-db-7d9f8b6c5d-x2x4z").as_bytes());
        assert!(
            reason.contains("belongs to my-db, not to my-app"),
            "{reason}"
        );
        let changed = text.replace("\"count\": 41", "\"count\": 42");
        assert!(refused("my", changed.as_bytes()).contains("checksum"));

        let local = OriginalLocations::of("orders", false, None, "default", None);
        assert_eq!(local.ids().collect::<Vec<_>>(), ["orders", UNKNOWN]);
        let reason = local.check(UNKNOWN, &save(UNKNOWN)).unwrap_err();
        assert!(
            reason.contains("rename it to dory-state-orders"),
            "{reason}"
        );
        assert!(local.check("orders", &save(UNKNOWN)).is_ok(), "renamed");
        let configured = OriginalLocations::of("orders", true, None, "default", None);
        assert_eq!(configured.ids().collect::<Vec<_>>(), ["orders"]);
    }
}
