//! Configures the ureq agent for all outgoing requests.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::Connector as _;

use super::connector::WholeRequests;
use super::early::EarlyAnswers;
use super::resolver::CachingResolver;
use super::transport::Server;

/// The certificate authorities to trust.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    #[cfg(feature = "tls")]
    roots: Option<ureq::tls::RootCerts>,
}

impl Trust {
    /// Trusts only the authorities in this PEM file.
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
            return Err("the file contains no certificate".into());
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

/// Idle connections to one address that are kept for reuse.
const IDLE_CONNECTIONS: usize = 2;

/// Enough for the response headers of this API; larger bodies take more reads.
const BUFFER_BYTES: usize = 8 * 1024;

/// An agent for files from presigned URLs: redirects are followed, since no token
/// could leak, and the time limit is an idle timeout, not one for the whole transfer.
pub(super) fn for_files(idle_timeout: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(5)
        .user_agent(USER_AGENT)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(idle_timeout))
        .timeout_per_read(Some(idle_timeout));
    #[cfg(feature = "tls")]
    let config = config.tls_config(Trust::default().tls());
    let resolver = CachingResolver::default();
    Agent::with_parts(config.build(), EarlyAnswers::default(), resolver)
}

pub(super) fn build(server: &Server, resolver: CachingResolver, host: &str) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // The token must not be sent to any other host.
        .max_redirects(0)
        .user_agent(USER_AGENT)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_idle_connections(2 * IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .max_idle_age(Duration::from_secs(24 * 3600))
        .timeout_connect(Some(server.connect))
        .timeout_send_request(Some(Duration::from_secs(10)))
        .timeout_send_body(Some(Duration::from_secs(60)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_recv_body(Some(Duration::from_secs(60)));
    #[cfg(feature = "tls")]
    let config = config.tls_config(server.trust.tls());
    // Requests to loopback must not go through a proxy.
    let config = match is_loopback(host) {
        true => config.proxy(None),
        false => config,
    };
    let connector = EarlyAnswers::default().chain(WholeRequests);
    Agent::with_parts(config.build(), connector, resolver)
}

/// Whether `host` is `localhost`, in `127.0.0.0/8`, or `[::1]`.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
