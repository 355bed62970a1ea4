//! FaaS on loopback, which really runs what it is told.

mod answers;
mod executions;
mod files;
mod kind;
mod output;
mod routes;
mod runner;
mod world;

use std::sync::{Arc, MutexGuard};

pub use kind::FaasKind;
use world::{KEY, Shared, World};

use crate::client::{FaasBuilder, FaasClient};
use crate::dialect::FaasDialect;
use satellite_core::Variables;
use satellite_serve::testing::Fault;
use satellite_serve::testing::Host;
use satellite_serve::testing::Seen;

/// A FaaS server in the process. It runs each command by `sh` in a child process
/// and a folder of its own, within limits on its time and its output.
///
/// Because it is a test tool, it panics with a message where production code would
/// return an error. It shuts nothing in: run nothing by it that you would not type.
///
/// ```
/// use satellite_faas::MockFaas;
///
/// let mock = MockFaas::start();
/// let result = mock.client().execute("echo hello; exit 7")?;
/// assert_eq!((result.stdout.as_str(), result.exit_code), ("hello\n", 7));
/// # Ok::<(), satellite_faas::Error>(())
/// ```
#[derive(Debug)]
pub struct MockFaas {
    host: Host,
    shared: Arc<Shared>,
    kind: FaasKind,
}

impl MockFaas {
    /// A server that keeps to the contract.
    pub fn start() -> Self {
        Self::of(FaasKind::Contract)
    }

    /// A server of this kind.
    pub fn of(kind: FaasKind) -> Self {
        let shared = Shared::new(kind)
            .map(Arc::new)
            .unwrap_or_else(|error| panic!("the mock of FaaS has no folder: {error}"));
        let at = Arc::clone(&shared);
        let host = Host::start(move |asked| routes::answer(&at, asked))
            .unwrap_or_else(|error| panic!("the mock of FaaS cannot listen: {error}"));
        MockFaas { host, shared, kind }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// A client for it, to be changed.
    pub fn builder(&self) -> FaasBuilder {
        let dialect = match self.kind {
            FaasKind::Server => FaasDialect::Server,
            _ => FaasDialect::Gateway,
        };
        FaasClient::builder()
            .variables(Variables::from_lookup(|_| None))
            .url(self.url())
            .token(KEY)
            .dialect(dialect)
    }

    /// A client for it.
    pub fn client(&self) -> FaasClient {
        self.builder()
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Adds a container image, by its full name. There are `alpine`, `busybox`,
    /// `debian`, `golang`, `node`, `python`, `ruby`, `rust` and `ubuntu`, with any
    /// tag. All commands run on this host, whatever their image.
    pub fn add_image(&self, name: &str) {
        self.world().images.push(name.to_owned());
    }

    /// No execution takes longer, whatever it is told. Default: 60 s.
    pub fn max_time(&self, limit: std::time::Duration) {
        self.world().max_time = limit;
    }

    /// No execution prints more than so many bytes: the rest is left out, and the
    /// execution ended. Default: 1 MiB.
    pub fn max_output(&self, bytes: usize) {
        self.world().max_output = bytes;
    }

    /// Cuts the next stream or log behind so many bytes of its body.
    pub fn cut_stream(&self, bytes: usize) {
        self.world().cuts.push_back(bytes);
    }

    /// Refuses so many requests, as too many.
    pub fn limit_rate(&self, requests: u32) {
        self.world().refusals = requests;
    }

    /// How many executions were begun.
    pub fn executions(&self) -> usize {
        self.world().executions.len()
    }

    /// The most executions that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.world().most_at_once
    }

    /// Injects a fault into the next request with this method whose path contains `path`.
    pub fn fault(&self, method: &str, path: &str, fault: Fault) {
        self.host.fault(method, path, fault);
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.host.seen()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }
}

impl Drop for MockFaas {
    fn drop(&mut self) {
        self.shared.end();
    }
}
