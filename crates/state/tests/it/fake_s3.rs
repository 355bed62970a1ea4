//! A bucket of a small server in this process or, with `SATELLITE_S3_ENDPOINT`, of a real one
//! (bucket `states`, keys `key`, `secret`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use satellite_serve::{Limits, Request, Response, Server};

/// A bucket with conditional writes, which every server must have.
#[derive(Default)]
pub struct Objects {
    pub by_path: BTreeMap<String, (u64, Vec<u8>)>,
    pub writes: u64,
    /// A condition that is ignored, or rejected with 501.
    pub ignored: Option<&'static str>,
    pub refuses: bool,
}

pub enum Bucket {
    Own(Server),
    Real(String),
}

impl Bucket {
    pub fn get() -> Self {
        if let Ok(endpoint) = std::env::var("SATELLITE_S3_ENDPOINT") {
            return Bucket::Real(endpoint);
        }
        Bucket::of(Objects::default()).0
    }

    pub fn of(objects: Objects) -> (Self, Arc<Mutex<Objects>>) {
        let objects = Arc::new(Mutex::new(objects));
        let shared = Arc::clone(&objects);
        let server = Server::bind("127.0.0.1:0", Limits::default(), move |request| {
            answer(&mut shared.lock().unwrap(), request)
        });
        (Bucket::Own(server.unwrap()), objects)
    }

    pub fn endpoint(&self) -> String {
        match self {
            Bucket::Own(server) => format!("http://{}", server.addr()),
            Bucket::Real(endpoint) => endpoint.clone(),
        }
    }
}

fn answer(objects: &mut Objects, request: &mut Request<'_>) -> Response {
    let refusal = |status, code: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>"
        );
        Response::new(status)
            .header("content-type", "application/xml")
            .body(body)
    };
    let is_signed = request
        .query()
        .is_some_and(|q| q.contains("X-Amz-Signature="));
    if !is_signed {
        return refusal(403, "AccessDenied");
    }
    let path = request.path().to_owned();
    let etag = |version: &u64| format!("\"{version}\"");
    let there = objects.by_path.get(&path).map(|(version, _)| etag(version));
    match request.method() {
        "GET" => match objects.by_path.get(&path) {
            Some((version, bytes)) => Response::new(200)
                .header("etag", etag(version))
                .body(bytes.clone()),
            None => refusal(404, "NoSuchKey"),
        },
        "PUT" => {
            let has = |name: &str| request.header(name).is_some();
            if objects.refuses && (has("if-match") || has("if-none-match")) {
                return refusal(501, "NotImplemented");
            }
            let condition = |name: &str| {
                let is_ignored = objects.ignored == Some(name);
                request.header(name).filter(|_| !is_ignored)
            };
            match (condition("if-match"), &there) {
                (Some(_), None) => return refusal(404, "NoSuchKey"),
                (Some(wanted), Some(there)) if wanted != there => {
                    return refusal(412, "PreconditionFailed");
                }
                _ => {}
            }
            if condition("if-none-match") == Some("*") && there.is_some() {
                return refusal(412, "PreconditionFailed");
            }
            objects.writes += 1;
            let version = objects.writes;
            let bytes = request.read_body().unwrap();
            objects.by_path.insert(path, (version, bytes));
            Response::new(200).header("etag", etag(&version))
        }
        "DELETE" => {
            objects.by_path.remove(&path);
            Response::new(204)
        }
        _ => refusal(405, "MethodNotAllowed"),
    }
}
