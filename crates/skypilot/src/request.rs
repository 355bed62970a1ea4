//! A request that was handed in.

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

/// How often a request is asked after.
const PACE: Pace = Pace {
    first: Duration::from_millis(200),
    max: Duration::from_secs(5),
};

/// How long a request is looked for whose answer was lost.
const LOOK_FOR: Duration = Duration::from_secs(10);

const LOOK_PACE: Pace = Pace {
    first: Duration::from_millis(500),
    max: Duration::from_secs(4),
};

/// Work that the server has begun, or will: it goes on whether or not somebody
/// waits for it.
///
/// ```no_run
/// # use satellite_skypilot::SkyPilotClient;
/// # let sky = SkyPilotClient::from_env()?;
/// let request = sky.terminate("llama3-8b-prod")?;
/// println!("{}", request.id());
/// request.wait()?;
/// # Ok::<(), satellite_skypilot::Error>(())
/// ```
#[must_use = "the work goes on; `wait` tells what became of it"]
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

    /// Where it stands.
    ///
    /// # Errors
    /// Transport errors.
    pub fn record(&self) -> Result<RequestRecord> {
        self.client.request(&self.id)
    }

    /// What the server prints on the way, to the end.
    ///
    /// # Errors
    /// Transport errors.
    pub fn log(&self) -> Result<Stream<String>> {
        self.client.request_log(&self.id, true)
    }

    /// Cancels it; what it has made so far stays.
    ///
    /// # Errors
    /// Transport errors.
    pub fn cancel(&self) -> Result<()> {
        self.client.cancel_request(&self.id).map(drop)
    }
}

/// What a request returns, from its record. Not for implementing outside.
pub trait RequestResult: Sized {
    #[doc(hidden)]
    fn read(client: &SkyPilotClient, record: RequestRecord) -> Result<Self>;
}

/// Whatever the server returns, a pickle for example, is left alone.
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
    /// Waits for its end.
    ///
    /// # Errors
    /// As [`SkyPilotClient::wait_for_request`].
    pub fn wait(&self) -> Result<T> {
        self.wait_with(|_| ())
    }

    /// Waits for its end, and calls `progress` each time that its status or its
    /// message has changed.
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
    /// Hands in a request that changes something: sent once, unless it is sure
    /// that nothing came of it. Where that is not known, the server is asked
    /// whether it has the request, in a quarter of the time that is kept for it.
    pub(super) fn submit<T>(&self, path: &str, cluster: &str, mut body: Value) -> Result<Request<T>>
    where
        T: RequestResult,
    {
        let deadline = self.deadline(self.limits.request);
        let mark = format!(
            "satellite-sdk {:016x}{:016x}",
            retry::random_bits(),
            retry::random_bits()
        );
        body["entrypoint_command"] = mark.clone().into();
        let limit = self.limits.request.mul_f64(0.75);
        let id = self
            .hand_in(path, Op::Create, body, self.deadline(limit))
            .or_else(|error| {
                let is_open = error.is_outcome_unknown() && !error.is_stopped();
                let found = is_open.then(|| self.find(cluster, &mark, deadline));
                found.flatten().ok_or(error)
            })?;
        Ok(Request::new(self.clone(), id))
    }

    /// The request that bears this mark; it may appear late.
    fn find(&self, cluster: &str, mark: &str, deadline: Deadline) -> Option<String> {
        let limit = self.left(deadline).min(LOOK_FOR);
        let look = |left: Duration| {
            let records = self.requests_within(cluster, left)?;
            let bears_it = |record: &RequestRecord| {
                let body = record.request_body.as_ref();
                body.is_some_and(|body| body.expose().contains(mark))
            };
            let found = records.into_iter().find(bears_it);
            Ok(found.map(|record| record.request_id))
        };
        let what = format!("a request about {cluster}");
        self.transport
            .poll_until(&what, limit, LOOK_PACE, look)
            .ok()
    }

    /// Waits for a request to end, for at most
    /// [`TimeLimits::work`](satellite_core::client::TimeLimits::work), and calls
    /// `progress` with what is known of it at first and whenever its status or
    /// its message has changed.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// let id = "5b1c…"; // of `Request::id`, kept by another process
    /// let record = sky.wait_for_request(id, |r| println!("{}", r.status))?;
    /// println!("{} ended well", record.name);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the request failed with; `server_type()` is `RequestCancelled` where
    /// it was cancelled. Past the limit `is_timeout()`: the request goes on.
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

    /// Where a request stands.
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
        let answer = self.transport.send(&call)?;
        let records: Vec<RequestRecord> = answer.json()?;
        records.into_iter().next().ok_or_else(|| {
            let message = format!("there is no request {request_id}");
            let asked = format!("GET {path} at {}", self.url());
            absent(asked, "RequestDoesNotExist", &message)
        })
    }

    /// The requests about a cluster that the server remembers, newest first:
    /// how to find out what became of one whose answer was lost.
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

    /// Cancels a request; what it has made so far stays. The ids of those that
    /// were cancelled: none where it had ended.
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
        // Null in place of the list would cancel everybody's.
        let body = json!({ "request_ids": [request_id] });
        let killed: Option<_> = self.ask("/api/cancel", Op::Idempotent, body)?;
        Ok(killed.unwrap_or_default())
    }

    /// What the server prints while it carries a request out, to its end if
    /// `follow` says so.
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
            let answer = client.transport.send(&call.streamed(client.limits.idle))?;
            let lines = readable(answer.into_lines()?, false);
            Ok(Box::new(behind(lines, delivered)))
        };
        let source = open(0)?;
        let transport = Arc::clone(&self.transport);
        Ok(Stream::new(transport, source, move |broke, delivered| {
            broke.map(|_| open(delivered)).transpose()
        }))
    }
}

impl<T> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.id).finish()
    }
}
