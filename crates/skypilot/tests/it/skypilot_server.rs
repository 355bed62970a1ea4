//! A scripted SkyPilot API server: requests with ids and records, like those of the real
//! one, and injected faults.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use satellite_core::ManualClock;
use satellite_core::Variables;
use satellite_serve::{Limits, Request, Response, Server};
use satellite_skypilot::SkyPilotBuilder;
use satellite_skypilot::SkyPilotClient;
use serde_json::{Value, json};

pub struct Fake {
    server: Server,
    state: Arc<Mutex<ServerState>>,
}

#[derive(Default)]
struct ServerState {
    outcomes: HashMap<String, Outcome>,
    faults: Vec<(String, When, Answer)>,
    streams: Vec<Answer>,
    records: Vec<Value>,
    calls: Vec<RecordedCall>,
}

/// The scripted outcome of the requests of a path.
#[derive(Clone)]
struct Outcome {
    status: &'static str,
    value: Value,
    error: Value,
    /// How often it is polled before it ends.
    polls: u64,
}

/// Called without the server's lock: it may wait for what the test does next.
type Answer = Arc<Mutex<dyn Fn() -> Response + Send>>;

/// Whether a call with an injected fault reaches the server.
#[derive(Clone, Copy, PartialEq)]
enum When {
    /// It does not.
    Before,
    /// It does, and the server's response is lost.
    After,
}

