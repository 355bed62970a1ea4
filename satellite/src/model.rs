//! A model server, as seen from this host.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use ureq::http;
use ureq::{Agent, AsSendBody, Body};

/// Asks model servers over loopback, on kept connections.
#[derive(Debug, Clone)]
pub struct Models(Agent);

const QUICK: Duration = Duration::from_secs(2);

/// A model may think for this long about one request.
const THOUGHT: Duration = Duration::from_secs(300);

/// And let a request wait for this long without taking any of it.
const SILENCE: Duration = Duration::from_secs(60);

/// A manifest or an OpenAPI document is not larger than this.
const DOCUMENT_LIMIT: u64 = 4 * 1024 * 1024;

impl Models {
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .input_buffer_size(16 * 1024)
            .output_buffer_size(16 * 1024)
            .max_idle_connections_per_host(32)
            .max_idle_connections(64)
            .timeout_connect(Some(QUICK))
            .timeout_recv_response(Some(THOUGHT))
            .timeout_recv_body(Some(THOUGHT))
            .timeout_per_write(Some(SILENCE))
            .build();
        Models(config.new_agent())
    }

    /// Whether it says that it is healthy.
    pub fn is_healthy(&self, port: u16) -> bool {
        self.get(port, "/healthz")
            .is_ok_and(|(status, _)| status == 200)
    }

    /// A JSON document that it offers.
    pub fn document(&self, port: u16, path: &str) -> Option<Value> {
        let (status, body) = self.get(port, path).ok()?;
        let document = serde_json::from_slice(&body).ok()?;
        (status == 200).then_some(document)
    }

    /// Passes a request on; the answer's body is still to be read.
    pub fn compute(
        &self,
        port: u16,
        content_length: Option<u64>,
        body: impl Read,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let mut request = http::Request::post(url(port, "/compute"))
            .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(length) = content_length {
            request = request.header(http::header::CONTENT_LENGTH, length);
        }
        let mut body = body;
        self.0
            .run(request.body(ureq::SendBody::from_reader(&mut body))?)
    }

    /// Passes a whole request on.
    pub fn compute_bytes(
        &self,
        port: u16,
        body: impl AsSendBody,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let request = http::Request::post(url(port, "/compute"))
            .header(http::header::CONTENT_TYPE, "application/json");
        self.0.run(request.body(body)?)
    }

    fn get(&self, port: u16, path: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
        let request = self.0.get(url(port, path)).config();
        let request = request
            .timeout_recv_response(Some(QUICK))
            .timeout_recv_body(Some(QUICK));
        let mut answer = request.build().call()?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(DOCUMENT_LIMIT)
            .read_to_vec()?;
        Ok((answer.status().as_u16(), body))
    }
}

fn url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}
