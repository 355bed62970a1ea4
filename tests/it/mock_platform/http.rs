//! Sends raw requests to the mock platform, as a client of any language would.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use satellite_sdk::testing::MockPlatform;
use serde_json::{Value, json};

pub const UNKNOWN: &str = "00000000-0000-0000-0000-000000000000";

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    pub fn is_detail(&self, status: u16, detail: &str) {
        assert_eq!(
            (self.status, self.json()),
            (status, json!({ "detail": detail }))
        );
    }

    /// The one entry of a 422.
    #[track_caller]
    pub fn is_invalid(&self, kind: &str, place: Value) {
        assert_eq!(self.status, 422, "{}", self.body);
        let detail = self.json()["detail"][0].clone();
        assert_eq!((&detail["type"], &detail["loc"]), (&json!(kind), &place));
        assert!(detail["msg"].is_string() && detail.as_object().unwrap().contains_key("input"));
    }

    #[track_caller]
    pub fn is_500(&self) {
        assert_eq!(
            (self.status, self.body.as_str()),
            (500, "Internal Server Error")
        );
        assert!(self.head.contains("content-type: text/plain"));
    }
}

/// Sends the request unchanged and reads until the connection is closed.
pub fn raw(platform: &MockPlatform, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(platform.url().strip_prefix("http://").unwrap())?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer {
        status,
        head: head.into(),
        body: body.into(),
    })
}

pub fn request(bearer: &str, method: &str, path: &str, body: &str) -> String {
    let authorization = match bearer {
        "" => String::new(),
        bearer => format!("Authorization: Bearer {bearer}\r\n"),
    };
    format!(
        "{method} /satellites/v1{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         {authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn try_call(
    platform: &MockPlatform,
    method: &str,
    path: &str,
    body: &Value,
) -> io::Result<Answer> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    raw(platform, &request(&platform.token(), method, path, &body))
}

#[track_caller]
pub fn call(platform: &MockPlatform, method: &str, path: &str, body: Value) -> Answer {
    try_call(platform, method, path, &body).unwrap()
}

#[track_caller]
pub fn get(platform: &MockPlatform, path: &str) -> Answer {
    call(platform, "GET", path, Value::Null)
}

#[track_caller]
pub fn set(platform: &MockPlatform, task: &str, status: &str) -> Answer {
    call(
        platform,
        "POST",
        &format!("/tasks/{task}/status"),
        json!({ "status": status }),
    )
}

/// A platform with a task `t1`.
pub fn platform() -> MockPlatform {
    let platform = MockPlatform::start();
    platform.add_task(json!({ "id": "t1", "type": "greet", "payload": { "name": "Ada" } }));
    platform
}
