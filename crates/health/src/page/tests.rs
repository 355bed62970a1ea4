use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::*;
use crate::{Health, HealthServer};

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{0}\n<img src=x onerror=alert(2)>";

/// A page whose every text is hostile.
fn hostile() -> Health {
    let health = Health::new();
    let page = health.page();
    page.program(HOSTILE, HOSTILE);
    page.platform(HOSTILE);
    page.disconnected(&HOSTILE);
    health.set_problem(HOSTILE, HOSTILE);
    health.warning(HOSTILE, HOSTILE);
    page.task_started("t-1", HOSTILE);
    page.task_started(HOSTILE, HOSTILE);
    page.task_ended(HOSTILE, HOSTILE, Some(HOSTILE));
    let text = || HOSTILE.to_owned();
    page.provide(move || Panel {
        engine: vec![Fact {
            name: text(),
            value: text(),
        }],
        deployments: vec![Deployment {
            id: text(),
            name: text(),
            status: text(),
            is_monitored: true,
            requests: vec![1, 2, 3],
            errors: vec![0, 1, 0],
            latency_p95_ms: vec![f64::NAN, 1.0, f64::INFINITY],
            features: vec![Feature {
                name: text(),
                severity: text(),
                psi: Some(0.3),
                ..Feature::default()
            }],
            ..Deployment::default()
        }],
        alerts: vec![Alert {
            id: text(),
            deployment: text(),
            what: text(),
            severity: text(),
            state: "open".into(),
            value: text(),
            threshold: text(),
            ..Alert::default()
        }],
    });
    health
}

fn served(health: &Health) -> HealthServer {
    HealthServer::start(([127, 0, 0, 1], 0).into(), health.clone()).unwrap()
}

/// The response to these header lines, as text.
fn ask(server: &HealthServer, line: &str, fields: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

const LOCAL: &str = "Host: localhost:8080\r\n";

#[test]
fn nothing_from_outside_becomes_markup() {
    let health = hostile();
    let document = render::document(&health.page().view(&health));
    let own = document.matches("<script>").count();
    assert_eq!(own, 1, "only the page's own script");
    assert!(!document.contains("<img") && !document.contains("\u{202e}"));
    assert!(!document.contains('\u{0}'));
    assert!(document.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
    for section in render::sections(&health.page().view(&health)) {
        assert!(!section.contains('\n'), "an event is one line: {section}");
        assert!(!section.contains(" style=") && !section.contains("<script"));
    }
    let json = miniserde::json::to_string(&health.page().view(&health));
    assert!(json.contains("\"latency_p95_ms\":[null,1"), "{json}");
}

#[test]
fn the_page_is_small_and_its_policy_allows_exactly_its_own_style_and_script() {
    let health = hostile();
    let server = served(&health);
    let response = ask(&server, "GET /", LOCAL, "");
    let (head, document) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(document.len() <= 60_000, "{} bytes", document.len());
    let policy = head
        .lines()
        .find(|line| line.starts_with("content-security-policy"))
        .unwrap();
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
    assert!(head.contains("x-frame-options: DENY") && head.contains("nosniff"));
    for (name, begin, end) in [
        ("style-src", "<style>", "</style>"),
        ("script-src", "<script>", "</script>"),
    ] {
        let text = document
            .split(begin)
            .nth(1)
            .unwrap()
            .split(end)
            .next()
            .unwrap();
        let hash = STANDARD.encode(Sha256::digest(text));
        let expected = format!("{name} 'sha256-{hash}'");
        assert!(policy.contains(&expected), "json.rs lacks {expected}");
    }
}

#[test]
fn the_page_is_shown_on_its_own_host_or_with_the_token() {
    let health = Health::new();
    let server = served(&health);
    let status = |fields: &str| ask(&server, "GET /status.json", fields, "")[9..12].to_owned();
    let elsewhere = "Host: satellite.example:8080\r\n";
    let proxied = "Host: localhost\r\nX-Forwarded-For: 10.0.0.7\r\n";
    assert_eq!(
        [status(LOCAL), status(elsewhere), status(proxied)],
        ["200", "403", "403"]
    );

    health.page().token("page-token".into());
    let with =
        |authorization: &str| status(&format!("{elsewhere}Authorization: {authorization}\r\n"));
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("me:{password}")));
    assert_eq!(
        [status(LOCAL), status(elsewhere), status(proxied)],
        ["401", "401", "401"],
        "a proxy on this host may look like the host itself"
    );
    assert_eq!(
        [with("Bearer page-token"), with(&basic("page-token"))],
        ["200", "200"]
    );
    assert_eq!(
        [with("Bearer page-tokem"), with(&basic("")), with("Basic %")],
        ["401", "401", "401"]
    );
    for _ in 0..20 {
        with("Bearer guess");
    }
    assert_eq!(
        with("Bearer page-token"),
        "429",
        "after too many wrong tokens"
    );
    let local = status(&format!("{LOCAL}Authorization: Bearer page-token\r\n"));
    assert_eq!(local, "200", "the host itself is not locked out");
    let challenge = ask(&server, "GET /", elsewhere, "");
    assert!(!challenge.contains("page-token"));
}

