//! Calls of a monitored deployment: what the caller, the model and the page see of them.

use std::sync::Mutex;
use std::time::Instant;

use satellite_sdk::page::Panel;
use satellite_sdk::{Deployment, Satellite};

use super::*;
use crate::instance_id;
use crate::shared::Shared;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A satellite whose deployment `plain` is monitored.
struct Monitored {
    fixture: Fixture,
    satellite: Satellite,
    monitoring: Monitoring,
}

impl Monitored {
    fn new(port: u16) -> Self {
        Monitored::with_settings(port, &[])
    }

    fn with_settings(port: u16, settings: &'static [(&str, &str)]) -> Self {
        let fixture = Fixture::new(port, MB);
        let lookup = move |name: &str| {
            let mut settings = settings
                .iter()
                .chain(&[("LUML_MONITORING_INTERVAL_SEC", "0.1")]);
            settings.find_map(|(known, value)| (*known == name).then(|| (*value).into()))
        };
        let settings = Settings::read(&mut Variables::from_lookup(lookup));
        let id = instance_id::load("token", None);
        let shared = Shared::new(settings, id, fixture.routes.clone());
        let monitoring = shared.monitoring().clone();
        let builder = fixture.platform.worker();
        let satellite = builder.handler("none", |_: satellite_sdk::Task| satellite_sdk::done(()));
        let satellite = satellite.build().unwrap();
        monitoring.start(&satellite, &shared, "gateway").unwrap();
        let record = json!({
            "id": "plain", "name": "plain", "status": "active",
            "satellite_parameters": { "monitoring_enabled": "true" },
        });
        let deployment: Deployment = serde_json::from_value(record).unwrap();
        monitoring.note(&deployment);
        let mut route = (*fixture.routes.get("plain").unwrap()).clone();
        route.permit = Arc::new(monitoring.watch(&deployment, &Models::new(), port));
        assert!(route.permit.is_some());
        fixture.routes.insert(route);
        Monitored {
            fixture,
            satellite,
            monitoring,
        }
    }

    fn panel(&self) -> Panel {
        self.satellite
            .health()
            .page()
            .view(self.satellite.health())
            .panel
    }

