//! More requests than the server can compute.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::program::{PATIENCE, Running};

#[test]
fn a_full_queue_is_answered_with_503_and_recovers() {
    let variables = [("LUML_MODEL_WORKERS", "1"), ("LUML_MODEL_QUEUE", "0")];
    let server = Running::serving("slow.fnnx", &variables);
    let done = AtomicBool::new(false);
    let slow = json!({ "inputs": { "x": vec![1; 1500] } });
    let quick = json!({ "inputs": { "x": [1] } });
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let status = server.compute(&slow).status;
                assert!([200, 503].contains(&status));
            }
        });
        let started = Instant::now();
        let refused = loop {
            let answer = server.compute(&quick);
            if answer.status == 503 || started.elapsed() > PATIENCE {
                break answer;
            }
        };
        done.store(true, Ordering::SeqCst);
        assert!(refused.error(503).contains("too many requests"));
        assert_eq!(refused.retry_after.as_deref(), Some("1"));
        assert_eq!(
            server.get("/healthz").status,
            200,
            "the health does not wait"
        );
    });
    assert_eq!(server.compute(&quick).status, 200);
    assert!(server.figure("luml_model_requests_total{status=\"503\"}") >= 1.0);
}

#[test]
fn requests_in_the_queue_are_answered() {
    let variables = [
        ("LUML_MODEL_WORKERS", "1"),
        ("LUML_MODEL_QUEUE_WAIT_SEC", "100"),
    ];
    let server = Running::serving("slow.fnnx", &variables);
    let body = json!({ "inputs": { "x": vec![1; 300] } });
    thread::scope(|scope| {
        let requests: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| server.compute(&body)))
            .collect();
        for request in requests {
            assert_eq!(request.join().unwrap().status, 200);
        }
    });
    assert_eq!(server.figure("luml_model_computing"), 0.0);
    assert_eq!(server.figure("luml_model_waiting"), 0.0);
}
