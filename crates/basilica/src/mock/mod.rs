//! A mock of Basilica on loopback.

mod account;
mod answers;
mod deployments;
mod log;
mod machines;
mod oauth;
mod rentals;
mod routes;
mod server;

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use server::{Cut, ServerState, Shared};

use crate::api_version::ApiVersion;
use crate::client::{BasilicaBuilder, BasilicaClient};
use satellite_core::Variables;
use satellite_serve::testing::Fault;
use satellite_serve::testing::Host;
use satellite_serve::testing::RecordedRequest;

/// A mock of Basilica: its gateway, with one of its two APIs, and its token endpoint,
/// with the quirks of the real ones.
///
/// Because it is a test tool, it panics with a message where production code would
/// return an error.
///
/// ```
/// use satellite_basilica::DeploymentConfig;
/// use satellite_basilica::MockBasilica;
///
/// let mock = MockBasilica::start();
/// let basilica = mock.client();
/// let config = DeploymentConfig::builder()
///     .executor_id(&basilica.executors().list_available()?[0].id)
///     .image("nginx:latest")
///     .no_ssh(true)
///     .build()?;
/// let deployment = basilica.deployments().deploy(&config)?;
/// mock.print(&deployment.id, "ready");
/// mock.finish(&deployment.id);
/// let mut log = basilica.deployments().logs(&deployment.id, true)?;
/// assert_eq!(log.next().unwrap()?.message, "ready");
/// assert!(log.next().is_none());
/// # Ok::<(), satellite_basilica::Error>(())
/// ```
#[derive(Debug)]
pub struct MockBasilica {
    host: Host,
    shared: Arc<Shared>,
    version: ApiVersion,
}

impl MockBasilica {
    /// The gateway of September 2025.
    pub fn start() -> Self {
        Self::speaking(ApiVersion::Rentals)
    }

    /// A service with this API version. It returns 403 for routes of the other version, as
    /// for all unknown routes.
    pub fn speaking(version: ApiVersion) -> Self {
        let shared = Arc::<Shared>::default();
        let at = Arc::clone(&shared);
        let host = Host::start(move |request| routes::answer(&at, version, request))
            .unwrap_or_else(|error| panic!("the mock of Basilica cannot listen: {error}"));
        shared.listens(host.url());
        MockBasilica {
            host,
            shared,
            version,
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// A builder for a client with an API key that never expires.
    pub fn builder(&self) -> BasilicaBuilder {
        BasilicaClient::builder()
            .variables(Variables::from_lookup(|_| None))
            .url(self.url())
            .api_version(self.version)
            .token(oauth::KEY)
    }

    /// A client with an API key that never expires.
    pub fn client(&self) -> BasilicaClient {
        self.builder()
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The API key of [`client`](Self::client), for other programs.
    pub fn client_key(&self) -> String {
        oauth::KEY.to_owned()
    }

    /// A builder for a client with an access token and a refresh token.
    pub fn renewing(&self) -> BasilicaBuilder {
        self.builder()
            .token(self.access_token())
            .refresh_token(self.refresh_token())
            .auth0(self.url(), oauth::CLIENT_ID)
    }

    /// The current access token.
    pub fn access_token(&self) -> String {
        self.lock().tokens.access()
    }

    /// The current refresh token; each refresh replaces it.
    pub fn refresh_token(&self) -> String {
        self.lock().tokens.refresh()
    }

    /// Makes the current access token expire.
    pub fn end_token(&self) {
        self.lock().tokens.expire();
    }

    /// How often tokens were refreshed.
    pub fn renewals(&self) -> u32 {
        self.lock().tokens.renewals
    }

    /// Rejects all refresh tokens from now on.
    pub fn end_session(&self) {
        self.lock().tokens.is_session_over = true;
    }

    /// Whether the gateway cannot fetch the keys that verify JWTs: it then returns 503
    /// for JWTs, marked as final. API keys are not affected.
    pub fn lose_keys(&self, are_lost: bool) {
        self.lock().are_keys_lost = are_lost;
    }

    /// Makes each later deployment print these lines, with this pause between them, and
    /// then end successfully.
    pub fn script(&self, lines: &[&str], pause: Duration) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.lock().script = Some((lines, pause));
    }

    /// Prints a line.
    pub fn print(&self, id: &str, line: &str) {
        self.lock().print(id, line);
        self.shared.changed.notify_all();
    }

    /// Lets a deployment end successfully. Panics if it does not exist.
    pub fn finish(&self, id: &str) {
        self.lock().deployed(id).state = "terminated";
        self.shared.changed.notify_all();
    }

    /// Lets a deployment fail. Panics if it does not exist.
    pub fn fail(&self, id: &str) {
        self.lock().deployed(id).state = "failed";
        self.shared.changed.notify_all();
    }

    /// Deletes a deployment and its log, as a stop does.
    pub fn forget(&self, id: &str) {
        self.lock().deployments.retain(|one| one.id != id);
        self.shared.changed.notify_all();
    }

    /// Breaks the connection of the next requested log after `bytes` bytes of its body.
    pub fn cut_log(&self, bytes: usize) {
        self.lock().cuts.push_back(Cut::Connection(bytes));
    }

    /// Aborts the next requested log after `bytes` bytes, as the gateway does after a
    /// while: with an error message in the log and a clean end of the body.
    pub fn give_up_log(&self, bytes: usize) {
        self.lock().cuts.push_back(Cut::InBand(bytes));
    }

    /// The request bodies of the deployments, oldest first.
    pub fn deployed(&self) -> Vec<serde_json::Value> {
        let server = self.lock();
        server
            .deployments
            .iter()
            .map(|one| one.request.clone())
            .collect()
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

impl Drop for MockBasilica {
    fn drop(&mut self) {
        self.lock().is_stopped = true;
        self.shared.changed.notify_all();
    }
}
