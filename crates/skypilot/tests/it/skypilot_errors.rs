//! Every form of an error, what may be retried, and what is never printed.

use std::time::Duration;

use satellite_core::Error;
use satellite_core::client::TimeLimits;
use satellite_serve::Response;
use satellite_skypilot::{Launch, RequestStatus};
use serde_json::{Value, json};

use crate::skypilot_server::{Fake, shutting_down};

type Is = fn(&Error) -> bool;

fn launch() -> Launch {
    Launch::new("c", "run: x")
}

#[test]
fn a_failed_request_has_the_servers_error_and_is_never_retried() {
    let kinds: [(&str, Is); 12] = [
        ("ClusterDoesNotExist", Error::is_not_found),
        ("PermissionDeniedError", Error::is_forbidden),
        ("APIVersionMismatchError", Error::is_version_mismatch),
        ("ClusterNotUpError", Error::is_conflict),
        ("ValueError", Error::is_invalid),
        ("ParserError", Error::is_invalid),
        ("ValidationError", Error::is_invalid),
        ("NotSupportedError", Error::is_unsupported),
        ("ProvisionUnsupportedError", Error::is_unsupported),
        ("ClusterOwnerIdentityMismatchError", Error::is_forbidden),
        ("ResourcesUnavailableError", Error::is_out_of_capacity),
        ("SomethingNew", |e| !e.is_invalid() && !e.is_unsupported()),
    ];
    for (kind, is) in kinds {
        let fake = Fake::start();
        fake.fails("/down", kind, "\u{1b}[33mno\u{1b}[0m cluster");
        let error = fake.client().terminate("c").unwrap().wait().unwrap_err();
        assert!(is(&error) && !error.is_retryable(), "{kind}: {error}");
        assert_eq!(error.server_type(), Some(kind));
        assert_eq!(error.server_message(), Some("no cluster"));
        // The request was accepted and failed on the server: not an HTTP error.
        assert_eq!(error.status(), None);
        assert!(
            error
                .to_string()
                .contains(&format!("failed {kind}: no cluster")),
            "{error}"
        );
        assert!(!error.to_string().contains("pickle"), "{error}");
        assert_eq!(fake.calls("GET /api/get").len(), 1, "{kind}");
    }
}

#[test]
fn the_servers_error_name_is_printed_on_one_line_without_control_characters() {
    let fake = Fake::start();
    let kind = format!("\u{1b}[31mClusterDoes\u{b}{}", "x".repeat(1_000));
    fake.fails("/down", &kind, "no cluster");
    let error = fake.client().terminate("c").unwrap().wait().unwrap_err();
    assert!(error.server_type().unwrap().starts_with("ClusterDoesxxx"));
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 600, "{text}");
}

#[test]
fn a_cancelled_request_has_its_own_error() {
    let fake = Fake::start();
    fake.ends("/stop", "CANCELLED", Value::Null, Value::Null, 1);
    let error = fake.client().stop("c").unwrap().wait().unwrap_err();
    assert_eq!(error.server_type(), Some("RequestCancelled"), "{error}");
    assert!(!error.is_retryable() && !error.is_stopped());
}

