//! The JSON encoding of OTLP: 64-bit numbers are texts, ids are hexadecimal.

use serde_json::{Value, json};

use super::exporter::Settings;
use super::{Data, Metric, Point, Span};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;
/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `STATUS_CODE_OK`, `STATUS_CODE_ERROR`.
const OK: u8 = 1;
const ERROR: u8 = 2;

/// The body of a request to `/v1/metrics`. `times`: the start of the process, and now, in
/// nanoseconds since 1970.
pub(super) fn metrics(settings: &Settings, metrics: &[Metric], times: (u64, u64)) -> Value {
    let metrics: Vec<Value> = metrics
        .iter()
        .map(|metric| of_metric(metric, times))
        .collect();
    json!({ "resourceMetrics": [{
        "resource": resource(settings),
        "scopeMetrics": [{ "scope": scope(settings), "metrics": metrics }],
    }] })
}

/// The body of a request to `/v1/traces`.
pub(super) fn traces(settings: &Settings, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().map(of_span).collect();
    json!({ "resourceSpans": [{
        "resource": resource(settings),
        "scopeSpans": [{ "scope": scope(settings), "spans": spans }],
    }] })
}

fn resource(settings: &Settings) -> Value {
    let attributes = settings.resource.iter();
    let attributes: Vec<Value> = attributes.map(|(name, value)| text(name, value)).collect();
    json!({ "attributes": attributes })
}

fn scope(settings: &Settings) -> Value {
    json!({ "name": settings.scope, "version": settings.version })
}

fn of_metric(metric: &Metric, times: (u64, u64)) -> Value {
    let mut encoded = json!({
        "name": metric.name,
        "description": metric.description,
        "unit": metric.unit,
    });
    let (kind, data) = match &metric.data {
        Data::Counter(points) => (
            "sum",
            json!({
                "dataPoints": numbers(points, times),
                "aggregationTemporality": CUMULATIVE,
                "isMonotonic": true,
            }),
        ),
        Data::Gauge(points) => ("gauge", json!({ "dataPoints": numbers(points, times) })),
        Data::Histogram(points) => {
            let points: Vec<Value> = points
                .iter()
                .map(|point| {
                    let mut encoded = of_point(point, times);
                    let counts = point.value.buckets.iter().map(u64::to_string);
                    encoded["count"] = point.value.count.to_string().into();
                    encoded["sum"] = point.value.sum.into();
                    encoded["bucketCounts"] = counts.collect();
                    encoded["explicitBounds"] = point.value.bounds.clone().into();
                    encoded
                })
                .collect();
            let histogram = json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE });
            ("histogram", histogram)
        }
    };
    encoded[kind] = data;
    encoded
}

/// JSON has no infinities: such a value is left out.
fn numbers(points: &[Point<f64>], times: (u64, u64)) -> Vec<Value> {
    let points = points.iter().filter(|point| point.value.is_finite());
    points
        .map(|point| {
            let mut encoded = of_point(point, times);
            encoded["asDouble"] = point.value.into();
            encoded
        })
        .collect()
}

fn of_point<T>(point: &Point<T>, (start, now): (u64, u64)) -> Value {
    let labels = point.labels.iter().map(|(name, value)| text(name, value));
    json!({
        "attributes": labels.collect::<Vec<_>>(),
        "startTimeUnixNano": start.to_string(),
        "timeUnixNano": now.to_string(),
    })
}

fn of_span(span: &Span) -> Value {
    let mut encoded = json!({
        "traceId": format!("{:032x}", span.trace_id),
        "spanId": format!("{:016x}", span.span_id),
        "name": "inference",
        "kind": SERVER,
        "startTimeUnixNano": span.start_ns.to_string(),
        "endTimeUnixNano": span.end_ns.to_string(),
        "attributes": [
            text("inference.deployment_id", &span.deployment),
            text("inference.event_id", &span.event),
            text("inference.status", if span.is_success { "success" } else { "error" }),
            { "key": "http.response.status_code", "value": { "intValue": span.status.to_string() } },
            {
                "key": "inference.latency_ms",
                "value": { "doubleValue": span.end_ns.saturating_sub(span.start_ns) as f64 / 1e6 },
            },
        ],
        "status": { "code": if span.is_success { OK } else { ERROR } },
    });
    if let Some(parent) = span.parent_id {
        encoded["parentSpanId"] = format!("{parent:016x}").into();
    }
    encoded
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
