//! Handles requests of the mock platform and injects faults.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::routes::{self, Call};
use super::state::{PlatformState, Shared};
use satellite_serve::testing::Fault;
use satellite_serve::testing::RecordedRequest;
use satellite_serve::{Limits, Request, Response, Server};

/// Serves the platform on `addr`; connection numbers continue after `earlier`.
pub(super) fn listen(addr: SocketAddr, shared: &Arc<Shared>, earlier: u64) -> io::Result<Server> {
    let limits = Limits {
        connections: 256,
        body_bytes: 64 * 1024 * 1024,
        ..Limits::default()
    };
    let shared = shared.clone();
    Server::bind(addr, limits, move |request| {
        serve(&shared, earlier, request)
    })
}

fn serve(shared: &Shared, earlier: u64, request: &mut Request<'_>) -> Response {
    let (method, target) = (request.method(), request.target());
    let authorization = request.header("authorization");
    let mut recorded = RecordedRequest::new(
        method,
        target,
        earlier + request.connection(),
        authorization.is_some(),
    );

    let (fault, clears) = {
        let faults = &mut shared.state().faults;
        (faults.take(method, target), faults.clears)
    };
    let is_released = |state: &PlatformState| state.is_paused || state.faults.clears > clears;
    if fault != Some(Fault::Reset) {
        match request.read_body() {
            Ok(body) => recorded.body = body,
            Err(_) => return Response::new(400),
        }
    }
    let body = recorded.body.clone();
    let number = shared.state().record(recorded);
    if let Some(Fault::Stall(time)) = fault {
        shared.wait_until(time, is_released);
    }
    let mut state = shared.state();
    if state.is_paused {
        return Response::raw("");
    }
    if let Some(response) = fault.as_ref().and_then(Fault::answer) {
        let has_response = !matches!(fault, Some(Fault::Reset | Fault::Drop));
        state.responded(number, if has_response { response.status() } else { 0 });
        return response;
    }
    let call = Call {
        method,
        path: request.path(),
        query: request.query(),
        bearer: authorization.and_then(|value| value.strip_prefix("Bearer ")),
        body: &body,
    };
    let response = routes::answer(&mut state, &call);
    shared.notify();
    if fault == Some(Fault::DoneButNoAnswer) {
        return Response::raw("");
    }
    if let Some(Fault::SlowAnswer(time)) = fault {
        drop(state);
        shared.wait_until(time, is_released);
        state = shared.state();
    }
    state.responded(number, response.status());
    response
}