#[test]
fn every_form_of_error_response_is_parsed() {
    let detail = |text: &str| json!({ "detail": text }).to_string();
    let shapes: [(u16, String, Is, &str); 9] = [
        (401, detail("Invalid or expired token"), Error::is_unauthorized, "Invalid or expired"),
        (401, json!("Invalid credentials").to_string(), Error::is_unauthorized, "Invalid cred"),
        (403, detail("Forbidden"), Error::is_forbidden, "Forbidden"),
        (404, detail("Request 'x' not found"), Error::is_not_found, "Request 'x'"),
        (404, detail("Not Found"), Error::is_unsupported, "does not support the route"),
        (405, detail("Method Not Allowed"), Error::is_unsupported, "405"),
        (
            400,
            json!({ "error": "version_mismatch", "message": "too \u{1b}[1mold" }).to_string(),
            Error::is_version_mismatch,
            "too old",
        ),
        (
            400,
            json!({ "detail": { "type": "ValueError", "message": "no such cloud", "object": "gA" } })
                .to_string(),
            |e| e.is_invalid() && e.server_type() == Some("ValueError"),
            "no such cloud",
        ),
        (
            422,
            json!({ "detail": [{ "loc": ["body", "task"], "msg": "Field required",
                "input": { "env_vars": { "AWS_SECRET_ACCESS_KEY": "hush-hush" } } }] })
            .to_string(),
            Error::is_invalid,
            "body.task: Field required",
        ),
    ];
    for (status, body, is, text) in shapes {
        let fake = Fake::start();
        let answer = body.clone();
        fake.once("POST /launch", move || {
            Response::json(status, answer.clone())
        });
        let error = fake.client().launch(&launch()).unwrap_err();
        assert!(is(&error), "{status} {body}: {error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(
            !error.is_retryable() && !error.to_string().contains("hush"),
            "{error}"
        );
        assert_eq!(fake.calls("POST /launch").len(), 1);
    }
}

#[test]
fn a_crash_reports_the_last_line_of_its_traceback_and_is_retried_if_safe() {
    let crash = || {
        Response::text(
            500,
            "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n",
        )
    };
    let fake = Fake::start();
    fake.returns("/status", json!([]));
    fake.once("POST /status", crash);
    assert!(fake.client().list_clusters().unwrap().is_empty());
    assert_eq!(fake.calls("POST /status").len(), 2);

    fake.once("POST /launch", crash);
    let error = fake.client().launch(&launch()).unwrap_err();
    assert_eq!(error.server_message(), Some("KeyError: 'a'"));
    assert!(
        error.is_outcome_unknown() && !error.is_retryable(),
        "{error}"
    );
    assert_eq!(fake.calls("POST /launch").len(), 1);
}

