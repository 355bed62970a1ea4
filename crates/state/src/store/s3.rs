//! States in a bucket of S3, or of a compatible server.

use std::time::Duration;

use rusty_s3::actions::{DeleteObject, GetObject, PutObject};
use rusty_s3::{Bucket, Credentials as Keys, S3Action, UrlStyle};
use satellite_core::http::header::AUTHORIZATION;

use super::fenced::Fenced;
use super::lease_manager::{self, LeaseManager};
use super::register::{Cell, Put, Register};
use super::{LeaseRenewer, OpenRequest, Opened, Store, Stored};
use crate::document::Content;
use crate::outage::Outage;
use crate::time;
use satellite_core::Variables;
use satellite_core::http::retry::random;
use satellite_core::http::{
    Call, Credentials, Dialect, Effort, Method, Problem, Response, Retries, Secret, Server,
    Transport, Trust, excerpt,
};
use satellite_core::wake::Waiter;
use satellite_core::{Error, Result};

/// How long a signature is valid: a call takes at most `CALL_TIMEOUT`.
const SIGNATURE_LIFETIME: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A larger object could be written, but not be read back.
const MAX_BYTES: usize = satellite_core::http::BODY_LIMIT as usize;

/// How error responses are parsed; the signature is in the path, not in a header.
static S3: Dialect = Dialect {
    token: (AUTHORIZATION, ""),
    headers: &[],
    explain,
};

/// An error response of S3 is `<Error><Code>…</Code><Message>…</Message>…`.
fn explain(status: u16, body: &[u8]) -> Problem {
    let text = String::from_utf8_lossy(body);
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        Some(value.to_owned())
    };
    let message = field("Message");
    let is_own = message.is_some();
    Problem {
        kind: field("Code"),
        ..Problem::of_status(
            status,
            excerpt(message.as_deref().unwrap_or(&text).as_bytes()),
            is_own,
        )
    }
}

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
    /// `AWS_…` variables for region and keys.
    pub(crate) fn from_variables(read: &mut Variables) -> Option<Self> {
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
                    probe.transport.base()
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

#[derive(Debug, Clone)]
struct Place {
    bucket: Bucket,
    keys: Keys,
}

/// One object of a bucket.
struct Object {
    place: Place,
    name: String,
    /// A call fails when there is no answer within this time.
    within: Duration,
    transport: Transport,
}

impl Object {
    fn new(place: &Place, name: String, within: Duration) -> Result<Self> {
        let origin = place.bucket.base_url().origin().ascii_serialization();
        let server = Server {
            base: origin,
            dialect: &S3,
            credentials: Credentials::Token(Secret::new("")),
            trust: Trust::default(),
            retries: Retries::up_to(CALL_TIMEOUT),
            connect: Duration::from_secs(10),
        };
        Ok(Object {
            place: place.clone(),
            name,
            within: within.min(CALL_TIMEOUT),
            // A separate waiter: a stop must not prevent the last save from being sent.
            transport: Transport::new(server, Waiter::default())?,
        })
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<Vec<u8>>,
        condition: Option<(&'static str, &str)>,
    ) -> Result<Response> {
        let path = url.strip_prefix(self.transport.base()).unwrap_or(url);
        let mut call = Call::new(method, path)
            .presigned(body)
            .effort(Effort::Once)
            .within(self.within);
        if let Some((name, value)) = condition {
            call = call.header(name, value);
        }
        self.transport.send(&call)
    }

    /// The condition on a `PUT` that the server ignores, if any. The object is new, and
    /// is removed afterwards.
    fn ignored_condition(&self) -> Result<Option<&'static str>> {
        let first = self.write(&self.name, b"probe", ("if-none-match", "*"))?;
        if first.status() == 501 {
            return Ok(Some("If-None-Match"));
        }
        first.ok()?;
        let never = format!("\"{}\"", "0".repeat(32));
        let mut ignored = None;
        for condition in [("if-none-match", "*"), ("if-match", never.as_str())] {
            let answer = self.write(&self.name, b"probe again", condition)?;
            match answer.status() {
                412 | 409 => {}
                200..300 | 501 => ignored = Some(condition.0),
                _ => answer.ok().map(drop)?,
            }
        }
        if let Err(e) = self.delete().and_then(Response::ok) {
            log::debug!("could not remove {}: {e}", self.name);
        }
        Ok(ignored.map(|name| match name {
            "if-match" => "If-Match",
            _ => "If-None-Match",
        }))
    }

    fn delete(&self) -> Result<Response> {
        let delete = DeleteObject::new(&self.place.bucket, Some(&self.place.keys), &self.name);
        let url = delete.sign(SIGNATURE_LIFETIME);
        self.send(Method::DELETE, url.as_str(), None, None)
    }

    fn write(
        &self,
        name: &str,
        document: &[u8],
        condition: (&'static str, &str),
    ) -> Result<Response> {
        let put = PutObject::new(&self.place.bucket, Some(&self.place.keys), name);
        let url = put.sign(SIGNATURE_LIFETIME);
        self.send(
            Method::PUT,
            url.as_str(),
            Some(document.to_vec()),
            Some(condition),
        )
    }
}

impl Register for Object {
    fn get(&mut self) -> Result<Option<Cell>> {
        let get = GetObject::new(&self.place.bucket, Some(&self.place.keys), &self.name);
        let url = get.sign(SIGNATURE_LIFETIME);
        let answer = self.send(Method::GET, url.as_str(), None, None)?;
        if answer.status() == 404 && answer.text().contains("NoSuchKey") {
            return Ok(None);
        }
        let answer = answer.ok()?;
        Ok(Some(Cell {
            version: etag(&answer),
            document: answer.body().to_vec(),
        }))
    }

    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put> {
        if document.len() > MAX_BYTES {
            return Err(Error::too_large(format_args!(
                "the state is too large for {}: {} bytes, the limit is {MAX_BYTES}",
                self.name,
                document.len()
            )));
        }
        let condition = match over {
            Some(version) => ("if-match", version),
            None => ("if-none-match", "*"),
        };
        let answer = self.write(&self.name, document, condition)?;
        match (answer.status(), over) {
            // 409: another write under the same condition is in progress.
            (412 | 409, _) => Ok(Put::Conflict),
            (404, Some(_)) if answer.text().contains("NoSuchKey") => Ok(Put::Gone),
            _ => Ok(Put::Done(etag(&answer.ok()?))),
        }
    }

    fn move_aside(&mut self) -> Result<String> {
        let Some(cell) = self.get()? else {
            return Ok("already removed".to_owned());
        };
        let aside = format!("{}.corrupt-{}", self.name, time::for_file_name());
        self.write(&aside, &cell.document, ("if-none-match", "*"))?
            .ok()?;
        self.delete()?.ok()?;
        Ok(aside)
    }
}

/// Including the quotes, as it has to be sent back.
fn etag(answer: &Response) -> String {
    answer.header("etag").unwrap_or_default().to_owned()
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Object").field(&self.name).finish()
    }
}
