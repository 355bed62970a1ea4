//! Requests that were submitted to the server.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Deadline, SkyPilotClient, absent};
use super::logs::readable;
use super::models::{Launched, RequestRecord};
use satellite_core::Result;
use satellite_core::client::Stream;
use satellite_core::http::{Call, Method, Op, Pace, Source, behind, retry, with_query};

/// How often the status of a request is polled.
const PACE: Pace = Pace {
    first: Duration::from_millis(200),
    max: Duration::from_secs(5),
};

/// How long to search for a request whose response was lost.
const SEARCH_LIMIT: Duration = Duration::from_secs(10);

const SEARCH_PACE: Pace = Pace {
    first: Duration::from_millis(500),
    max: Duration::from_secs(4),
};

/// Work that the server has accepted. It continues whether or not the client waits
/// for it.
///
/// ```no_run
/// # use satellite_skypilot::SkyPilotClient;
/// # let sky = SkyPilotClient::from_env()?;
/// let request = sky.terminate("llama3-8b-prod")?;
/// println!("{}", request.id());
/// request.wait()?;
/// # Ok::<(), satellite_skypilot::Error>(())
/// ```
#[must_use = "the work continues in the background; `wait` returns its result"]
pub struct Request<T = ()> {
    client: SkyPilotClient,
    id: String,
    result: PhantomData<fn() -> T>,
}

impl<T> Request<T> {
    pub(super) fn new(client: SkyPilotClient, id: String) -> Self {
        Request {
            client,
            id,
            result: PhantomData,
        }
    }

    /// Its id, for [`SkyPilotClient::wait_for_request`] in another process.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its record, with its status.
    ///
    /// # Errors
    /// Transport errors.
    pub fn record(&self) -> Result<RequestRecord> {
        self.client.request(&self.id)
    }

    /// What the server prints while it runs the request, until it ends.
    ///
    /// # Errors
    /// Transport errors.
    pub fn log(&self) -> Result<Stream<String>> {
        self.client.request_log(&self.id, true)
    }

    /// Cancels it; resources that it has already created stay.
    ///
    /// # Errors
    /// Transport errors.
    pub fn cancel(&self) -> Result<()> {
        self.client.cancel_request(&self.id).map(drop)
    }
}

/// The result type of a request. Not meant to be implemented outside this crate.
pub trait RequestResult: Sized {
    #[doc(hidden)]
    fn read(client: &SkyPilotClient, record: RequestRecord) -> Result<Self>;
}

/// Ignores what the server returns, such as a pickle.
impl RequestResult for () {
    fn read(_: &SkyPilotClient, _: RequestRecord) -> Result<Self> {
        Ok(())
    }
}

impl RequestResult for Launched {
    fn read(client: &SkyPilotClient, record: RequestRecord) -> Result<Self> {
        client.value(record)
    }
}

impl<T: RequestResult> Request<T> {
    /// Waits for its result.
    ///
    /// # Errors
    /// As [`SkyPilotClient::wait_for_request`].
    pub fn wait(&self) -> Result<T> {
        self.wait_with(|_| ())
    }

    /// Waits for its result and calls `progress` each time its status or message
    /// changes.
    ///
    /// # Errors
    /// As [`SkyPilotClient::wait_for_request`].
    pub fn wait_with(&self, progress: impl FnMut(&RequestRecord)) -> Result<T> {
        let record = self.client.wait_for_request(&self.id, progress)?;
        T::read(&self.client, record)
    }

    pub(super) fn wait_by(&self, deadline: Deadline) -> Result<T> {
        let record = self.client.wait_by(&self.id, deadline, |_| ())?;
        T::read(&self.client, record)
    }
}

/// Requests, by their ids.
impl SkyPilotClient {
    /// Submits a request that changes something. It is sent once, unless it certainly
    /// had no effect. If the outcome is unknown, the client searches the server for the
    /// request, in the last quarter of the time limit.
    pub(super) fn submit<T>(&self, path: &str, cluster: &str, mut body: Value) -> Result<Request<T>>
    where
        T: RequestResult,
    {
        let deadline = self.deadline(self.limits.request);
        let marker = format!(
            "satellite-sdk {:016x}{:016x}",
            retry::random_bits(),
            retry::random_bits()
        );
        body["entrypoint_command"] = marker.clone().into();
        let limit = self.limits.request.mul_f64(0.75);
        let id = self
            .send_body(path, Op::Create, body, self.deadline(limit))
            .or_else(|error| {
                let is_unknown = error.is_outcome_unknown() && !error.is_stopped();
                let found = is_unknown.then(|| self.find(cluster, &marker, deadline));
                found.flatten().ok_or(error)
            })?;
        Ok(Request::new(self.clone(), id))
    }

