//! States in ConfigMaps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config_map_object::ConfigMap;
use super::fenced::Fenced;
use super::kubernetes::Cluster;
use super::lease::LeaseObject;
use super::lease_manager::{self, LeaseManager};
use super::register::Register as _;
use super::{LeaseRenewer, OpenRequest, Opened, Original, Store, Stored};
use crate::document;
use crate::snapshot::Content;
use satellite_core::{Error, Result, Variables};

/// How long after a takeover dory-sdk may still write its last state.
const LATE_SAVE_WINDOW: Duration = Duration::from_secs(600);

/// States in ConfigMaps, `dory-state-<processor>` in the pod's namespace, with a
/// Lease of the same name for the handover.
///
/// The pod's service account needs the [`rights`](Self::rights) in its own namespace:
///
/// ```yaml
/// rules:
/// - apiGroups: [""]
///   resources: ["configmaps"]
///   verbs: ["get", "update", "delete"]
///   resourceNames: ["dory-state-<processor>"]
/// - apiGroups: [""]
///   resources: ["configmaps"]
///   verbs: ["update"]
///   resourceNames: ["dory-original-<processor>"]
/// - apiGroups: ["coordination.k8s.io"]
///   resources: ["leases"]
///   verbs: ["get", "update"]
///   resourceNames: ["dory-state-<processor>"]
/// # The API cannot limit `create` to a name.
/// - apiGroups: [""]
///   resources: ["configmaps"]
///   verbs: ["create"]
/// - apiGroups: ["coordination.k8s.io"]
///   resources: ["leases"]
///   verbs: ["create"]
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
    pub(super) cluster: Cluster,
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

    /// From the environment: `DORY_LEASE_SEC`, `DORY_KUBERNETES_URL` for the API of another
    /// cluster than this pod's, and `DORY_KUBERNETES_ACCOUNT` for the folder with its token
    /// and `ca.crt`; without that folder, no token is sent. Wrong values are reported by `read`.
    ///
    /// ```
    /// use satellite_state::{ConfigMapStore, Variables};
    ///
    /// let mut read = Variables::from_lookup(|name| match name {
    ///     "DORY_KUBERNETES_URL" => Some("http://127.0.0.1:8001".to_owned()),
    ///     _ => None,
    /// });
    /// let store = ConfigMapStore::from_env(&mut read);
    /// read.finish()?;
    /// # let _ = store;
    /// # Ok::<(), satellite_state::Error>(())
    /// ```
    pub fn from_env(read: &mut Variables) -> Self {
        let mut store = ConfigMapStore::new();
        store.lease_duration = read.seconds("DORY_LEASE_SEC", store.lease_duration);
        let url = read.url("DORY_KUBERNETES_URL", None);
        read.check_transport("DORY_KUBERNETES_URL", url.as_deref(), false);
        if let Some(url) = url {
            store = store.at(url);
        }
        if let Some(folder) = read.text("DORY_KUBERNETES_ACCOUNT") {
            store = store.service_account(folder);
        }
        store
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

    fn history(&mut self, namespace: &str, processor: &str) -> Result<Vec<Stored>> {
        let name = format!("dory-state-{processor}");
        let mut map = ConfigMap::new(&self.cluster, namespace, &name);
        let found = map.get()?.map(|cell| {
            let place = map.original(Vec::new()).place;
            Stored::read(place, &cell.document)
        });
        Ok(found.into_iter().collect())
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

    fn check_size(&self, content: &Content) -> Result<()> {
        let opened = self.opened.as_ref();
        opened.map_or(Ok(()), |opened| opened.check_size(content))
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
