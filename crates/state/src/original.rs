//! Imports the state that dory-sdk, the original Python implementation, stored for this
//! processor. It is read from where dory-sdk stores it, and never removed.
//!
//! dory-sdk saves only when it stops. In a rolling update it stops when the new
//! pod is ready, so its last save arrives after this process has started: for a
//! while after an import the same locations are read again, and a state that was
//! saved since then replaces the one in memory, as `POST /state` would.

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::core::Core;
use super::document::{Snapshot, Stamp, hex_sha256};
use super::identity;
use super::import;
use super::store::Opened;
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};

/// How long after a takeover a save of dory-sdk is still expected: as long as
/// Kubernetes gives a rollout to make progress.
const WINDOW: Duration = Duration::from_secs(600);
/// How often the locations are read again in that time.
const POLL: Duration = Duration::from_secs(2);
/// How long to wait before a failed attempt is retried.
const RETRY: Duration = Duration::from_secs(1);
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
    namespaces: Vec<String>,
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

    fn ids(&self) -> impl Iterator<Item = &str> {
        let unknown = self.may_be_unknown.then_some(UNKNOWN);
        self.ids.iter().map(String::as_str).chain(unknown)
    }

    /// Whether the state found under `id` belongs to this processor, or why not.
    fn check(&self, id: &str, document: &[u8]) -> Result<Snapshot, String> {
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

/// A state of dory-sdk, or other content found under its name.
struct Candidate {
    place: String,
    /// A checksum of the content.
    sum: String,
    state: Result<Snapshot, String>,
}

impl Candidate {
    fn log_rejection(&self, why: &str) {
        let place = &self.place;
        log::warn!("{place}: this state of dory-sdk was not taken over: {why}");
    }
}

/// Reads the locations again for a while.
pub(super) struct Watch {
    seen: HashSet<String>,
    namespaces: Vec<String>,
    until: Instant,
}

impl Core {
    /// Searches for a state of dory-sdk. If no state of this kit was stored, the newest
    /// one is put into `opened`. A state that is found but not imported is logged as a
    /// warning.
    ///
    /// Returns what to watch when dory-sdk may save once more.
    pub(super) fn take_over_original(&self, opened: &mut Opened) -> Result<Option<Watch>> {
        if !opened.failures.is_empty() {
            return Ok(None);
        }
        let mut namespaces = self.settings.original.namespaces.clone();
        let found = self.originals_with_retries(&mut namespaces)?;
        let own = opened.snapshot.as_ref().map(|own| own.stamp.clone());
        if let Some(own) = own.filter(|own| own.epoch > 0) {
            warn_of_newer(&found, &own);
            return Ok(None);
        }
        let watch = Watch {
            seen: found.iter().map(|found| found.sum.clone()).collect(),
            namespaces,
            until: self.waiter.now() + WINDOW,
        };
        if let Some(own) = &opened.snapshot {
            log::info!(
                "taken over from dory-sdk, saved at {}; the original is kept",
                own.stamp.saved_at
            );
            warn_of_newer(&found, &own.stamp);
            return Ok(Some(watch));
        }
        let newest = found.iter().filter_map(saved_at).max();
        for candidate in &found {
            match &candidate.state {
                Err(why) => candidate.log_rejection(why),
                Ok(_) if opened.snapshot.is_some() || saved_at(candidate) != newest => {
                    candidate.log_rejection("another one is newer");
                }
                Ok(snapshot) => {
                    let (place, at) = (&candidate.place, &snapshot.stamp.saved_at);
                    log::info!("taken over from {place}, saved at {at}");
                    opened.snapshot = Some(snapshot.clone());
                }
            }
        }
        Ok(Some(watch))
    }

    /// Retries while a server is unavailable: a state may exist there.
    fn originals_with_retries(&self, namespaces: &mut Vec<String>) -> Result<Vec<Candidate>> {
        loop {
            match self.originals(namespaces) {
                Err(e) if e.is_retryable() => {
                    self.record_open_failure(&e);
                    self.wait_to_open(RETRY, &e.to_string())?;
                }
                found => return found,
            }
        }
    }

    /// Removes from `namespaces` those that this pod may not read.
    fn originals(&self, namespaces: &mut Vec<String>) -> Result<Vec<Candidate>> {
        let places = &self.settings.original;
        let mut found = Vec::new();
        for id in places.ids() {
            for namespace in namespaces.clone() {
                let is_own = namespace == self.settings.pod_namespace;
                match self.read_original(&namespace, id) {
                    Ok(original) => found.extend(original.map(|o| (id, o.place, Ok(o.document)))),
                    Err(e) if e.is_retryable() => return Err(e),
                    // Without access there dory-sdk could not save there either.
                    Err(e) if !is_own => {
                        log::debug!("no state of dory-sdk: {e}");
                        namespaces.retain(|other| *other != namespace);
                    }
                    Err(e) => found.push((id, format!("id {id}"), Err(e.to_string()))),
                }
            }
            for folder in folders() {
                let path = folder.join(file_name(id));
                match read_file(&path) {
                    Ok(document) => {
                        found.extend(document.map(|d| (id, path.display().to_string(), Ok(d))));
                    }
                    Err(e) => found.push((id, path.display().to_string(), Err(e.to_string()))),
                }
            }
        }
        let found = found.into_iter().map(|(id, place, document)| Candidate {
            place,
            sum: match &document {
                Ok(document) => hex_sha256(document),
                Err(why) => why.clone(),
            },
            state: document.and_then(|document| places.check(id, &document)),
        });
        let mut sums = HashSet::new();
        // Two paths may refer to the same folder.
        Ok(found
            .filter(|candidate| sums.insert(candidate.sum.clone()))
            .collect())
    }

    /// Imports what dory-sdk saves from now on, for as long as its last save may still be
    /// pending.
    pub(super) fn watch_original(self: &Arc<Self>, mut watch: Watch) -> Result<()> {
        let core = Arc::clone(self);
        thread::Builder::new()
            .name("original".into())
            .spawn(move || {
                let mut suspect = HashSet::new();
                while core.waiter.now() < watch.until && core.waiter.sleep(POLL, Stage::Draining) {
                    // An unavailable server is read again in the next round.
                    let found = core.originals(&mut watch.namespaces).unwrap_or_default();
                    for candidate in found {
                        if watch.seen.contains(&candidate.sum) {
                            continue;
                        }
                        // A file may have been read while it was being written.
                        if candidate.state.is_err() && suspect.insert(candidate.sum.clone()) {
                            continue;
                        }
                        watch.seen.insert(candidate.sum.clone());
                        core.take_late_save(&candidate);
                    }
                }
            })?;
        Ok(())
    }

    /// The last save of a pod that ran beside this process.
    fn take_late_save(&self, candidate: &Candidate) {
        let taken = match &candidate.state {
            Err(why) => Err(why.clone()),
            Ok(snapshot) => self.restore(snapshot).map_err(|e| e.to_string()),
        };
        match taken {
            Err(why) => candidate.log_rejection(&why),
            Ok(()) => {
                log::warn!(
                    "{}: dory-sdk saved its state again after the takeover: it replaces the \
                     state of this process",
                    candidate.place
                );
                // A failure is logged and retried at the next checkpoint.
                let _ = self.checkpoint();
            }
        }
    }
}

/// Logs the states that are newer than the stored state of this kit.
fn warn_of_newer(found: &[Candidate], own: &Stamp) {
    for candidate in found {
        if saved_at(candidate).is_some_and(|at| at > to_the_second(&own.saved_at)) {
            candidate.log_rejection(&format!(
                "it is newer, but this processor has a state of its own, saved at {}; POST \
                 /state takes the payload if that is the one to go on with",
                own.saved_at
            ));
        }
    }
}

fn saved_at(candidate: &Candidate) -> Option<&str> {
    let snapshot = candidate.state.as_ref().ok()?;
    Some(to_the_second(&snapshot.stamp.saved_at))
}

/// dory-sdk records no fractions of a second. Both use UTC, so that texts sort as times.
fn to_the_second(time: &str) -> &str {
    time.get(..19).unwrap_or(time)
}

/// The backend `local` of dory-sdk stores files in `/data`, else in `/tmp`, and its
/// backend `pvc` in `/data`, unless it uses the folder of the store.
fn folders() -> Vec<PathBuf> {
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
