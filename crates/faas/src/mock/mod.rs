//! A mock of FaaS on loopback, which really runs the commands.

mod answers;
mod executions;
mod files;
mod kind;
mod output;
mod routes;
mod runner;
mod server;

use std::sync::{Arc, MutexGuard};

pub use kind::FaasKind;
use server::{KEY, ServerState, Shared};

use crate::client::{FaasBuilder, FaasClient};
use crate::dialect::FaasDialect;
use satellite_core::Variables;
use satellite_serve::testing::Fault;
use satellite_serve::testing::Host;
use satellite_serve::testing::RecordedRequest;

/// A FaaS server in this process. It runs each command with `sh` in its own child
/// process and directory, with limits on its time and output.
///
/// Because it is a test tool, it panics with a message where production code would
/// return an error. It has no sandbox: run only commands that you would
/// run yourself.
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
    /// A server that implements the whole contract.
    pub fn start() -> Self {
        Self::of(FaasKind::Contract)
    }

    /// A server of this kind.
    pub fn of(kind: FaasKind) -> Self {
        let shared = Shared::new(kind)
            .map(Arc::new)
            .unwrap_or_else(|error| panic!("the mock of FaaS cannot create a directory: {error}"));
        let at = Arc::clone(&shared);
        let host = Host::start(move |request| routes::answer(&at, request))
            .unwrap_or_else(|error| panic!("the mock of FaaS cannot listen: {error}"));
        MockFaas { host, shared, kind }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// The key that it accepts, for clients in other languages.
    pub fn key(&self) -> &'static str {
        KEY
    }

    /// A builder for a client of this server.
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

    /// A client of this server.
    pub fn client(&self) -> FaasClient {
        self.builder()
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The key of [`client`](Self::client), for other programs.
    pub fn client_key(&self) -> String {
        KEY.to_owned()
    }

    /// Adds a container image, by its full name. By default it has `alpine`, `busybox`,
    /// `debian`, `golang`, `node`, `python`, `ruby`, `rust` and `ubuntu`, with any
    /// tag. All commands run on this host, whatever their image.
    pub fn add_image(&self, name: &str) {
        self.lock().images.push(name.to_owned());
    }

    /// The upper limit for the time of an execution. Default: 60 s.
    pub fn max_time(&self, limit: std::time::Duration) {
        self.lock().max_time = limit;
    }

    /// The upper limit for the output of an execution: the rest is dropped and the
    /// execution is killed. Default: 1 MiB.
    pub fn max_output(&self, bytes: usize) {
        self.lock().max_output = bytes;
    }

    /// Breaks the connection of the next stream or log after `bytes` bytes of its body.
    pub fn cut_stream(&self, bytes: usize) {
        self.lock().cuts.push_back(bytes);
    }

    /// Rejects the next `requests` requests with a rate limit error.
    pub fn limit_rate(&self, requests: u32) {
        self.lock().rate_limited = requests;
    }

    /// How many executions were started.
    pub fn executions(&self) -> usize {
        self.lock().executions.len()
    }

    /// The largest number of executions that ran at the same time.
    pub fn most_at_once(&self) -> usize {
        self.lock().peak_running
    }

    /// Injects a fault into the next request with this method whose path contains `path`.
    pub fn fault(&self, method: &str, path: &str, fault: Fault) {
        self.host.fault(method, path, fault);
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.host.requests()
    }

    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.shared.lock()
    }
}

impl Drop for MockFaas {
    fn drop(&mut self) {
        self.shared.end();
    }
}
