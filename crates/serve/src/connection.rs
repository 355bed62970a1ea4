//! One connection from its first request to its last.

use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};

use super::body::Body;
use super::connections::Place;
use super::head::{self, Refusal};
use super::server::Service;
use super::wire::{PIECE, Patience, Wire};
use super::writer::{self, After, Form};
use super::{Limits, Request, Response};

pub(super) fn run(place: Place, limits: &Limits, service: &Service) {
    let _ = place.stream().set_nodelay(true);
    let Ok(peer) = place.stream().peer_addr() else {
        return;
    };
    let mut wire = Wire::new(place);
    let mut head = Vec::new();
    loop {
        let after = exchange(&mut wire, &mut head, peer, limits, service);
        // A connection at rest holds no more than this.
        head.clear();
        head.shrink_to(PIECE);
        match after {
            Ok(After::Next) => {}
            Ok(After::Close) => return wire.close(),
            Ok(After::Cut) | Err(Refusal::Gone) => return,
            Err(Refusal::Status(status)) => return refuse(wire, limits, status),
        }
    }
}

/// Answers without a request and closes.
pub(super) fn turn_away(place: Place, limits: &Limits, status: u16) {
    refuse(Wire::new(place), limits, status);
}

fn refuse(wire: Wire, limits: &Limits, status: u16) {
    let refusal = writer::refusal(status, &wire.date);
    let mut patience = Patience(limits.write_time);
    if wire.write_all(&refusal, &mut patience).is_ok() {
        wire.close();
    }
}

/// One request and its answer.
fn exchange(
    wire: &mut Wire,
    head: &mut Vec<u8>,
    peer: SocketAddr,
    limits: &Limits,
    service: &Service,
) -> Result<After, Refusal> {
    head::receive(wire, head, limits)?;
    let head = head::parse(head, limits)?;
    let connection = wire.place().number();
    let body = Body::new(wire, &head, limits)?;
    let mut request = Request {
        head: &head,
        body,
        peer,
        connection,
    };

    // What a panicking service leaves half done is its own; nothing of ours is shared with it.
    let answer = panic::catch_unwind(AssertUnwindSafe(|| service(&mut request)));
    let mut body = request.body;
    if let Some(refusal) = body.refusal() {
        return Err(refusal);
    }
    let response = answer.unwrap_or_else(|_| {
        log::error!("the service panicked; answering 500");
        Response::new(500)
    });
    let close = head.wants_close || !body.is_drainable();
    let form = Form {
        is_head: head.method == "HEAD",
        is_http_10: head.is_http_10,
        close,
    };
    match writer::write(body.wire(), response, form, Patience(limits.write_time)) {
        Ok(After::Next) if !body.drain() => Ok(After::Close),
        Ok(after) => Ok(after),
        Err(_) => Ok(After::Cut),
    }
}
