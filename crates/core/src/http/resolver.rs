//! A caching DNS resolver.
//!
//! ureq calls its resolver before each request, even when a connection is reused,
//! and its own resolver starts a thread each time if a time limit is set. This one
//! queries the system at most once a minute, in a thread with a timeout, and uses
//! the last known addresses while the name service is not available.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::one_shot::OneShot;

/// How long a cached address is valid.
const TTL: Duration = Duration::from_secs(60);

/// The timeout of a DNS lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
    resolved_at: Instant,
}

impl CachingResolver {
    /// Expires all entries, so that the next request queries the system again. Used
    /// when no server accepted a connection at the cached address.
    pub(super) fn expire(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stale) = Instant::now().checked_sub(TTL) else {
            known.clear(); // the host started less than a minute ago
            return;
        };
        known.iter_mut().for_each(|k| k.resolved_at = stale);
    }

    fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ureq::Error> {
        let cached = match self.cached(host, port) {
            Some(known) if known.resolved_at.elapsed() < TTL => return Ok(known.addresses),
            other => other,
        };
        match (query_system(host, port), cached) {
            (Ok(addresses), _) => {
                self.store(host, port, addresses.clone());
                Ok(addresses)
            }
            (Err(error), Some(known)) => {
                log::debug!("using the cached addresses of {host}:{port}: {error}");
                Ok(known.addresses)
            }
            (Err(error), None) => {
                log::debug!("cannot resolve {host}:{port}: {error}");
                Err(ureq::Error::HostNotFound)
            }
        }
    }

    fn cached(&self, host: &str, port: u16) -> Option<Entry> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|k| k.is_of(host, port)).cloned()
    }

    fn store(&self, host: &str, port: u16, addresses: Vec<SocketAddr>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|k| !k.is_of(host, port) && k.resolved_at.elapsed() < 60 * TTL);
        known.push(Entry {
            host: host.to_owned(),
            port,
            addresses,
            resolved_at: Instant::now(),
        });
    }
}

impl Entry {
    fn is_of(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host == host
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or_else(|| default_port(uri));
        let mut result = self.empty();
        for address in config
            .ip_family()
            .keep_wanted(self.addresses(host, port)?.into_iter())
            .take(8)
        {
            result.push(address);
        }
        if result.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(result)
    }
}

fn default_port(uri: &Uri) -> u16 {
    match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    }
}

fn query_system(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let name = format!("{host}:{port}");
    if let Ok(address) = name.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let answer = OneShot::default();
    let sender = answer.clone();
    thread::Builder::new()
        .name("resolver".into())
        .spawn(move || {
            sender.put(name.to_socket_addrs().map(Iterator::collect));
        })?;
    answer
        .take_within(LOOKUP_TIMEOUT)
        .unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into()))
}
