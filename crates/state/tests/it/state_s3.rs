//! States in a bucket of a small server in this process or, with
//! `SATELLITE_S3_ENDPOINT`, of a real one (bucket `states`, keys `key`, `secret`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use satellite_serve::{Limits, Request, Response, Server};

use crate::process::{Satellite, start};
use crate::state_child::{bare_command, counts, last_count, started_with};

/// A bucket with conditional writes, which every server must have.
#[derive(Default)]
struct Objects {
    by_path: BTreeMap<String, (u64, Vec<u8>)>,
    writes: u64,
    /// A condition that is ignored, or rejected with 501.
    ignored: Option<&'static str>,
    refuses: bool,
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

    fn of(objects: Objects) -> (Self, Arc<Mutex<Objects>>) {
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

fn on_host(bucket: &Bucket, host: &str, id: &str) -> Satellite {
    on_host_at(&bucket.endpoint(), host, id, &[])
}

/// On a host that reaches the bucket at this URL.
pub fn on_host_at(endpoint: &str, host: &str, id: &str, env: &[(&str, &str)]) -> Satellite {
    let mut command = bare_command();
    command
        .env("DORY_STATE_BACKEND", "s3")
        .env("DORY_STATE_S3_BUCKET", "states")
        .env("DORY_STATE_S3_PREFIX", "tests/")
        .env("DORY_STATE_S3_ENDPOINT", endpoint)
        .env("DORY_LEASE_SEC", "3")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1")
        .env("DORY_PROCESSOR_ID", id)
        .env("DORY_POD_NAME", host)
        .env("DORY_CHECKPOINT_SEC", "0.1")
        .env("DORY_LOG_LEVEL", "DEBUG")
        .envs(env.iter().copied());
    start(command)
}

/// An id that no previous run has used: a real server keeps its data.
pub fn id(name: &str) -> String {
    format!("{name}-{}", crate::state_child::now_ms())
}

#[test]
fn a_state_in_a_bucket_moves_from_host_to_host() {
    let bucket = Bucket::get();
    let id = id("moving");
    let mut first = on_host(&bucket, "host-a", &id);
    first.line("count 5");
    let mut second = on_host(&bucket, "host-b", &id);
    let restored = started_with(&mut second);
    let (status, _) = first.end();
    assert_eq!(status.code(), Some(0), "{:#?}", first.log);
    assert_eq!(
        restored,
        last_count(&first),
        "not one is lost or done twice"
    );
    second.line("count ");
    second.signal("KILL");
    second.end();

    // The host has failed: its lease has to expire.
    let mut third = on_host(&bucket, "host-c", &id);
    let restored = started_with(&mut third);
    assert!(restored >= last_count(&first));
    assert!(restored <= counts(&second).last().unwrap() + 1);
    third.line("count ");
    third.signal("TERM");
    assert_eq!(third.end().0.code(), Some(0));
    let output = [&first.log, &second.log, &third.log]
        .map(|log| log.join("\n"))
        .concat();
    assert!(
        !output.contains("X-Amz-Signature"),
        "no signature is logged"
    );
}

#[test]
fn a_missing_bucket_is_reported() {
    let bucket = Bucket::get();
    let mut command = bare_command();
    command
        .env("DORY_STATE_BACKEND", "s3")
        .env("DORY_STATE_S3_ENDPOINT", bucket.endpoint())
        .env_remove("AWS_ACCESS_KEY_ID");
    let mut process = start(command);
    assert_eq!(process.end().0.code(), Some(78));
    let output = process.log.join("\n");
    for name in [
        "DORY_STATE_S3_BUCKET",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ] {
        assert!(output.contains(name), "{name} is missing in {output}");
    }
}

#[test]
fn a_bucket_that_ignores_conditional_writes_is_rejected_before_it_is_used() {
    for (ignored, refuses) in [
        (Some("if-none-match"), false),
        (Some("if-match"), false),
        (None, true),
    ] {
        let (bucket, objects) = Bucket::of(Objects {
            ignored,
            refuses,
            ..Objects::default()
        });
        let mut process = on_host(&bucket, "host-a", "orders");
        assert_eq!(process.end().0.code(), Some(1), "{:#?}", process.log);
        let output = process.log.last().unwrap().to_lowercase();
        let condition = ignored.unwrap_or("if-none-match");
        let expected =
            format!("ignores {condition} on put, which is needed to prevent concurrent writers");
        assert!(output.contains(&expected), "{output}");
        assert!(
            objects.lock().unwrap().by_path.is_empty(),
            "nothing is left behind"
        );
    }
    // A suitable bucket is left just as clean.
    let (bucket, objects) = Bucket::of(Objects::default());
    let mut process = on_host(&bucket, "host-a", "orders");
    process.line("count ");
    let objects = objects.lock().unwrap();
    let names: Vec<_> = objects.by_path.keys().collect();
    assert!(
        names.iter().all(|name| !name.contains("probe")),
        "{names:?}"
    );
}
