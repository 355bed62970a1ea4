//! Serves the requests of one connection.

use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};

use super::body::Body;
use super::connections::Guard;
use super::head::{self, Rejection};
use super::wire::{BUFFER_BYTES, TimeBudget, Wire};
use super::writer::{self, After, Form};
use super::{Limits, Request, Response};

/// What answers the requests of a server.
pub(super) type Service = dyn Fn(&mut Request<'_>) -> Response + Send + Sync;

pub(super) fn run(guard: Guard, limits: &Limits, service: &Service) {
    let _ = guard.stream().set_nodelay(true);
    let Ok(peer) = guard.stream().peer_addr() else {
        return;
    };
    let mut wire = Wire::new(guard);
    let mut head = Vec::new();
    loop {
        let after = exchange(&mut wire, &mut head, peer, limits, service);
        // An idle connection keeps no larger buffer.
        head.clear();
        head.shrink_to(BUFFER_BYTES);
        match after {
            Ok(After::Next) => {}
            Ok(After::Close) => return wire.close(),
            Ok(After::Abort) | Err(Rejection::Disconnected) => return,
            Err(Rejection::Status(status)) => return refuse(wire, limits, status),
        }
    }
}

/// Sends an error response without reading a request, and closes.
pub(super) fn reject(guard: Guard, limits: &Limits, status: u16) {
    refuse(Wire::new(guard), limits, status);
}

fn refuse(wire: Wire, limits: &Limits, status: u16) {
    let rejection = writer::rejection(status, &wire.date);
    let mut budget = TimeBudget(limits.write_time);
    if wire.write_all(&rejection, &mut budget).is_ok() {
        wire.close();
    }
}

/// Handles one request and its response.
fn exchange(
    wire: &mut Wire,
    head: &mut Vec<u8>,
    peer: SocketAddr,
    limits: &Limits,
    service: &Service,
) -> Result<After, Rejection> {
    head::receive(wire, head, limits)?;
    let head = head::parse(head, limits)?;
    let connection = wire.guard().number();
    let body = Body::new(wire, &head, limits)?;
    let mut request = Request {
        head: &head,
        body,
        peer,
        connection,
    };

    // Unwind safe: the server shares no state with the service.
    let answer = panic::catch_unwind(AssertUnwindSafe(|| service(&mut request)));
    let mut body = request.body;
    if let Some(rejection) = body.rejection() {
        return Err(rejection);
    }
    let response = answer.unwrap_or_else(|_| {
        log::error!("the service panicked; responding with 500");
        Response::new(500)
    });
    let close = head.wants_close || !body.is_drainable();
    let form = Form {
        is_head: head.method == "HEAD",
        is_http_10: head.is_http_10,
        close,
    };
    match writer::write(body.wire(), response, form, TimeBudget(limits.write_time)) {
        Ok(After::Next) if !body.drain() => Ok(After::Close),
        Ok(after) => Ok(after),
        Err(_) => Ok(After::Abort),
    }
}
