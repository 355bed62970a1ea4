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
        let fixture = Fixture::new(port, MB);
        let lookup = |name: &str| (name == "LUML_MONITORING_INTERVAL_SEC").then(|| "0.1".into());
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
        route.watched = monitoring.watch(&deployment, &Models::new(), port);
        assert!(route.watched.is_some());
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
    assert!(!route.watched.as_ref().unwrap().is_complete(), "503");
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

#[test]
fn a_call_has_an_event_id_and_its_trace_goes_on_to_the_model() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let model = model(move |request| {
        let fields = ["traceparent", "tracestate"].map(|n| request.header(n).map(str::to_owned));
        log.lock().unwrap().push(fields);
        Response::new(200).body(request.read_body().unwrap_or_default())
    });
    let monitored = Monitored::new(model.addr().port());
    seen.lock().unwrap().clear(); // the request for the reference profile
    let call = |name: &str, lines: &str| {
        let lines = format!("{lines}Content-Length: 2\r\n");
        let mut stream = monitored.fixture.call(name, &lines);
        stream.write_all(b"{}").unwrap();
        let response = read_all(&mut stream);
        let [parent, state] = seen.lock().unwrap().pop().unwrap();
        (
            field(&response, "x-event-id").map(str::to_owned),
            parent,
            state,
        )
    };
    let (id, parent, state) = call(
        "plain",
        &format!("Traceparent: {TRACEPARENT}\r\nTracestate: a=1\r\n"),
    );
    let (id, parent) = (id.unwrap(), parent.unwrap());
    assert_eq!((id.len(), &id[14..15]), (36, "7"));
    assert!(
        parent.starts_with(&TRACEPARENT[..36]) && parent != TRACEPARENT,
        "{parent}"
    );
    assert_eq!(state.as_deref(), Some("a=1"));

    let (next, parent, state) = call("plain", "Traceparent: nonsense\r\nTracestate: a=1\r\n");
    assert_ne!(next, Some(id));
    assert!(parent.unwrap().starts_with("00-") && state.is_none());

    let (id, parent, _) = call("secret", &format!("Traceparent: {TRACEPARENT}\r\n"));
    assert_eq!(
        (id, parent.as_deref()),
        (None, Some(TRACEPARENT)),
        "not monitored"
    );
    let panel = monitored.wait_until("both calls", |panel| {
        panel.deployments[0].requests.iter().sum::<u64>() == 2
    });
    assert_eq!(panel.deployments.len(), 1);
    monitored.monitoring.stop();
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
