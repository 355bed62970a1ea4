//! The common base of the mock compute services: a server, recorded requests, and faults.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Fault, RecordedRequest};
use crate::{Limits, Request, Response, Server};

/// A mock server on loopback.
#[derive(Debug)]
pub struct Host {
    server: Server,
    state: Arc<State>,
}

/// The recorded requests and the pending faults.
#[derive(Debug, Default)]
struct State {
    requests: Mutex<Vec<RecordedRequest>>,
    /// Method, a part of the path, and the fault for the next matching request.
    faults: Mutex<VecDeque<(String, String, Fault)>>,
}

/// A request as the mock service receives it.
pub struct ReceivedRequest<'a> {
    /// The request method.
    pub method: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The query without `?`; empty if there is none.
    pub query: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `x-api-key` header.
    pub api_key: Option<&'a str>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Host {
    /// Listens on a free loopback port and handles each request with `answer`, unless a fault
    /// matches it.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub fn start(
        answer: impl Fn(&ReceivedRequest<'_>) -> Response + Send + Sync + 'static,
    ) -> io::Result<Host> {
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let limits = Limits {
            connections: 256,
            ..Limits::default()
        };
        let server = Server::bind("127.0.0.1:0", limits, move |request| {
            shared.serve(request, &answer)
        })?;
        Ok(Host { server, state })
    }

    /// The base URL, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// All requests received so far, oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        locked(&self.state.requests).clone()
    }

    /// Injects `fault` into the next request with this method and with `path` in its target.
    pub fn fault(&self, method: &str, path: &str, fault: Fault) {
        locked(&self.state.faults).push_back((method.into(), path.into(), fault));
    }
}

impl State {
    fn serve(
        &self,
        request: &mut Request<'_>,
        answer: &dyn Fn(&ReceivedRequest<'_>) -> Response,
    ) -> Response {
        let authorization = request.header("authorization");
        let mut recorded = RecordedRequest::new(
            request.method(),
            request.target(),
            request.connection(),
            authorization.is_some(),
        );
        let received = ReceivedRequest {
            method: request.method(),
            path: request.path(),
            query: request.query().unwrap_or_default(),
            authorization,
            api_key: request.header("x-api-key"),
            body: match request.read_body() {
                Ok(body) => body,
                Err(_) => return Response::new(400),
            },
        };
        recorded.body = received.body.clone();
        let number = {
            let mut requests = locked(&self.requests);
            requests.push(recorded);
            requests.len() - 1
        };
        let fault = self.fault_for(received.method, request.target());
        if let Some(Fault::Stall(time)) = fault {
            thread::sleep(time);
        }
        let response = match fault.as_ref().and_then(Fault::answer) {
            Some(response) => response,
            None => answer(&received),
        };
        if let Some(Fault::SlowAnswer(time)) = fault {
            thread::sleep(time);
        }
        let is_lost = matches!(
            fault,
            Some(Fault::Reset | Fault::Drop | Fault::DoneButNoAnswer)
        );
        locked(&self.requests)[number].status = if is_lost { 0 } else { response.status() };
        match fault {
            Some(Fault::DoneButNoAnswer) => Response::raw(""),
            _ => response,
        }
    }

    fn fault_for(&self, method: &str, target: &str) -> Option<Fault> {
        let mut faults = locked(&self.faults);
        let at = faults
            .iter()
            .position(|(m, path, _)| m == method && target.contains(path.as_str()))?;
        faults.remove(at).map(|(_, _, fault)| fault)
    }
}

/// The value of a query parameter, as sent.
pub fn query<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// Locks a mutex; a panic of another holder is ignored.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
