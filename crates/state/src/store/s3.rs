//! States in a bucket of S3, or of a compatible server.

use std::time::Duration;

use rusty_s3::{Bucket, Credentials as Keys, UrlStyle};

use super::fenced::Fenced;
use super::lease_manager::{self, LeaseManager};
use super::register::Register;
use super::s3_object::{CALL_TIMEOUT, Object, Place};
use super::{LeaseRenewer, OpenRequest, Opened, Store, Stored};
use crate::outage::Outage;
use crate::snapshot::Content;
use satellite_core::Secret;
use satellite_core::Variables;
use satellite_core::http::retry::random;
use satellite_core::{Error, Result};

/// States in a bucket: `<prefix><namespace>/<processor>.state`, and a `.lease`
/// beside it for the handover.
///
/// The server must honour `If-Match` and `If-None-Match` on `PUT`, as S3 and most
/// compatible servers do: this prevents concurrent writers. Opening the store verifies
/// it with a few writes to `<processor>.probe-…`, which is removed again.
///
/// ```no_run
/// use satellite_state::{App, S3Store};
///
/// let store = S3Store::new("http://127.0.0.1:9000", "us-east-1", "states", "key", "secret")?;
/// let app = App::new().store(store.prefix("shop/"));
/// # let _ = app;
/// # Ok::<(), satellite_state::Error>(())
/// ```
#[derive(Debug)]
pub struct S3Store {
    place: Place,
    prefix: String,
    lease_duration: Duration,
    opened: Option<Fenced<Object, Object>>,
}

impl S3Store {
    /// In `bucket` at `endpoint`, an http or https URL.
    ///
    /// # Errors
    /// When that is no URL.
    pub fn new(
        endpoint: &str,
        region: &str,
        bucket: &str,
        key: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> Result<Self> {
        let keys = Keys::new(key, secret.into().expose());
        Self::with(endpoint, UrlStyle::Path, region, bucket, keys)
    }

    fn with(
        endpoint: &str,
        style: UrlStyle,
        region: &str,
        bucket: &str,
        keys: Keys,
    ) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| {
            Error::new(format_args!("no bucket {bucket:?} at {endpoint}: {e}"))
        };
        let url = endpoint.parse().map_err(|e| wrong(&e))?;
        let bucket = Bucket::new(url, style, bucket.to_owned(), region.to_owned());
        Ok(S3Store {
            place: Place {
                bucket: bucket.map_err(|e| wrong(&e))?,
                keys,
            },
            prefix: String::new(),
            lease_duration: Duration::from_secs(60),
            opened: None,
        })
    }

