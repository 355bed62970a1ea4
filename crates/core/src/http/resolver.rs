//! Names to addresses, remembered.
//!
//! ureq asks its resolver before each request, also when a connection is kept,
//! and its own resolver starts a thread each time that a time limit is set.
//! This one asks the system once a minute at the most, in a thread that the
//! caller waits for no longer than its limit, and keeps to the last known
//! addresses while the name service is away.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// An answer is taken as fresh this long.
const FRESH: Duration = Duration::from_secs(60);

/// A name service that does not answer is given up after this long.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver(Arc<Mutex<Vec<Known>>>);

#[derive(Debug, Clone)]
struct Known {
    name: String,
    addresses: Vec<SocketAddr>,
    asked: Instant,
}

impl CachingResolver {
    /// The next request asks the system again: nobody answered at the old address.
    pub(super) fn forget_freshness(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stale) = Instant::now().checked_sub(FRESH) else {
            known.clear(); // the host started less than a minute ago
            return;
        };
        known.iter_mut().for_each(|k| k.asked = stale);
    }

    fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, ureq::Error> {
        let remembered = self.remembered(name);
        if let Some(known) = &remembered {
            if known.asked.elapsed() < FRESH {
                return Ok(known.addresses.clone());
            }
        }
        match (ask_system(name), remembered) {
            (Ok(addresses), _) => {
                self.remember(name, addresses.clone());
                Ok(addresses)
            }
            (Err(error), Some(known)) => {
                log::debug!("keeping to the known addresses of {name}: {error}");
                Ok(known.addresses)
            }
            (Err(error), None) => {
                log::debug!("no address for {name}: {error}");
                Err(ureq::Error::HostNotFound)
            }
        }
    }

    fn remembered(&self, name: &str) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|k| k.name == name).cloned()
    }

    fn remember(&self, name: &str, addresses: Vec<SocketAddr>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|k| k.name != name && k.asked.elapsed() < 60 * FRESH);
        known.push(Known {
            name: name.to_owned(),
            addresses,
            asked: Instant::now(),
        });
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
            .keep_wanted(self.addresses(&format!("{host}:{port}"))?.into_iter())
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

fn ask_system(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = name.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let (answer, wait) = mpsc::sync_channel(1);
    let owned = name.to_owned();
    thread::Builder::new()
        .name("resolver".into())
        .spawn(move || {
            let found = owned.to_socket_addrs().map(Iterator::collect);
            let _ = answer.send(found); // nobody waits any more: fine
        })?;
    wait.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
