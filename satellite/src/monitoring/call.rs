//! What a monitored call costs on its own thread: a clock reading, an id, adding it to the figures
//! of its deployment, and a place in a trace if there is a collector. Now and then its bodies are
//! copied, and pushed into a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use satellite_monitoring::{Event, Outcome};
use satellite_sdk::serve::{Request, Response};

use super::counted::Counted;
use super::now_ms;
use super::queue::{Queue, Record};
use super::trace::{Ids, Trace, event_id, uuid};
use crate::model::Capture;

/// A monitored deployment, as its calls see it.
#[derive(Debug)]
pub struct Watched {
    deployment: Arc<str>,
    counted: Arc<Counted>,
    queue: Arc<Queue>,
    summaries: Budget,
    /// Whether spans are exported.
    is_traced: bool,
    /// Whether it is known if the model has a reference profile.
    is_complete: bool,
}

impl Watched {
    /// `summaries`: how many calls in a second are summarised; 0: none.
    pub(super) fn new(
        deployment: &str,
        (counted, queue): (Arc<Counted>, Arc<Queue>),
        summaries: u32,
        is_traced: bool,
    ) -> Self {
        Watched {
            deployment: deployment.into(),
            counted,
            queue,
            summaries: Budget::new(summaries),
            is_traced,
            is_complete: true,
        }
    }

    /// The model's reference profile could not be read.
    pub(super) fn incomplete(self) -> Self {
        Watched {
            is_complete: false,
            ..self
        }
    }

    /// Whether nothing has to be read from the model again.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// What the calls of a deployment share. Its reference count grows by one for each call in
/// progress.
pub type Permit = Arc<Option<Watched>>;

/// A call in progress: it holds a permit. If the deployment is monitored, the call is recorded when
/// it is dropped.
pub struct Call {
    permit: Permit,
    record: Option<InProgress>,
}

struct InProgress {
    begun: Instant,
    at_ms: u64,
    id: u128,
    /// `None` if no spans are exported: nobody would see the gateway's span in the trace, so the
    /// caller's own header fields go on to the model.
    trace: Option<Trace>,
    status: u16,
    outcome: Outcome,
    request: Capture,
    response: Capture,
}

impl Call {
    /// `begun`: when the request was authorized.
    pub fn begin(permit: &Permit, request: &Request<'_>, begun: Instant) -> Self {
        let watched = permit.as_ref().as_ref();
        Call {
            record: watched.map(|watched| watched.begin(request, begun)),
            permit: Arc::clone(permit),
        }
    }

    /// The `traceparent` for the model, and the caller's header fields that it does not get.
    pub fn trace(&self) -> Option<([u8; 55], &'static [&'static str])> {
        let trace = self.record.as_ref()?.trace?;
        let replaced: &[&str] = match trace.parent_id {
            Some(_) => &["traceparent"],
            // The caller's state belongs to no valid trace.
            None => &["traceparent", "tracestate"],
        };
        Some((trace.header(), replaced))
    }

    /// The request's body as it passes.
    pub fn request(&mut self) -> Option<&mut Capture> {
        self.record.as_mut().map(|record| &mut record.request)
    }

    /// Adds a piece of the response's body.
    pub fn add_response(&mut self, piece: &[u8]) {
        if let Some(record) = &mut self.record {
            record.response.add(piece);
        }
    }

    /// The model has responded; the response may still break off.
    pub fn answered(&mut self, status: u16) {
        self.end(status, Outcome::Answered);
    }

    /// The response broke off.
    pub fn broke_off(&mut self) {
        if let Some(record) = &mut self.record {
            record.outcome = Outcome::Failed;
        }
    }

    /// The gateway itself responds to the call.
    pub fn refused(&mut self, response: Response, timed_out: bool) -> Response {
        let status = response.status();
        let outcome = match (timed_out, status) {
            (true, _) => Outcome::TimedOut,
            (false, 500..) => Outcome::Failed,
            (false, _) => Outcome::Answered,
        };
        self.end(status, outcome);
        self.with_id(response)
    }

