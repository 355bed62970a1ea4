//! The HTTP server of a model.

mod body;
mod gate;
mod metrics;
mod openapi;

#[cfg(any(fuzzing, test))]
pub use openapi::document as openapi;

use std::fmt;
use std::io::{self, Cursor, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::serve::{Limits, Request, Response, Server};

use crate::artifact::Artifact;
use crate::failure::{Failure, Kind, Result};
use crate::pipeline::{ComputeError, Pipeline};
use crate::settings::Settings;
use crate::tensor::{Inputs, decode_body};
use body::BodyMemory;
use gate::Gate;
use metrics::{Gauge, Metrics, resident_bytes};

/// When a client should try again after a 503.
const RETRY_AFTER_SECONDS: &str = "1";

/// A listening server. It responds 503 until it has a model.
pub struct ModelServer {
    server: Server,
    shared: Arc<Shared>,
    drain: Duration,
}

struct Shared {
    model: OnceLock<Served>,
    stopping: AtomicBool,
    /// Requests whose response was not handed to the connection yet.
    unanswered: Arc<AtomicUsize>,
    gate: Gate,
    bodies: BodyMemory,
    metrics: Metrics,
}

/// The model with its documents.
struct Served {
    pipeline: Pipeline,
    manifest: Vec<u8>,
    openapi: Vec<u8>,
    reference_profile: Option<Vec<u8>>,
}

impl ModelServer {
    /// Listens.
    pub fn bind(settings: &Settings) -> Result<ModelServer> {
        let shared = Arc::new(Shared {
            model: OnceLock::new(),
            stopping: AtomicBool::new(false),
            unanswered: Arc::default(),
            gate: Gate::new(settings.workers, settings.queue, settings.queue_wait),
            bodies: BodyMemory::new(settings.body_bytes, settings.body_memory),
            metrics: Metrics::default(),
        });
        let limits = Limits {
            connections: settings.connections,
            // `BodyMemory` has the limit: its response has a body.
            body_bytes: u64::MAX,
            ..Limits::default()
        };
        let service = shared.clone();
        let server = Server::bind(settings.listen, limits, move |request| {
            service.respond(request)
        });
        let server = server.map_err(|e| {
            let text = format!("cannot listen on {}: {e}", settings.listen);
            Failure::new(Kind::System, text)
        })?;
        log::info!("listening on {}", server.addr());
        Ok(ModelServer {
            server,
            shared,
            drain: settings.drain,
        })
    }

    /// Serves this model from now on.
    pub fn serve(&self, artifact: Artifact, pipeline: Pipeline) {
        let served = Served {
            manifest: artifact.manifest_json.to_string().into_bytes(),
            openapi: openapi::document(&artifact.manifest)
                .to_string()
                .into_bytes(),
            reference_profile: artifact.reference_profile,
            pipeline,
        };
        if self.shared.model.set(served).is_ok() {
            log::info!("ready on {}", self.server.addr());
        }
    }

    /// Refuses new requests, and waits for those in progress.
    pub fn stop(self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + self.drain;
        // A request that was being accepted when the signal came is counted by then.
        let mut idle_since = Instant::now();
        while idle_since.elapsed() < Duration::from_millis(100) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
            if self.shared.unanswered.load(Ordering::SeqCst) > 0 {
                idle_since = Instant::now();
            }
        }
        let left = self.shared.unanswered.load(Ordering::SeqCst);
        if left > 0 {
            log::warn!("stopped with {left} requests in progress (LUML_MODEL_DRAIN_SEC)");
        }
    }
}

