//! The ureq agent, set up once for everything that leaves.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::Connector as _;

use super::connector::WholeRequests;
use super::early::EarlyAnswers;
use super::resolver::CachingResolver;
use super::transport::Server;

/// Whom to believe when a server shows its certificate.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    #[cfg(feature = "tls")]
    roots: Option<ureq::tls::RootCerts>,
}

impl Trust {
    /// The authorities in this PEM file, and no others.
    #[cfg(feature = "tls")]
    pub fn from_pem_file(path: &Path) -> Result<Self, String> {
        use ureq::tls::{PemItem, RootCerts, parse_pem};

        let pem = std::fs::read(path).map_err(|e| e.to_string())?;
        let mut certificates = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) = item.map_err(|e| e.to_string())? {
                certificates.push(certificate);
            }
        }
        if certificates.is_empty() {
            return Err("no certificate in it".into());
        }
        Ok(Trust {
            roots: Some(RootCerts::from(certificates)),
        })
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> ureq::tls::TlsConfig {
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(super::tls::provider());
        match &self.roots {
            Some(roots) => tls.root_certs(roots.clone()).build(),
            None => tls.build(),
        }
    }

    /// Accepts any file: this build has no TLS.
    #[cfg(not(feature = "tls"))]
    pub fn from_pem_file(_: &Path) -> Result<Self, String> {
        Err("this program was built without TLS".into())
    }
}

const USER_AGENT: &str = concat!("satellite-sdk/", env!("CARGO_PKG_VERSION"));

/// Connections to one address that are kept for the next call.
const KEPT_CONNECTIONS: usize = 2;

/// Enough for the heads of this API; larger bodies just take more reads.
const BUFFER_BYTES: usize = 8 * 1024;

/// For files from wherever a presigned URL leads: redirects are followed, there
/// is no token to lose, and time limits are on silence, not on the whole.
pub(super) fn for_files(silence: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(5)
        .user_agent(USER_AGENT)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence));
    #[cfg(feature = "tls")]
    let config = config.tls_config(Trust::default().tls());
    let resolver = CachingResolver::default();
    Agent::with_parts(config.build(), EarlyAnswers::default(), resolver)
}

pub(super) fn build(server: &Server, resolver: CachingResolver, host: &str) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A bearer goes to the host it was meant for and nowhere else.
        .max_redirects(0)
        .user_agent(USER_AGENT)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_idle_connections(2 * KEPT_CONNECTIONS)
        .max_idle_connections_per_host(KEPT_CONNECTIONS)
        .max_idle_age(Duration::from_secs(24 * 3600))
        .timeout_connect(Some(server.connect))
        .timeout_send_request(Some(Duration::from_secs(10)))
        .timeout_send_body(Some(Duration::from_secs(60)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_recv_body(Some(Duration::from_secs(60)));
    #[cfg(feature = "tls")]
    let config = config.tls_config(server.trust.tls());
    // A proxy has no business between a process and its own host.
    let config = match is_loopback(host) {
        true => config.proxy(None),
        false => config,
    };
    let connector = EarlyAnswers::default().chain(WholeRequests);
    Agent::with_parts(config.build(), connector, resolver)
}

/// `localhost`, `127.0.0.0/8` or `[::1]`.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