#[test]
fn a_launch_is_sent_again_after_the_servers_own_503_and_429_and_only_so_often() {
    let fake = Fake::start();
    fake.once("POST /launch", shutting_down);
    fake.once("POST /launch", || {
        Response::new(429).header("retry-after", "7")
    });
    let _ = fake.client().launch(&launch()).unwrap();
    assert_eq!(fake.calls("POST /launch").len(), 3);

    for _ in 0..3 {
        fake.once("POST /launch", || {
            Response::new(429).header("retry-after", "7")
        });
    }
    let error = fake
        .builder()
        .max_retries(2)
        .build()
        .unwrap()
        .launch(&launch())
        .unwrap_err();
    assert!(error.is_rate_limited(), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(fake.calls("POST /launch").len(), 6);
}

#[test]
fn a_launch_with_a_lost_response_is_not_sent_again() {
    for lost in [Response::reset as fn() -> Response, || {
        Response::raw("HTTP/1.1 200 OK\r\n")
    }] {
        let fake = Fake::start();
        fake.once("POST /launch", lost);
        let error = fake.client().launch(&launch()).unwrap_err();
        assert!(error.is_outcome_unknown() && !error.is_connect(), "{error}");
        assert!(!error.is_retryable(), "{error}");
        assert_eq!(fake.calls("POST /launch").len(), 1);
        let looked = &fake.calls("GET /api/status")[0].query;
        assert!(
            looked.contains("cluster_name=c") && looked.contains("all_status=true"),
            "{looked}"
        );
    }
}

#[test]
fn a_gateway_error_leaves_the_outcome_of_a_launch_unknown() {
    for status in [502, 503, 504] {
        let page = move || Response::text(status, "<html>gateway</html>");
        let fake = Fake::start();
        fake.once("POST /launch", page);
        let error = fake.client().launch(&launch()).unwrap_err();
        assert!(error.is_outcome_unknown(), "{status}: {error}");
        assert!(!error.is_retryable(), "{status}: {error}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(fake.calls("POST /launch").len(), 1, "{status}");
        assert!(!fake.calls("GET /api/status").is_empty(), "not looked for");
    }
}

#[test]
fn a_launch_is_found_on_the_server_after_a_gateway_error() {
    for status in [502, 503, 504] {
        let fake = Fake::start();
        fake.once_carried_out("POST /launch", move || Response::new(status));
        // The first search fails as well.
        fake.once("GET /api/status", move || Response::new(status));
        let request = fake.client().launch(&launch()).unwrap();
        assert_eq!(request.record().unwrap().status, RequestStatus::Succeeded);
        assert_eq!(fake.calls("POST /launch").len(), 1, "{status}");
    }
}

#[test]
fn a_long_message_keeps_its_list_and_is_printed_on_one_line() {
    let fake = Fake::start();
    let places: Vec<_> = (1..=40)
        .map(|n| format!("  zone-{n}: no capacity"))
        .collect();
    let message = format!("No resources:\n{}", places.join("\n"));
    fake.fails("/down", "ResourcesUnavailableError", &message);
    let error = fake.client().terminate("c").unwrap().wait().unwrap_err();
    assert_eq!(error.server_message(), Some(message.as_str()));
    let shown = error.to_string();
    assert!(shown.contains("zone-1: no capacity; zone-2:"), "{shown}");
    assert!(
        shown.ends_with("zone-40: no capacity") && !shown.contains('\n'),
        "{shown}"
    );
}

#[test]
fn a_refused_connection_is_known_to_have_had_no_effect() {
    let gone = Fake::start();
    let sky = gone.builder().max_retries(3).build().unwrap();
    drop(gone);
    let error = sky.launch(&launch()).unwrap_err();
    assert!(error.is_connect() && !error.is_outcome_unknown(), "{error}");
}

#[test]
fn waiting_survives_transient_errors() {
    let fake = Fake::start();
    fake.returns("/stop", Value::Null);
    let request = fake.client().stop("c").unwrap();
    fake.once("GET /api/status", || Response::text(502, "bad gateway"));
    fake.once("GET /api/status", Response::reset);
    fake.once("GET /api/get", || Response::text(504, "gateway timeout"));
    request.wait().unwrap();
    assert_eq!(fake.calls("POST /stop").len(), 1);
}

#[test]
fn a_call_ends_at_its_limit_and_reports_the_outcome() {
    let fake = Fake::start();
    fake.once("POST /launch", || {
        std::thread::sleep(Duration::from_secs(30));
        Response::new(200)
    });
    let mut limits = TimeLimits::default();
    limits.request = Duration::from_millis(200);
    let sky = fake.builder().limits(limits).build().unwrap();
    let begun = std::time::Instant::now();
    let error = sky.launch(&launch()).unwrap_err();
    assert!(error.is_timeout() && error.is_outcome_unknown(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_response_that_is_not_from_an_api_server_is_reported() {
    let fake = Fake::start();
    fake.once("POST /launch", || {
        Response::text(200, "<html>Welcome to the hotel</html>")
    });
    let error = fake.client().launch(&launch()).unwrap_err();
    assert!(
        error.to_string().contains("not a SkyPilot API server"),
        "{error}"
    );
    fake.returns("/status", json!({ "secret": "hush-hush" }));
    let error = fake.client().list_clusters().unwrap_err();
    assert!(error.to_string().contains("an unexpected value"), "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[test]
fn a_token_is_never_printed() {
    let fake = Fake::start();
    let sky = fake.builder().token("sky_very-secret").build().unwrap();
    fake.once("GET /api/status", || Response::new(404));
    let error = sky.request("sky_very-secret").unwrap_err();
    let shown = format!("{error} {error:?} {sky:?}");
    assert!(!shown.contains("very-secret"), "{shown}");
}