    /// The request that contains this marker; it may appear with a delay.
    fn find(&self, cluster: &str, marker: &str, deadline: Deadline) -> Option<String> {
        let limit = self.left(deadline).min(SEARCH_LIMIT);
        let search = |left: Duration| {
            let records = self.requests_within(cluster, left)?;
            let has_marker = |record: &RequestRecord| {
                let body = record.request_body.as_ref();
                body.is_some_and(|body| body.expose().contains(marker))
            };
            let found = records.into_iter().find(has_marker);
            Ok(found.map(|record| record.request_id))
        };
        let what = format!("a request about {cluster}");
        self.transport
            .poll_until(&what, limit, SEARCH_PACE, search)
            .ok()
    }

    /// Waits for a request to end, for at most
    /// [`TimeLimits::work`](satellite_core::client::TimeLimits::work), and calls
    /// `progress` with its record once at the start and whenever its status or message
    /// changes.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// let id = "5b1c…"; // from `Request::id`, saved by another process
    /// let record = sky.wait_for_request(id, |r| println!("{}", r.status))?;
    /// println!("{} succeeded", record.name);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of the request; `server_type()` is `RequestCancelled` if it was
    /// cancelled. After the limit `is_timeout()`: the request continues.
    pub fn wait_for_request(
        &self,
        request_id: &str,
        progress: impl FnMut(&RequestRecord),
    ) -> Result<RequestRecord> {
        let deadline = self.deadline(self.limits.work);
        self.wait_by(request_id, deadline, progress)
    }

    pub(super) fn wait_by(
        &self,
        request_id: &str,
        deadline: Deadline,
        mut progress: impl FnMut(&RequestRecord),
    ) -> Result<RequestRecord> {
        let what = format!("request {request_id}");
        let mut last = None;
        self.transport
            .poll_until(&what, self.left(deadline), PACE, |left| {
                let record = self.request_within(request_id, left)?;
                let seen = Some((record.status.clone(), record.status_msg.clone()));
                if seen != last {
                    progress(&record);
                    last = seen;
                }
                Ok(record.status.is_final().then_some(()))
            })?;
        self.result(request_id, deadline)
    }

    /// The record of a request, with its status.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{}", sky.request("5b1c…")?.status);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn request(&self, request_id: &str) -> Result<RequestRecord> {
        self.request_within(request_id, self.limits.request)
    }

    fn request_within(&self, request_id: &str, left: Duration) -> Result<RequestRecord> {
        let path = with_query("/api/status", &[("request_ids", request_id)]);
        let call = Call::new(Method::GET, &path).within(self.limits.request.min(left));
        let response = self.transport.send(&call)?;
        let records: Vec<RequestRecord> = response.json()?;
        records.into_iter().next().ok_or_else(|| {
            let message = format!("request {request_id} does not exist");
            let request = format!("GET {path} at {}", self.url());
            absent(request, "RequestDoesNotExist", &message)
        })
    }

    /// The requests about a cluster that the server has on record, newest first. Use it
    /// to find a request whose response was lost.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// for request in sky.requests("llama3-8b-prod")? {
    ///     println!("{} {} {}", request.request_id, request.name, request.status);
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Transport errors.
    pub fn requests(&self, cluster_name: &str) -> Result<Vec<RequestRecord>> {
        self.requests_within(cluster_name, self.limits.request)
    }

    fn requests_within(&self, cluster_name: &str, within: Duration) -> Result<Vec<RequestRecord>> {
        let query = [("all_status", "true"), ("cluster_name", cluster_name)];
        self.get("/api/status", &query, within)?.json()
    }

    /// Cancels a request; resources that it has already created stay. Returns the ids of
    /// the cancelled requests: none if it had already ended.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// assert_eq!(sky.cancel_request("5b1c…")?, ["5b1c…"]);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Transport errors.
    pub fn cancel_request(&self, request_id: &str) -> Result<Vec<String>> {
        // Null instead of a list would cancel the requests of all users.
        let body = json!({ "request_ids": [request_id] });
        let killed: Option<_> = self.ask("/api/cancel", Op::Idempotent, body)?;
        Ok(killed.unwrap_or_default())
    }

    /// What the server prints while it runs a request; with `follow`, until the request
    /// ends.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// for line in sky.request_log("5b1c…", true)? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn request_log(&self, request_id: &str, follow: bool) -> Result<Stream<String>> {
        self.request_log_within(request_id, follow, self.limits.request)
    }

    pub(super) fn request_log_within(
        &self,
        request_id: &str,
        follow: bool,
        within: Duration,
    ) -> Result<Stream<String>> {
        let follow = if follow { "true" } else { "false" };
        let query = [
            ("request_id", request_id),
            ("format", "plain"),
            ("follow", follow),
        ];
        let path = with_query("/api/stream", &query);
        let client = self.clone();
        let open = move |delivered: u64| -> Result<Source<String>> {
            let call = Call::new(Method::GET, &path).within(within);
            let response = client.transport.send(&call.streamed(client.limits.idle))?;
            let lines = readable(response.into_lines()?, false);
            Ok(Box::new(behind(lines, delivered)))
        };
        let source = open(0)?;
        let transport = Arc::clone(&self.transport);
        Ok(Stream::new(transport, source, move |error, delivered| {
            error.map(|_| open(delivered)).transpose()
        }))
    }
}

impl<T> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.id).finish()
    }
}
