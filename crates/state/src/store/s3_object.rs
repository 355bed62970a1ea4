//! One object of a bucket, with compare-and-swap by its ETag.

use std::time::Duration;

use rusty_s3::actions::{DeleteObject, GetObject, PutObject};
use rusty_s3::{Bucket, Credentials as Keys, S3Action};
use satellite_core::http::header::AUTHORIZATION;

use super::register::{Cell, Put, Register};
use crate::time;
use satellite_core::http::{
    Call, Credentials, Dialect, Effort, Method, Problem, Response, Retries, Secret, Server,
    Transport, Trust, excerpt,
};
use satellite_core::wake::Waiter;
use satellite_core::{Error, Result};

/// How long a signature is valid: a call takes at most `CALL_TIMEOUT`.
const SIGNATURE_LIFETIME: Duration = Duration::from_secs(60);
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

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

#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) bucket: Bucket,
    pub(super) keys: Keys,
}

/// One object of a bucket.
pub(super) struct Object {
    place: Place,
    name: String,
    /// A call fails when there is no answer within this time.
    within: Duration,
    transport: Transport,
}

impl Object {
    pub(super) fn new(place: &Place, name: String, within: Duration) -> Result<Self> {
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

    /// The URL of the server.
    pub(super) fn server(&self) -> &str {
        self.transport.base()
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
    pub(super) fn ignored_condition(&self) -> Result<Option<&'static str>> {
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

    fn check_size(&self, document: &[u8]) -> Result<()> {
        match document.len() > MAX_BYTES {
            true => Err(Error::too_large(format_args!(
                "the state is too large for {}: {} bytes, the limit is {MAX_BYTES}",
                self.name,
                document.len()
            ))),
            false => Ok(()),
        }
    }

    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put> {
        self.check_size(document)?;
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
