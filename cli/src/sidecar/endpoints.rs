//! What the sidecar serves beside the endpoints of a processor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use satellite_sdk::serve::{Request, Response};
use satellite_sdk::state::ExecutionContext;
use serde_json::{Value, json};

use super::app_check::AppClient;
use super::folder::FolderState;
use super::shared::{Event, Progress};

/// How long `POST /snapshot` waits.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);
/// The remaining connections are for probes.
const MAX_SLOW_REQUESTS: usize = 8;

/// Responds to requests before the endpoints of the processor do.
pub struct Endpoints {
    pub client: Arc<AppClient>,
    pub events: Sender<Event>,
    pub progress: Arc<Progress>,
    pub cx: Arc<OnceLock<ExecutionContext<FolderState>>>,
    pub keeps_state: bool,
    slow: AtomicUsize,
}

impl Endpoints {
    pub fn new(
        client: Arc<AppClient>,
        events: Sender<Event>,
        progress: Arc<Progress>,
        cx: Arc<OnceLock<ExecutionContext<FolderState>>>,
        keeps_state: bool,
    ) -> Self {
        Endpoints {
            client,
            events,
            progress,
            cx,
            keeps_state,
            slow: AtomicUsize::new(0),
        }
    }

    pub fn respond(&self, request: &mut Request<'_>, is_trusted: bool) -> Option<Response> {
        let method = request.method();
        match request.path() {
            "/state" if !self.keeps_state => Some(error(404, "this sidecar keeps no state")),
            "/state" if method == "POST" => Some(error(
                409,
                "the state of a sidecar is a folder: replace it with `satellite state put`",
            )),
            "/restored" => Some(self.restored()),
            "/snapshot" if !self.keeps_state => Some(error(404, "this sidecar keeps no state")),
            "/snapshot" if method != "POST" => {
                Some(error(405, "method not allowed").header("allow", "POST"))
            }
            "/snapshot" if !is_trusted => {
                Some(error(401, "a token is required").header("www-authenticate", "Bearer"))
            }
            "/snapshot" => Some(self.slow(|| self.snapshot())),
            "/prestop" if matches!(method, "GET" | "POST") => self.prestop(is_trusted),
            _ => None,
        }
    }

    /// Calls the application, then leaves the request to the processor. Anybody may call it
    /// unless there is a token: the kubelet presents none by default.
    fn prestop(&self, is_trusted: bool) -> Option<Response> {
        let settings = self.client.settings();
        if settings.prestop_path.is_none() || (settings.has_token && !is_trusted) {
            return None;
        }
        let mut failure = None;
        let busy = self.slow(|| {
            failure = self.client.prestop(settings.prestop_timeout).err();
            Response::new(200)
        });
        if busy.status() == 503 {
            return Some(busy);
        }
        // Told, or not: a stop follows in any case.
        failure.map(|why| {
            let message = format!("the application could not be told to stop: {why}");
            answer(500, json!({ "status": "error", "message": message }))
        })
    }

    fn restored(&self) -> Response {
        let may_act = self.cx.get().is_some_and(ExecutionContext::may_act);
        match self.progress.is_restored() && may_act {
            true => answer(200, json!({ "restored": true })),
            false => answer(503, json!({ "restored": false })),
        }
    }

    fn snapshot(&self) -> Response {
        let (reply, result) = sync_channel(1);
        if self.events.send(Event::Snapshot(Some(reply))).is_err() {
            return error(503, "the sidecar is stopping");
        }
        match result.recv_timeout(SNAPSHOT_TIMEOUT) {
            Ok(Ok(report)) => answer(
                200,
                json!({
                    "status": "ok",
                    "files": report.files,
                    "bytes": report.size,
                    "archive_bytes": report.archive_bytes,
                }),
            ),
            Ok(Err(why)) => error(409, &why),
            Err(_) => error(503, "no snapshot was taken: the application is not running"),
        }
    }

    fn slow(&self, work: impl FnOnce() -> Response) -> Response {
        let busy = self.slow.fetch_add(1, Ordering::SeqCst);
        let response = match busy < MAX_SLOW_REQUESTS {
            true => work(),
            false => error(503, "too many at once"),
        };
        self.slow.fetch_sub(1, Ordering::SeqCst);
        response
    }
}

fn error(status: u16, text: &str) -> Response {
    answer(status, json!({ "error": text }))
}

fn answer(status: u16, document: Value) -> Response {
    Response::json(status, document.to_string())
}
