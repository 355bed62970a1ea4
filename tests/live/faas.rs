//! The FaaS gateway: the real one, if `SATELLITE_LIVE_FAAS` has its URL, and the mock of
//! it, which has to behave the same. The calls of its own Python SDK are sent through the
//! HTTP library that this SDK uses.

use std::time::{Duration, Instant};

use satellite_sdk::Variables;
use satellite_sdk::compute::faas::{ExecutionRequest, FaasClient, Mode, Runtime};
use satellite_sdk::testing::{FaasKind, MockFaas};

use crate::python;

/// Checks the behaviour that both share.
fn gateway(faas: &FaasClient) {
    assert!(faas.health().unwrap().docker);
    let shell = ExecutionRequest::shell;
    let plain = faas.execute("echo out; exit 7").unwrap();
    assert_eq!((plain.stdout.as_str(), plain.exit_code), ("out\n", 0));
    let checked = faas
        .execute(shell("echo out; exit 7").checked(true))
        .unwrap();
    assert_eq!((checked.stdout.as_str(), checked.exit_code), ("out\n", 7));
    assert_eq!(checked.extra["output"], "out\n");

    for failing in [
        shell("true").environment("no-such-image-of-anybody:1"),
        shell("true").runtime(Runtime::Firecracker),
        shell("true").mode(Mode::Branched),
    ] {
        let error = faas.execute(failing).unwrap_err();
        assert_eq!(error.status(), Some(500), "{error}");
    }
    let checkpointed = faas.execute(shell("true").mode(Mode::Checkpointed));
    assert!(checkpointed.unwrap_err().is_unsupported());
    let snapshots = faas.snapshots();
    assert!(snapshots.create_from_script("exit 9", "bad").is_err());
    assert!(faas.gateway().fork("true").unwrap_err().is_unsupported());

    // The response to each restore and to the next request on the same connection.
    let snapshot = snapshots.create("anything", None).unwrap();
    for _ in 0..100 {
        snapshots.restore(&snapshot.id).unwrap();
        faas.gateway().prewarm("alpine:latest", 1, None).unwrap();
    }

    let begun = Instant::now();
    let late = faas.execute(shell("sleep 20").timeout(Duration::from_secs(1)));
    let late = late.unwrap_err();
    assert!(late.is_timeout() && !late.is_retryable(), "{late}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    let metrics = faas.gateway().metrics().unwrap();
    assert_eq!(metrics.as_object().unwrap().len(), 5, "{metrics}");
}

#[test]
fn the_mock_behaves_like_the_gateway() {
    if !python::is_enabled() {
        return;
    }
    let mock = MockFaas::of(FaasKind::Gateway);
    gateway(&mock.client());
    match std::env::var("SATELLITE_LIVE_FAAS") {
        Ok(url) => {
            let builder = FaasClient::builder().variables(Variables::from_lookup(|_| None));
            gateway(&builder.url(url).build().unwrap());
        }
        Err(_) => eprintln!("SATELLITE_LIVE_FAAS has no address of a real gateway"),
    }
}

#[test]
fn the_calls_of_the_python_sdk_work() {
    if !python::is_enabled() {
        return;
    }
    let mock = MockFaas::of(FaasKind::Gateway);
    python::run("faas.py", "aiohttp", &[&mock.url()]);
}
