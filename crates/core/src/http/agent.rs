//! Configures the ureq agent for all outgoing requests.

use std::net::IpAddr;
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::Connector as _;

use super::call::DEADLINE;
use super::connector::WholeRequests;
use super::early::EarlyAnswers;
use super::resolver::CachingResolver;
use super::server::Server;
#[cfg(feature = "tls")]
use super::trust::Trust;

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
        .timeout_global(Some(DEADLINE))
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
