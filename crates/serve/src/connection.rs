//! One connection from its first request to its last.

use std::panic::{self, AssertUnwindSafe};

use super::body::Body;
use super::connections::Place;
use super::head::{self, Refusal};
use super::server::Service;
use super::wire::{Patience, Wire};
use super::writer::{self, After, Form};
use super::{Limits, Request, Response};

pub(super) fn run(place: Place, limits: &Limits, service: &Service) {
    let _ = place.stream().set_nodelay(true);
    let mut wire = Wire::new(place);
    loop {
        match exchange(&mut wire, limits, service) {
            Ok(After::Next) => {}
            Ok(After::Close) => return wire.close(),
            Ok(After::Cut) | Err(Refusal::Gone) => return,
            Err(Refusal::Status(status)) => {
                let mut patience = Patience(limits.write_time);
                if wire
                    .write_all(&writer::refusal(status), &mut patience)
                    .is_ok()
                {
                    wire.close();
                }
                return;
            }
        }
    }
}

/// One request and its answer.
fn exchange(wire: &mut Wire, limits: &Limits, service: &Service) -> Result<After, Refusal> {
    let bytes = head::receive(wire, limits)?;
    let head = head::parse(&bytes, limits)?;
    let peer = wire
        .place()
        .stream()
        .peer_addr()
        .map_err(|_| Refusal::Gone)?;
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