impl Shared {
    fn respond(&self, request: &mut Request<'_>) -> Response {
        let known = [
            ("/healthz", "GET"),
            ("/manifest", "GET"),
            ("/openapi.json", "GET"),
            ("/reference_profile", "GET"),
            ("/metrics", "GET"),
            ("/compute", "POST"),
        ];
        let path = request.path();
        let Some((_, method)) = known.iter().find(|(own, _)| *own == path) else {
            return error(404, "there is no such path");
        };
        let is_head = *method == "GET" && request.method() == "HEAD";
        if request.method() != *method && !is_head {
            let text = format!("{path} takes {method} only");
            return error(405, text).header("allow", *method);
        }
        match (path, self.model.get()) {
            ("/metrics", model) => Response::text(200, self.figures(model)),
            ("/compute", Some(model)) => self.compute(model, request),
            (_, None) => retry_later("the model is being loaded"),
            ("/healthz", _) if self.stopping.load(Ordering::SeqCst) => retry_later("stopping"),
            ("/healthz", _) => Response::json(200, r#"{"status":"healthy"}"#),
            ("/manifest", Some(model)) => Response::json(200, model.manifest.clone()),
            ("/openapi.json", Some(model)) => Response::json(200, model.openapi.clone()),
            (_, Some(model)) => match &model.reference_profile {
                Some(profile) => Response::json(200, profile.clone()),
                None => error(404, "the model has no reference profile"),
            },
        }
    }

    fn compute(&self, model: &Served, request: &mut Request<'_>) -> Response {
        let unanswered = Counted::new(&self.unanswered);
        let result = match self.stopping.load(Ordering::SeqCst) {
            true => Err(retry_later("stopping")),
            false => self.outputs(model, request),
        };
        let response = match result {
            // The bytes leave the server after this function: count them until they are read.
            Ok(outputs) if self.stopping.load(Ordering::SeqCst) => {
                let length = outputs.len() as u64;
                let bytes = Cursor::new(outputs);
                let response = Response::new(200).header("content-type", "application/json");
                let reader = Answer {
                    bytes,
                    _unanswered: unanswered,
                };
                response.reader(reader, Some(length))
            }
            Ok(outputs) => Response::json(200, outputs),
            Err(response) => response,
        };
        self.metrics.responded(response.status());
        response
    }

    fn outputs(&self, model: &Served, request: &mut Request<'_>) -> Result<Vec<u8>, Response> {
        let body = self.bodies.read(request)?;
        let Some(_permit) = self.gate.enter() else {
            return Err(retry_later("too many requests are waiting"));
        };
        let started = Instant::now();
        let mut outputs = Vec::new();
        let result = compute(&model.pipeline, &body.bytes, &mut outputs);
        self.metrics.computed(started.elapsed());
        match result {
            Ok(()) => Ok(outputs),
            Err(ComputeError::Input(problem)) => Err(error(400, problem)),
            Err(ComputeError::Model(text)) => {
                log::error!("the model failed: {text}");
                Err(error(500, format_args!("the model failed: {text}")))
            }
        }
    }

    fn figures(&self, model: Option<&Served>) -> String {
        let counts = self.gate.counts();
        let (plans, built) = model.map_or((0, 0), |model| model.pipeline.plans());
        let gauge = |name, help, value| Gauge { name, help, value };
        let mut gauges = vec![
            gauge(
                "luml_model_ready",
                "1 once the model is loaded.",
                model.is_some().into(),
            ),
            gauge(
                "luml_model_computing",
                "Requests that compute now.",
                counts.running as u64,
            ),
            gauge(
                "luml_model_waiting",
                "Requests that wait to compute.",
                counts.waiting as u64,
            ),
            gauge(
                "luml_model_plans",
                "Plans in memory, one for each size of inputs.",
                plans as u64,
            ),
            gauge(
                "luml_model_plans_built",
                "Plans built since the start.",
                built,
            ),
        ];
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory of the process.";
            gauges.push(gauge("luml_model_resident_bytes", help, bytes));
        }
        self.metrics.text(&gauges)
    }
}

/// Computes a request, or each request of a list.
pub fn compute(pipeline: &Pipeline, body: &[u8], to: &mut Vec<u8>) -> Result<(), ComputeError> {
    match decode_body(body, pipeline.inputs()).map_err(ComputeError::Input)? {
        Inputs::One(inputs) => pipeline.compute(inputs, to),
        Inputs::Many(requests) => {
            to.push(b'[');
            for (at, inputs) in requests.into_iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                pipeline.compute(inputs, to).map_err(|error| match error {
                    ComputeError::Input(mut problem) => {
                        problem.path = format!("[{at}].{}", problem.path);
                        ComputeError::Input(problem)
                    }
                    ComputeError::Model(text) => ComputeError::Model(format!("[{at}]: {text}")),
                })?;
            }
            to.push(b']');
            Ok(())
        }
    }
}

/// Counts as long as it exists.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body that counts as unanswered until the connection has taken it.
struct Answer {
    bytes: Cursor<Vec<u8>>,
    _unanswered: Counted,
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

fn error(status: u16, text: impl fmt::Display) -> Response {
    let mut body = br#"{"error":"#.to_vec();
    crate::tensor::string(&text.to_string(), &mut body);
    body.push(b'}');
    Response::json(status, body)
}

fn retry_later(text: impl fmt::Display) -> Response {
    error(503, text).header("retry-after", RETRY_AFTER_SECONDS)
}