    /// From the environment: `DORY_STATE_S3_BUCKET`, `DORY_STATE_S3_PREFIX`,
    /// `DORY_STATE_S3_ENDPOINT` for a server that is not Amazon's, and the
    /// `AWS_…` variables for region and keys. `None` when a variable is missing or wrong,
    /// which `read` then reports.
    ///
    /// ```
    /// use satellite_state::{S3Store, Variables};
    ///
    /// let mut read = Variables::from_lookup(|_| None);
    /// assert!(S3Store::from_env(&mut read).is_none());
    /// assert!(read.finish().unwrap_err().to_string().contains("DORY_STATE_S3_BUCKET"));
    /// ```
    pub fn from_env(read: &mut Variables) -> Option<Self> {
        let mut required = |name: &str, expected: &str| {
            let text = read.text(name);
            if text.is_none() {
                read.problem(name, format_args!("expected {expected}"));
            }
            text
        };
        let bucket = required("DORY_STATE_S3_BUCKET", "the name of the bucket");
        let key = required("AWS_ACCESS_KEY_ID", "the key for the bucket");
        let secret = required("AWS_SECRET_ACCESS_KEY", "the key's secret");
        let (bucket, key, secret) = (bucket?, key?, secret?);
        let region = read.text("AWS_REGION");
        let region = region
            .or_else(|| read.text("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let keys = match read.text("AWS_SESSION_TOKEN") {
            Some(token) => Keys::new_with_token(key, secret, token),
            None => Keys::new(key, secret),
        };
        let store = match read.url("DORY_STATE_S3_ENDPOINT", None) {
            Some(endpoint) => Self::with(&endpoint, UrlStyle::Path, &region, &bucket, keys),
            None => {
                let endpoint = format!("https://s3.{region}.amazonaws.com");
                Self::with(&endpoint, UrlStyle::VirtualHost, &region, &bucket, keys)
            }
        };
        match store {
            Ok(store) => {
                let lease_duration = read.seconds("DORY_LEASE_SEC", store.lease_duration);
                let prefix = read.text("DORY_STATE_S3_PREFIX").unwrap_or_default();
                Some(store.prefix(prefix).lease_duration(lease_duration))
            }
            Err(e) => {
                read.problem("DORY_STATE_S3_BUCKET", e);
                None
            }
        }
    }

    /// The prefix of all names in the bucket.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The lease duration: a holder that does not renew for this long is considered
    /// dead. One minute by default. A renewal is a `PUT`, about eight in this time.
    #[must_use]
    pub fn lease_duration(mut self, lease_duration: Duration) -> Self {
        self.lease_duration = lease_duration;
        self
    }

    fn connected(&mut self, request: &OpenRequest<'_>) -> Result<&mut Fenced<Object, Object>> {
        if self.opened.is_none() {
            let (prefix, namespace) = (&self.prefix, request.namespace());
            let name = format!("{prefix}{namespace}/{}", request.processor());
            let within = lease_manager::call_limit(self.lease_duration);
            let state = Object::new(&self.place, format!("{name}.state"), CALL_TIMEOUT)?;
            let seen = Object::new(&self.place, format!("{name}.state"), within)?;
            let lease = Object::new(&self.place, format!("{name}.lease"), within)?;
            let lease =
                LeaseManager::new(lease, self.lease_duration, request.lease_validity.clone());
            self.opened = Some(Fenced::new(state, seen, lease, self.lease_duration));
        }
        self.opened()
    }

    fn opened(&mut self) -> Result<&mut Fenced<Object, Object>> {
        self.opened
            .as_mut()
            .ok_or_else(|| Error::new("the store was not opened"))
    }
}

impl Store for S3Store {
    fn peek(&mut self, request: &OpenRequest<'_>) -> Result<Option<Opened>> {
        self.connected(request)?.peek(request)
    }

    fn give_up(&mut self, request: &OpenRequest<'_>, why: &str) -> Result<()> {
        self.connected(request)?.give_up(request, why)
    }

    fn history(&mut self, namespace: &str, processor: &str) -> Result<Vec<Stored>> {
        let name = format!("{}{namespace}/{processor}.state", self.prefix);
        let place = format!("{name} in bucket {}", self.place.bucket.name());
        let found = Object::new(&self.place, name, CALL_TIMEOUT)?.get()?;
        let found = found.map(|cell| Stored::read(place, &cell.document));
        Ok(found.into_iter().collect())
    }

    fn open(&mut self, request: &OpenRequest<'_>) -> Result<Opened> {
        let unique = (random() * (1u64 << 48) as f64) as u64;
        let name = format!(
            "{}{}/{}.probe-{unique:012x}",
            self.prefix,
            request.namespace(),
            request.processor()
        );
        let probe = Object::new(&self.place, name, CALL_TIMEOUT)?;
        check_conditions(&probe, self.place.bucket.name(), request)?;
        self.connected(request)?.open(request)
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

    fn renew_interval(&self) -> Duration {
        self.lease_duration * 2 / 15
    }

    fn move_aside(&mut self) -> Result<String> {
        self.opened()?.move_aside()
    }

    fn is_free(&mut self) -> Result<bool> {
        self.opened()?.is_free()
    }
}

/// Rejects a bucket that cannot prevent concurrent writers.
fn check_conditions(probe: &Object, bucket: &str, request: &OpenRequest<'_>) -> Result<()> {
    let mut outage = Outage::of("opening the bucket");
    loop {
        match probe.ignored_condition() {
            Ok(None) => return Ok(()),
            Ok(Some(condition)) => {
                return Err(Error::new(format_args!(
                    "bucket {bucket:?} at {} ignores {condition} on PUT, which is needed to \
                     prevent concurrent writers: use a server that honours conditional writes",
                    probe.server()
                )));
            }
            Err(e) if e.is_retryable() => {
                if let Some(line) = outage.failed(request.waiter.now(), &e) {
                    log::warn!("{line}");
                }
                request.wait(Duration::from_secs(1), &e.to_string())?;
            }
            Err(e) => return Err(e),
        }
    }
}
