//! Health endpoints on the program's own tiny_http server.
//!
//! `cargo run --example tiny_http_health`, then `curl http://127.0.0.1:9000/readyz`.

use std::thread;

use satellite_sdk::{Builder, Exit, Health, Task, done};
use tiny_http::{Header, Response, Server};

fn main() -> Exit {
    let satellite = Builder::new()
        .handler("echo", |task: Task| done(task.payload))
        .no_health() // no separate health server
        .build();
    let mut satellite = match satellite {
        Ok(satellite) => satellite,
        Err(error) => return error.into(),
    };
    let health = satellite.health().clone();
    match Server::http("127.0.0.1:9000") {
        Ok(server) => thread::spawn(move || serve(&server, &health)),
        Err(error) => return satellite_sdk::Error::new(error).into(),
    };
    satellite.run().into()
}

fn serve(server: &Server, health: &Health) {
    for request in server.incoming_requests() {
        let probe = match request.url() {
            "/healthz" => health.liveness(),
            "/readyz" => health.readiness(),
            _ => {
                let _ = request.respond(Response::empty(404));
                continue;
            }
        };
        let mut response = Response::from_string(probe.body).with_status_code(probe.status);
        if let Ok(json) = Header::from_bytes("Content-Type", "application/json") {
            response.add_header(json);
        }
        let _ = request.respond(response);
    }
}
