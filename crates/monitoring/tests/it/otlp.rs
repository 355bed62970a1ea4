//! The exporter, with a real receiver and with none.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_monitoring::otlp::{Data, Exporter, Histogram, Metric, Point, Settings, Span};
use satellite_serve::{Limits, Response, Server};
use serde_json::Value;

fn settings(endpoint: String) -> Settings {
    Settings {
        endpoint,
        headers: vec![("authorization".into(), "Basic hush".into())],
        resource: vec![("service.name".into(), "test".into())],
        scope: "test",
        version: "1",
        metrics_interval: Duration::from_secs(3600),
        traces_interval: Duration::from_millis(20),
    }
}

fn span(n: u64) -> Span {
    Span {
        trace_id: 1 << 100,
        span_id: n,
        parent_id: (n == 7).then_some(3),
        start_ns: 1_700_000_000_000_000_000,
        end_ns: 1_700_000_000_002_000_000,
        deployment: "d".into(),
        event: "e".into(),
        status: 200,
        is_success: true,
    }
}

fn metrics() -> Vec<Metric> {
    let histogram = Histogram {
        count: 3,
        sum: 1.5,
        bounds: vec![1.0],
        buckets: vec![2, 1],
    };
    let labels = vec![("deployment".to_owned(), "d\"\n".to_owned())];
    let metric = |name: &str, data| Metric {
        name: name.into(),
        description: String::new(),
        unit: "s",
        data,
    };
    vec![
        metric(
            "counted",
            Data::Counter(vec![Point {
                labels: labels.clone(),
                value: 2.0,
            }]),
        ),
        metric(
            "infinite",
            Data::Gauge(vec![Point {
                labels: labels.clone(),
                value: f64::INFINITY,
            }]),
        ),
        metric(
            "took",
            Data::Histogram(vec![Point {
                labels,
                value: histogram,
            }]),
        ),
    ]
}

type Received = Arc<Mutex<Vec<(String, Value)>>>;

fn receiver() -> (Server, Received) {
    let received = Received::default();
    let log = Arc::clone(&received);
    let server = Server::bind("127.0.0.1:0", Limits::default(), move |request| {
        assert_eq!(request.header("authorization"), Some("Basic hush"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body = serde_json::from_slice(&request.read_body().unwrap()).unwrap();
        log.lock().unwrap().push((request.path().to_owned(), body));
        Response::json(200, "{}")
    });
    (server.unwrap(), received)
}

fn eventually(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited for {what}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn spans_are_sent_in_batches_and_metrics_at_the_end() {
    let (server, received) = receiver();
    let endpoint = format!("http://{}/base/", server.addr());
    let exporter = Exporter::start(settings(endpoint), metrics).unwrap();
    exporter.span(span(7));
    eventually("the span", || !received.lock().unwrap().is_empty());
    (0..1000).for_each(|n| exporter.span(span(n + 10)));
    drop(exporter);
    let received = received.lock().unwrap();
    let spans: Vec<&Value> = received
        .iter()
        .filter(|(path, _)| path == "/base/v1/traces")
        .flat_map(|(_, body)| {
            body["resourceSpans"][0]["scopeSpans"][0]["spans"]
                .as_array()
                .unwrap()
        })
        .collect();
    assert_eq!(spans.len(), 1001);
    assert_eq!(spans[0]["traceId"], "00000010000000000000000000000000");
    assert_eq!(spans[0]["spanId"], "0000000000000007");
    assert_eq!(spans[0]["parentSpanId"], "0000000000000003");
    assert_eq!(spans[1]["parentSpanId"], Value::Null);
    let (path, body) = received.last().unwrap();
    assert_eq!(path, "/base/v1/metrics");
    let sent = &body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    assert_eq!(sent[0]["sum"]["dataPoints"][0]["asDouble"], 2.0);
    assert_eq!(
        sent[0]["sum"]["dataPoints"][0]["attributes"][0]["value"]["stringValue"],
        "d\"\n"
    );
    assert_eq!(sent[1]["gauge"]["dataPoints"].as_array().unwrap().len(), 0);
    assert_eq!(
        sent[2]["histogram"]["dataPoints"][0]["bucketCounts"][1],
        "1"
    );
}

#[test]
fn spans_are_dropped_and_counted_when_nobody_listens() {
    let exporter = Exporter::start(settings("http://127.0.0.1:1".into()), Vec::new).unwrap();
    let counts = exporter.counter();
    let begun = Instant::now();
    (0..10_000).for_each(|n| exporter.span(span(n)));
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "a span waits for nobody"
    );
    eventually("a failed export", || counts().failures > 0);
    drop(exporter);
    let counts = counts();
    assert_eq!((counts.exports, counts.dropped_spans), (0, 10_000));
}
