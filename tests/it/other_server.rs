//! The client against a third-party server: tiny_http.

use std::io::Cursor;
use std::sync::mpsc::channel;
use std::thread;

use satellite_sdk::{Builder, Task, done};
use serde_json::{Value, json};
use tiny_http::{Method, Response, Server};

/// Serves a platform with one task, with chunked or fixed-length responses.
fn platform(server: &Server, is_chunked: bool, mut report: impl FnMut(Value)) {
    let mut task = json!({
        "id": "t-1", "type": "echo", "payload": "hello", "status": "pending", "created_at": "now",
    });
    for mut request in server.incoming_requests() {
        let answer = match request.method() {
            Method::Get if task["status"] == "pending" => json!([task]),
            Method::Get => json!([]),
            _ => {
                let mut body = String::new();
                request.as_reader().read_to_string(&mut body).unwrap();
                let mark: Value = serde_json::from_str(&body).unwrap();
                task["status"] = mark["status"].clone();
                report(mark);
                task.clone()
            }
        };
        let body = answer.to_string();
        let length = (!is_chunked).then_some(body.len());
        let headers = vec!["Content-Type: application/json".parse().unwrap()];
        let body = Cursor::new(body.into_bytes());
        let threshold = if is_chunked { 0 } else { usize::MAX };
        let response = Response::new(200.into(), headers, body, length, None);
        let _ = request.respond(response.with_chunked_threshold(threshold));
    }
}

#[test]
fn a_task_is_processed_with_a_third_party_server() {
    for is_chunked in [false, true] {
        let server = Server::http("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.server_addr());
        let (send, reports) = channel();
        thread::scope(|scope| {
            scope.spawn(|| platform(&server, is_chunked, |mark| send.send(mark).unwrap()));
            let mut satellite = Builder::new()
                .platform_url(url)
                .token("dfssat_token")
                .no_health()
                .no_signals()
                .handler("echo", |task: Task| done(task.payload))
                .build()
                .unwrap();
            let stopped = satellite.run_until_idle().unwrap();
            assert_eq!((stopped.done, stopped.undelivered), (1, 0));
            server.unblock();
        });
        let marks: Vec<Value> = reports.try_iter().collect();
        assert_eq!(marks[0]["status"], "running");
        assert_eq!(marks[1]["status"], "done");
        assert!(
            marks[1]["result"].to_string().contains("hello"),
            "{marks:?}"
        );
        assert_eq!(marks.len(), 2);
    }
}
