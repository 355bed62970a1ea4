//! The gateway over real HTTP, between clients and model servers that misbehave.

mod bodies;
mod errors;
mod forwarding;
#[cfg(feature = "monitoring")]
mod monitored;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use satellite_sdk::Variables;
use satellite_sdk::testing::MockPlatform;

use super::*;
use crate::settings::Settings;

const KEY: &str = "dfs_test_key";
const SECRET: &str = "0198c0de-0000-7000-8000-0000000005ec";
const TIMEOUT: Duration = Duration::from_secs(60);
const MB: u64 = 1 << 20;

/// A gateway with a mock platform, and one model as the deployments `plain` and `secret`.
struct Fixture {
    platform: MockPlatform,
    gateway: Server,
    routes: Routes,
}

impl Fixture {
    fn new(port: u16, memory: u64) -> Self {
        let platform = MockPlatform::start();
        platform.add_inference_key(KEY);
        platform.add_secret(SECRET, "key", "hush");
        let routes = Routes::default();
        for name in ["plain", "secret"] {
            let attributes = match name {
                "secret" => BTreeMap::from([("key".to_owned(), SECRET.to_owned())]),
                _ => BTreeMap::new(),
            };
            routes.insert(Route {
                deployment_id: name.into(),
                name: name.into(),
                port,
                attributes,
                manifest: None,
                openapi: None,
                permit: Arc::default(),
            });
        }
        let address = ([127, 0, 0, 1], 0).into();
        let settings = Settings::read(&mut Variables::from_lookup(|_| None));
        let gateway = start(
            address,
            memory,
            routes.clone(),
            &platform.client(),
            Monitoring::new(&settings),
        )
        .unwrap();
        Fixture {
            platform,
            gateway,
            routes,
        }
    }

    /// Sends the head of a compute request, with these additional header lines.
    fn call(&self, name: &str, lines: &str) -> TcpStream {
        self.call_by(KEY, name, lines)
    }

    fn call_by(&self, key: &str, name: &str, lines: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.gateway.addr()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let head = format!(
            "POST /deployments/{name}/compute HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Authorization: Bearer {key}\r\n{lines}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    fn post(&self, name: &str, body: &str) -> String {
        let mut stream = self.call(name, &format!("Content-Length: {}\r\n", body.len()));
        stream.write_all(body.as_bytes()).unwrap();
        read_all(&mut stream)
    }
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

/// A model that responds with the body of the request.
fn echo() -> Server {
    model(|request| {
        let body = request.read_body().unwrap_or_default();
        Response::new(200).body(body)
    })
}

fn model(response: impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static) -> Server {
    let limits = Limits {
        body_bytes: 64 * MB,
        ..Limits::default()
    };
    Server::bind("127.0.0.1:0", limits, response).unwrap()
}

/// A model that reads a request's head, sends `response`, and reads no more. Also returns a
/// channel with the heads that it received.
fn responds_immediately(response: &'static str) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = channel();
    thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let _ = sender.send(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(response.as_bytes());
            open.push(stream);
        }
    });
    (port, requests)
}