#[derive(Clone, Debug)]
pub struct RecordedCall {
    pub call: String,
    pub query: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

impl Fake {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(ServerState::default()));
        let shared = Arc::clone(&state);
        let server = Server::bind("127.0.0.1:0", Limits::default(), move |request| {
            answer(&shared, request)
        });
        Fake {
            server: server.unwrap(),
            state,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// A client with simulated waits, which take no time.
    pub fn builder(&self) -> SkyPilotBuilder {
        SkyPilotClient::builder()
            .variables(Variables::from_lookup(|_| None))
            .url(self.url())
            .clock(ManualClock::default())
    }

    pub fn client(&self) -> SkyPilotClient {
        self.builder().token("sky_token").build().unwrap()
    }

    /// Requests of this path return this.
    pub fn returns(&self, path: &str, value: Value) {
        self.ends(path, "SUCCEEDED", value, Value::Null, 2);
    }

    /// Requests of this path fail.
    pub fn fails(&self, path: &str, kind: &str, message: &str) {
        let error = json!({ "type": kind, "message": message, "object": "gASVpickle" });
        self.ends(path, "FAILED", Value::Null, error, 2);
    }

    pub fn ends(&self, path: &str, status: &'static str, value: Value, error: Value, polls: u64) {
        let outcome = Outcome {
            status,
            value,
            error,
            polls,
        };
        self.lock().outcomes.insert(path.into(), outcome);
    }

    /// The next call of this kind, such as `POST /launch`, gets this response.
    pub fn once(&self, call: &str, answer: impl Fn() -> Response + Send + 'static) {
        self.fault(call, When::Before, Arc::new(Mutex::new(answer)));
    }

    /// The next call of this kind is executed and gets this response.
    pub fn once_carried_out(&self, call: &str, answer: impl Fn() -> Response + Send + 'static) {
        self.fault(call, When::After, Arc::new(Mutex::new(answer)));
    }

    fn fault(&self, call: &str, when: When, answer: Answer) {
        self.lock().faults.push((call.into(), when, answer));
    }

    /// The next stream of `/logs` or `/api/stream`; the last one is repeated.
    pub fn streams(&self, answer: impl Fn() -> Response + Send + 'static) {
        self.lock().streams.push(Arc::new(Mutex::new(answer)));
    }

    /// The calls so far.
    pub fn calls(&self, call: &str) -> Vec<RecordedCall> {
        let state = self.lock();
        let is_it = |recorded: &&RecordedCall| recorded.call == call;
        state.calls.iter().filter(is_it).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap()
    }
}

fn answer(state: &Mutex<ServerState>, request: &mut Request<'_>) -> Response {
    let body = request.read_body().unwrap();
    let call = format!("{} {}", request.method(), request.path());
    let query = request.query().unwrap_or_default().to_owned();
    let fields = request.headers();
    let recorded = RecordedCall {
        call: call.clone(),
        query: query.clone(),
        headers: fields
            .map(|(name, value)| (name.to_lowercase(), value.into()))
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let mut state = state.lock().unwrap();
    state.calls.push(recorded.clone());
    let at = state.faults.iter().position(|(of, ..)| *of == call);
    let fault = at.map(|at| state.faults.remove(at));
    if let Some((_, When::Before, fault)) = &fault {
        drop(state);
        return fault.lock().unwrap()();
    }
    let request_id = query
        .split('&')
        .find_map(|pair| pair.split_once("request_id"));
    let request_id = request_id.map(|(_, id)| id.rsplit('=').next().unwrap().to_owned());
    let mut id = None;
    let response = match call.as_str() {
        "GET /api/health" => Response::json(200, health("62")),
        "GET /api/status" => status(&mut state, request_id, &query),
        "GET /api/get" => get_result(&state, &request_id.unwrap()),
        "GET /api/stream" => stream(state),
        "POST /validate" => Response::json(200, "null"),
        _ => {
            id = Some(submit(&mut state, request.path(), &recorded.body));
            match request.path() {
                "/logs" => stream(state),
                _ => Response::json(200, "null"),
            }
        }
    };
    if let Some((_, _, fault)) = fault {
        return fault.lock().unwrap()();
    }
    let response = response.header("x-skypilot-api-version", "62");
    match id {
        Some(id) => response.header("x-skypilot-request-id", id),
        None => response,
    }
}

/// A 503 with the server's own error: nothing was done.
pub fn shutting_down() -> Response {
    let detail = "Server is shutting down, please try again later.";
    Response::json(503, json!({ "detail": detail }).to_string())
}

/// `None`, pickled, as the server puts it into many fields.
pub const PICKLE: &str = "gAROLg==";

pub fn health(version: &str) -> String {
    json!({ "status": "healthy", "api_version": version, "version": "0.14.1", "new": 1 })
        .to_string()
}

fn submit(state: &mut ServerState, path: &str, body: &Value) -> String {
    let id = format!("id-{}", state.records.len());
    let outcome = state.outcomes.get(path).cloned().unwrap_or(Outcome {
        status: "SUCCEEDED",
        value: match path {
            "/logs" => json!(0), // the exit code
            "/start" => json!(PICKLE),
            _ => Value::Null,
        },
        error: Value::Null,
        polls: 0,
    });
    state.records.push(json!({
        "request_id": id,
        "name": format!("sky.{}", path.trim_start_matches('/')),
        "status": "RUNNING",
        "then": outcome.status,
        "polls": outcome.polls,
        "cluster_name": body["cluster_name"],
        "request_body": body.to_string(),
        "return_value": outcome.value.to_string(),
        "error": outcome.error.to_string(),
    }));
    id
}

fn status(state: &mut ServerState, request_id: Option<String>, query: &str) -> Response {
    let Some(id) = request_id else {
        let cluster = query.rsplit('=').next().unwrap();
        let records = state.records.iter();
        let about: Vec<_> = records.filter(|r| r["cluster_name"] == cluster).collect();
        return Response::json(200, json!(about).to_string());
    };
    let record = state.records.iter_mut().find(|r| r["request_id"] == *id);
    let records: Vec<_> = record
        .map(|record| {
            match record["polls"].as_u64() {
                Some(0) => record["status"] = record["then"].clone(),
                Some(polls) => record["polls"] = (polls - 1).into(),
                None => {}
            }
            record.clone()
        })
        .into_iter()
        .collect();
    Response::json(200, json!(records).to_string())
}

fn get_result(state: &ServerState, id: &str) -> Response {
    let Some(record) = state.records.iter().find(|r| r["request_id"] == *id) else {
        let detail = format!("Request '{id}' not found");
        return Response::json(404, json!({ "detail": detail }).to_string());
    };
    let mut record = record.clone();
    record["status"] = record["then"].clone();
    match record["error"] != "null" {
        true => Response::json(500, json!({ "detail": record }).to_string()),
        false => Response::json(200, record.to_string()),
    }
}

fn stream(mut state: MutexGuard<'_, ServerState>) -> Response {
    let answer = match state.streams.len() {
        0 => return Response::text(200, ""),
        1 => Arc::clone(&state.streams[0]),
        _ => state.streams.remove(0),
    };
    drop(state);
    answer.lock().unwrap()()
}
