//! Basilica on loopback.

mod account;
mod answers;
mod deployments;
mod log;
mod machines;
mod oauth;
mod rentals;
mod routes;
mod world;

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use world::{Cut, Shared, World};

use crate::api_version::ApiVersion;
use crate::client::{BasilicaBuilder, BasilicaClient};
use satellite_core::Variables;
use satellite_serve::testing::Fault;
use satellite_serve::testing::Host;
use satellite_serve::testing::Seen;

/// Basilica as a client sees it: its gateway, in one of its two APIs, and its
/// token endpoint, with the traps of the real ones.
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

    /// A service that speaks this API. It answers 403 to the routes of the other,
    /// as to any that it does not know.
    pub fn speaking(version: ApiVersion) -> Self {
        let shared = Arc::<Shared>::default();
        let at = Arc::clone(&shared);
        let host = Host::start(move |asked| routes::answer(&at, version, asked))
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

    /// A client with a key that never ends, to be changed.
    pub fn builder(&self) -> BasilicaBuilder {
        BasilicaClient::builder()
            .variables(Variables::from_lookup(|_| None))
            .url(self.url())
            .api_version(self.version)
            .token(oauth::KEY)
    }

    /// A client with a key that never ends.
    pub fn client(&self) -> BasilicaClient {
        self.builder()
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The API key of [`client`](Self::client), for other programs.
    pub fn client_key(&self) -> String {
        oauth::KEY.to_owned()
    }

    /// A client with an access token that is renewed.
    pub fn renewing(&self) -> BasilicaBuilder {
        self.builder()
            .token(self.access_token())
            .refresh_token(self.refresh_token())
            .auth0(self.url(), oauth::CLIENT_ID)
    }

    /// The access token of now.
    pub fn access_token(&self) -> String {
        self.world().tokens.access()
    }

    /// The refresh token of now; each renewal replaces it.
    pub fn refresh_token(&self) -> String {
        self.world().tokens.refresh()
    }

    /// Refuses the access token of now, as if it had ended.
    pub fn end_token(&self) {
        self.world().tokens.end();
    }

    /// How often tokens were renewed.
    pub fn renewals(&self) -> u32 {
        self.world().tokens.renewals
    }

    /// Refuses all refresh tokens from now on.
    pub fn end_session(&self) {
        self.world().tokens.is_session_over = true;
    }

    /// Whether the gateway cannot reach the keys that it checks JWTs with: it
    /// answers 503 to them, and calls that final. API keys are not affected.
    pub fn lose_keys(&self, are_lost: bool) {
        self.world().are_keys_lost = are_lost;
    }

    /// Has each deployment from now on print these lines, with this pause between
    /// them, and then end well.
    pub fn script(&self, lines: &[&str], pause: Duration) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.world().script = Some((lines, pause));
    }

    /// Prints a line.
    pub fn print(&self, id: &str, line: &str) {
        self.world().print(id, line);
        self.shared.changed.notify_all();
    }

    /// Ends a deployment by itself, well. Panics when there is no such deployment.
    pub fn finish(&self, id: &str) {
        self.world().deployed(id).state = "terminated";
        self.shared.changed.notify_all();
    }

    /// Ends a deployment by itself, badly. Panics when there is no such deployment.
    pub fn fail(&self, id: &str) {
        self.world().deployed(id).state = "failed";
        self.shared.changed.notify_all();
    }

    /// Forgets a deployment with its log, as after a stop.
    pub fn forget(&self, id: &str) {
        self.world().deployments.retain(|one| one.id != id);
        self.shared.changed.notify_all();
    }

    /// Cuts the next log that is asked for behind so many bytes of its body.
    pub fn cut_log(&self, bytes: usize) {
        self.world().cuts.push_back(Cut::Connection(bytes));
    }

    /// Gives the next log that is asked for up behind so many bytes, as the
    /// gateway does after a while: it says so in the log, and ends it well.
    pub fn give_up_log(&self, bytes: usize) {
        self.world().cuts.push_back(Cut::InBand(bytes));
    }

    /// The bodies of the deployments as they were asked for, the oldest first.
    pub fn deployed(&self) -> Vec<serde_json::Value> {
        let world = self.world();
        world
            .deployments
            .iter()
            .map(|one| one.asked.clone())
            .collect()
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

impl Drop for MockBasilica {
    fn drop(&mut self) {
        self.world().is_over = true;
        self.shared.changed.notify_all();
    }
}