    fn wait_until(&self, what: &str, reached: impl Fn(&Panel) -> bool) -> Panel {
        let begun = Instant::now();
        loop {
            let panel = self.panel();
            if reached(&panel) {
                return panel;
            }
            assert!(begun.elapsed() < TIMEOUT, "waited for {what}: {panel:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_reference_profile_that_cannot_be_read_is_asked_for_again() {
    let answers = Mutex::new(vec![404, 503, 200, 503]);
    let model = model(move |request| match request.path() {
        "/reference_profile" => match answers.lock().unwrap().pop() {
            Some(200) => Response::json(
                200,
                r#"{"feature_summaries": {"numerical_features": {"x": {"min": 0, "max": 1}}}}"#,
            ),
            status => Response::new(status.unwrap()),
        },
        _ => Response::new(404),
    });
    let port = model.addr().port();
    let monitored = Monitored::new(port);
    let record = json!({
        "id": "plain", "name": "plain", "status": "active",
        "satellite_parameters": { "monitoring_enabled": "true" },
    });
    let deployment: Deployment = serde_json::from_value(record).unwrap();
    let watch = || {
        let watched = monitored
            .monitoring
            .watch(&deployment, &Models::new(), port);
        watched.unwrap().is_complete()
    };
    let route = monitored.fixture.routes.get("plain").unwrap();
    let watched = route.permit.as_ref().as_ref().unwrap();
    assert!(!watched.is_complete(), "503");
    assert!(watch(), "the profile");
    assert!(!watch(), "503, and the profile is kept");
    assert!(watch(), "404: there is none");
    monitored.monitoring.stop();
}

fn field<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let head = response.split("\r\n\r\n").next().unwrap();
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What a call returned and what the model saw of it: the event's id, `traceparent`, `tracestate`.
type Traced = [Option<String>; 3];

fn traced_calls(settings: &'static [(&str, &str)], calls: &[(&str, &str)]) -> Vec<Traced> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let model = model(move |request| {
        let fields = ["traceparent", "tracestate"].map(|n| request.header(n).map(str::to_owned));
        log.lock().unwrap().push(fields);
        Response::new(200).body(request.read_body().unwrap_or_default())
    });
    let monitored = Monitored::with_settings(model.addr().port(), settings);
    seen.lock().unwrap().clear(); // the request for the reference profile
    let call = |(name, parent): &(&str, &str)| {
        let lines = format!("Traceparent: {parent}\r\nTracestate: a=1\r\nContent-Length: 2\r\n");
        let mut stream = monitored.fixture.call(name, &lines);
        stream.write_all(b"{}").unwrap();
        let response = read_all(&mut stream);
        let [parent, state] = seen.lock().unwrap().pop().unwrap();
        [
            field(&response, "x-event-id").map(str::to_owned),
            parent,
            state,
        ]
    };
    let traced = calls.iter().map(call).collect();
    let monitored_calls = calls.iter().filter(|(name, _)| *name == "plain").count() as u64;
    let panel = monitored.wait_until("all calls", |panel| {
        panel.deployments[0].requests.iter().sum::<u64>() == monitored_calls
    });
    assert_eq!(panel.deployments.len(), 1);
    monitored.monitoring.stop();
    traced
}

#[test]
fn the_model_gets_the_callers_trace_unchanged_if_no_spans_are_exported() {
    let calls = [
        ("plain", TRACEPARENT),
        ("plain", "nonsense"),
        ("secret", TRACEPARENT),
    ];
    let traced = traced_calls(&[], &calls);
    for ((_, given), [_, parent, state]) in calls.iter().zip(&traced) {
        assert_eq!(
            (parent.as_deref(), state.as_deref()),
            (Some(*given), Some("a=1"))
        );
    }
    let ids = traced.iter().map(|[id, ..]| id.as_deref());
    let [Some(first), Some(second), None] = ids.collect::<Vec<_>>()[..] else {
        panic!("only monitored calls have an id: {traced:?}");
    };
    assert_ne!(first, second);
    assert_eq!((first.len(), &first[14..15]), (36, "7"));
}

#[test]
fn with_a_collector_the_gateways_span_is_the_parent_of_the_models() {
    // Nobody has to listen there.
    let collector = &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let calls = [
        ("plain", TRACEPARENT),
        ("plain", "nonsense"),
        ("secret", TRACEPARENT),
    ];
    let [continued, begun, other] = &traced_calls(collector, &calls)[..] else {
        panic!("three calls");
    };
    let parent = continued[1].as_deref().unwrap();
    assert!(
        parent.starts_with(&TRACEPARENT[..36]) && parent != TRACEPARENT,
        "{parent}"
    );
    assert_eq!(continued[2].as_deref(), Some("a=1"));
    assert!(begun[1].as_ref().unwrap().starts_with("00-"));
    assert_eq!(begun[2], None, "the state of no valid trace");
    assert_eq!(other[1].as_deref(), Some(TRACEPARENT), "not monitored");
}

#[test]
fn streamed_broken_and_refused_calls_are_counted_with_their_outcome() {
    let model = model(|request| {
        let body = request.read_body().unwrap_or_default();
        match body.first() {
            Some(b's') => Response::new(200).reader(std::io::repeat(b'x').take(300_000), None),
            Some(b'b') => Response::new(200).reader(std::io::repeat(b'x').take(10), Some(20)),
            _ => Response::new(400),
        }
    });
    let monitored = Monitored::new(model.addr().port());
    for body in ["stream", "broken", "wrong"] {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            monitored.fixture.post("plain", body)
        }));
    }
    drop(model);
    let mut route = (*monitored.fixture.routes.get("plain").unwrap()).clone();
    route.port = 1;
    monitored.fixture.routes.insert(route);
    let response = monitored.fixture.post("plain", "nobody listens");
    assert!(response.starts_with("HTTP/1.1 503") && field(&response, "x-event-id").is_some());
    let total = |counts: &[u64]| counts.iter().sum::<u64>();
    let panel = monitored.wait_until("all calls", |panel| {
        total(&panel.deployments[0].requests) == 4 && !panel.alerts.is_empty()
    });
    assert_eq!(total(&panel.deployments[0].errors), 3);
    assert_eq!(panel.alerts[0].what, "Error rate");
    let text = monitored.satellite.health().metrics().page();
    for line in [
        "satellite_inference_requests_total{deployment=\"plain\",outcome=\"error\"} 3",
        "satellite_inference_requests_total{deployment=\"plain\",outcome=\"success\"} 1",
        "satellite_inference_duration_seconds_count{deployment=\"plain\"} 4",
        "satellite_deployments{status=\"active\"} 1",
        "satellite_monitoring_events_dropped_total 0",
        "satellite_alerts{deployment=\"plain\",severity=\"critical\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    monitored.monitoring.stop();
}