    /// Adds `X-Event-Id`.
    pub fn with_id(&self, response: Response) -> Response {
        match &self.record {
            Some(record) => response.header_bytes("x-event-id", uuid(record.id)),
            None => response,
        }
    }

    fn end(&mut self, status: u16, outcome: Outcome) {
        if let Some(record) = &mut self.record {
            (record.status, record.outcome) = (status, outcome);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let (Some(watched), Some(record)) = (self.permit.as_ref(), &mut self.record) {
            watched.record(record);
        }
    }
}

impl Watched {
    fn begin(&self, request: &Request<'_>, begun: Instant) -> InProgress {
        // A span must not seem to begin before its parent.
        let at_ms = if self.is_traced {
            now_ms()
        } else {
            coarse_ms()
        };
        let mut ids = Ids::default();
        let continued = || Trace::continued(request.header("traceparent"), &mut ids);
        let trace = self.is_traced.then(continued);
        let keep = self.summaries.take(begun);
        InProgress {
            begun,
            at_ms,
            id: event_id(at_ms, &mut ids),
            trace,
            status: 503,
            outcome: Outcome::Failed,
            request: Capture::new(keep, request.content_length()),
            response: Capture::new(keep, None),
        }
    }

    fn record(&self, call: &mut InProgress) {
        let event = Event {
            // Only samples need it.
            id: String::new(),
            at_ms: call.at_ms,
            status: call.status,
            outcome: call.outcome,
            latency_ms: call.begun.elapsed().as_secs_f64() * 1e3,
            request_bytes: call.request.length(),
            response_bytes: call.response.length(),
            inputs: call.request.take(),
            outputs: call.response.take(),
        };
        self.counted.add(&event);
        let is_summarised = event.inputs.is_some() || event.outputs.is_some();
        if is_summarised || call.trace.is_some_and(|trace| trace.is_sampled()) {
            self.queue.push(Record {
                deployment: Arc::clone(&self.deployment),
                id: call.id,
                trace: call.trace,
                event,
            });
        }
    }
}

/// The time of the last tick of the kernel, a few milliseconds ago: a tenth of the cost of the
/// exact time.
#[cfg(target_os = "linux")]
fn coarse_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::RealtimeCoarse);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + time.tv_nsec as u64 / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn coarse_ms() -> u64 {
    now_ms()
}

/// How many calls are summarised: a rate with a second's burst. At higher rates the summarised
/// calls are spread evenly over time.
#[derive(Debug)]
struct Budget {
    origin: Instant,
    per_call_ns: u64,
    /// When the next call would be due at an even rate, in nanoseconds since `origin`.
    due_ns: AtomicU64,
}

impl Budget {
    const BURST: Duration = Duration::from_secs(1);

    fn new(per_second: u32) -> Self {
        Budget {
            origin: Instant::now(),
            per_call_ns: 1_000_000_000_u64
                .checked_div(per_second.into())
                .unwrap_or(0),
            due_ns: AtomicU64::new(0),
        }
    }

    fn take(&self, now: Instant) -> bool {
        if self.per_call_ns == 0 {
            return false;
        }
        let now = now.saturating_duration_since(self.origin).as_nanos() as u64;
        let latest = now + Self::BURST.as_nanos() as u64;
        let next = |due: u64| (due <= latest).then(|| due.max(now) + self.per_call_ns);
        self.due_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_a_burst_and_then_a_rate() {
        let budget = Budget::new(100);
        let taken = |after: Duration| {
            let now = budget.origin + after;
            (0..1000).filter(|_| budget.take(now)).count()
        };
        assert_eq!(taken(Duration::ZERO), 101);
        assert_eq!(taken(Duration::from_millis(100)), 10);
        assert_eq!(taken(Duration::from_secs(3600)), 101);
        assert!(!Budget::new(0).take(Instant::now()));
    }
}
