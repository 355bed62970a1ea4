//! The health server, over real connections.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use satellite_sdk::testing::{Fault, MockPlatform};
use satellite_sdk::{Context, Satellite, done};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(address: SocketAddr, request: &str) -> u16 {
    ask(address, request)
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// Runs `satellite` while `look` runs with its health address.
fn beside(mut satellite: Satellite, look: impl FnOnce(SocketAddr)) {
    let address = satellite.health_address().unwrap();
    let stop = satellite.stop_handle();
    std::thread::scope(|scope| {
        scope.spawn(move || satellite.run());
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(address)));
        stop.stop();
        end.unwrap();
    });
}

/// Polls until the status is `expected`: state changes take an iteration of the loop.
fn becomes(address: SocketAddr, path: &str, expected: u16) -> String {
    let status = format!("HTTP/1.1 {expected} ");
    wait_for(address, path, |answer| answer.starts_with(&status))
}

fn wait_for(address: SocketAddr, path: &str, expected: impl Fn(&str) -> bool) -> String {
    let started = Instant::now();
    loop {
        let answer = ask(address, &format!("GET {path}"));
        if expected(&answer) {
            return answer;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{path} stays {answer}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn readiness_follows_the_last_poll_and_liveness_does_not() {
    let platform = MockPlatform::start();
    platform.fault(Fault::Status(503)).forever();
    let satellite = platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .max_backoff(Duration::from_millis(20))
        .health(LOOPBACK, 0)
        .build()
        .unwrap();
    let address = satellite.health_address().unwrap();
    assert_eq!(
        status(address, "GET /healthz"),
        200,
        "before the first poll"
    );
    assert!(ask(address, "GET /readyz").contains("not polled yet"));
    beside(satellite, |address| {
        let answer = becomes(address, "/readyz", 503);
        assert!(answer.contains("application/json"), "{answer}");
        platform.clear_faults();
        becomes(address, "/readyz", 200);
        platform.fault(Fault::Reset).forever();
        let answer = becomes(address, "/readyz", 503);
        assert!(answer.contains("platform"), "{answer}");
        assert_eq!(status(address, "GET /healthz"), 200);
    });
}

#[test]
fn not_ready_until_registered_if_required() {
    let platform = MockPlatform::start();
    platform
        .fault(Fault::Status(500))
        .on("POST", "/pair")
        .forever();
    let satellite = platform
        .worker()
        .max_backoff(Duration::from_millis(20))
        .base_url("http://edge.example")
        .capability("deploy", serde_json::json!({}))
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .health(LOOPBACK, 0)
        .build()
        .unwrap();
    let address = satellite.health_address().unwrap();
    assert!(ask(address, "GET /readyz").contains("not registered yet"));
    platform.clear_faults();
    beside(satellite, |address| {
        becomes(address, "/readyz", 200);
    });
}

#[test]
fn a_satellite_can_add_its_own_health_problems() {
    let platform = MockPlatform::start();
    let satellite = platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .health(LOOPBACK, 0)
        .every(Duration::from_secs(60), |cx: &Context| {
            cx.health().problem("engine", "docker is away: \"\n");
            done(())
        })
        .build()
        .unwrap();
    beside(satellite, |address| {
        // 503 already before the first poll, when the periodic work has not run yet.
        let answer = wait_for(address, "/readyz", |answer| answer.contains("engine"));
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        let body: serde_json::Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        assert_eq!(body["reasons"]["engine"], "docker is away: \"\n");
    });
}

#[test]
fn only_known_paths_and_methods_are_served_and_nothing_is_echoed() {
    let platform = MockPlatform::start();
    let satellite = platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .health(LOOPBACK, 0)
        .build()
        .unwrap();
    let address = satellite.health_address().unwrap();
    // The page is not for another host's name.
    let page = if cfg!(feature = "page") { 403 } else { 404 };
    assert_eq!(status(address, "GET /"), page);
    assert_eq!(status(address, "GET /healthz?probe=1"), 200);
    assert_eq!(status(address, "POST /healthz"), 405);
    assert_eq!(status(address, "DELETE /readyz"), 405);
    let head = ask(address, "HEAD /healthz");
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let answer = ask(address, "GET /<script>marker</script>");
    assert!(!answer.contains("marker"), "{answer}");
}

#[test]
fn a_port_in_use_is_reported() {
    let platform = MockPlatform::start();
    let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .health(LOOPBACK, port)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains(&port.to_string()), "{error}");
    assert!(error.contains("LUML_HEALTH_PORT"), "{error}");
}

#[test]
fn the_port_is_released_when_the_satellite_is_dropped() {
    let platform = MockPlatform::start();
    let satellite = platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .health(LOOPBACK, 0)
        .build()
        .unwrap();
    let address = satellite.health_address().unwrap();
    drop(satellite);
    let started = Instant::now();
    while TcpListener::bind(address).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "{address} stays taken"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