#[test]
fn only_the_pages_own_form_acknowledges_an_alert() {
    let health = Health::new();
    let server = served(&health);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    health.page().on_acknowledge(move |alert| {
        log.lock().unwrap().push(alert.to_owned());
        alert.starts_with("d-1 ")
    });
    let send = |fields: &str, body: &str| {
        ask(
            &server,
            "POST /alerts/acknowledge",
            &format!("{LOCAL}{fields}"),
            body,
        )[9..12]
            .to_owned()
    };
    let body = "alert=d-1+feature%5Fdrift%3Aage%";
    assert_eq!(send("Origin: http://elsewhere.example\r\n", body), "403");
    assert_eq!(send("Sec-Fetch-Site: cross-site\r\n", body), "403");
    assert_eq!(send("Origin: null\r\n", body), "403");
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(
        send(
            "Origin: http://localhost:8080\r\nSec-Fetch-Site: same-origin\r\n",
            body
        ),
        "303"
    );
    assert_eq!(*seen.lock().unwrap(), ["d-1 feature_drift:age%"]);
    assert_eq!(
        [send("", body), send("", "alert=d-2"), send("", "")],
        ["303", "404", "404"]
    );
    assert_eq!(send("", &"a".repeat(5000))[..1], *"4");
    assert_eq!(
        ask(&server, "GET /alerts/acknowledge", LOCAL, "")[9..12],
        *"405"
    );
}

#[test]
fn events_carry_a_section_when_it_changes_and_old_streams_end() {
    let health = Health::new();
    let server = served(&health);
    let open = || {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        BufReader::new(stream)
    };
    let wait_for = |stream: &mut BufReader<TcpStream>, text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        }
        line
    };
    let mut first = open();
    let line = wait_for(&mut first, "id=\"header\"");
    assert!(line.starts_with("data: <header") && line.contains("starting"));
    health.page().connected();
    assert!(wait_for(&mut first, "id=\"header\"").contains("connected"));
    let mut others: Vec<_> = (0..6).map(|_| open()).collect();
    for other in &mut others {
        wait_for(other, "id=\"header\"");
    }
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).unwrap();
    health.page().disconnected(&"gone");
    assert!(wait_for(&mut others[5], "id=\"header\"").contains("gone"));
}

#[test]
fn an_outage_lasts_from_the_first_failure_to_the_next_success() {
    let health = Health::new();
    let page = health.page();
    page.connected();
    page.disconnected(&"one");
    page.disconnected(&"two");
    let view = page.view(&health);
    assert_eq!((view.outages.len(), view.outages[0].end_ms), (1, None));
    assert_eq!(view.disconnected_because.as_deref(), Some("two"));
    page.connected();
    page.connected();
    let begun = view.now_ms.saturating_sub(2 * DAY_MS);
    page.earlier_outage(begun, begun + 1, "long ago");
    page.earlier_outage(view.now_ms - 5000, view.now_ms - 4000, "not running");
    let view = page.view(&health);
    let reasons: Vec<_> = view.outages.iter().map(|o| o.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["not running", "one"],
        "oldest first, of the last day"
    );
    assert!(view.outages.iter().all(|outage| outage.end_ms.is_some()));
    assert!(view.connected_since_ms.is_some());
}

#[test]
fn the_last_fifty_tasks_are_listed_with_their_reasons() {
    let health = Health::new();
    let page = health.page();
    for n in 0..60 {
        page.task_started(&format!("t-{n}"), "deploy");
        page.task_ended(&format!("t-{n}"), "failed", Some("no image"));
    }
    page.task_started("t-60", "deploy");
    let view = page.view(&health);
    assert_eq!((view.running.len(), view.ended.len()), (1, 50));
    let last = &view.ended[0];
    assert_eq!(
        (last.id.as_str(), last.reason.as_deref()),
        ("t-59", Some("no image"))
    );
    assert_eq!(last.task_type, "deploy");
}
