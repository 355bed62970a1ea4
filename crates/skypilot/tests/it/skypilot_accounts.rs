//! Credentials, prices and time limits, which apply to all operations.

use std::time::Duration;

use satellite_core::client::{Cancel, TimeLimits};
use satellite_serve::Response;
use satellite_skypilot::{
    Accelerators, CloudCredentials, Exec, Launch, Logs, Start, Stop, Terminate,
};
use serde_json::{Value, json};

use crate::skypilot_server::{Fake, PICKLE, shutting_down};

#[test]
fn the_credentials_of_a_client_are_sent_with_every_operation() {
    let fake = Fake::start();
    fake.returns("/status", json!([{ "name": "c", "status": "UP" }]));
    fake.returns("/queue", json!([]));
    fake.returns("/job_status", json!({}));
    fake.returns("/cost_report", json!([{ "name": "c" }]));
    fake.returns("/list_accelerators", json!({}));
    fake.returns("/exec", json!({ "job_id": 1 }));
    let sky = fake.client();
    let tenant = sky.with_credentials(CloudCredentials::aws("AKIA", "hush-hush"));
    let _ = tenant.launch(&Launch::new("c", "run: x")).unwrap();
    let _ = tenant.start("c").unwrap();
    let _ = tenant.stop("c").unwrap();
    let _ = tenant.terminate("c").unwrap();
    let _ = tenant.autostop("c", None, false).unwrap();
    let _ = tenant.submit_job("c", "run: x").unwrap();
    let _ = tenant.cancel_jobs("c", &[1]).unwrap();
    tenant.status("c").unwrap();
    tenant.queue("c", true).unwrap();
    tenant.job_status("c", &[1]).unwrap();
    tenant.logs(&Logs::new("c")).unwrap().for_each(drop);
    tenant.cost_report(1).unwrap();
    tenant.cost_per_hour("c").unwrap();
    tenant.accelerators(&Accelerators::new()).unwrap();
    tenant.check(&[]).unwrap();
    tenant.validate("run: x").unwrap();
    tenant.cancel_request("r").unwrap();
    let posts = [
        "launch",
        "start",
        "stop",
        "down",
        "autostop",
        "exec",
        "cancel",
        "status",
        "queue",
        "job_status",
        "logs",
        "cost_report",
        "list_accelerators",
        "check",
        "validate",
        "api/cancel",
    ];
    for path in posts {
        let calls = fake.calls(&format!("POST /{path}"));
        assert!(!calls.is_empty(), "{path}");
        for call in calls {
            let variables = &call.body["env_vars"];
            assert_eq!(variables["AWS_SECRET_ACCESS_KEY"], "hush-hush", "{path}");
            assert!(variables["SKYPILOT_USER_ID"].is_string(), "{path}");
        }
    }
    let shown = format!("{tenant:?}");
    assert!(
        !shown.contains("hush") && !shown.contains("AKIA"),
        "{shown}"
    );

    // The original client does not send them.
    let _ = sky.terminate("c").unwrap();
    assert_eq!(fake.calls("POST /down")[1].body["env_vars"], Value::Null);
}

#[test]
fn credentials_can_be_sent_with_one_call() {
    let fake = Fake::start();
    fake.returns("/exec", json!({ "job_id": 1 }));
    let sky = fake.client();
    let keys = || CloudCredentials::aws("AKIA", "hush-hush");
    let sky_calls = [
        ("start", sky.start(Start::new("c").credentials(keys()))),
        ("stop", sky.stop(Stop::new("c").credentials(keys()))),
        (
            "down",
            sky.terminate(Terminate::new("c").credentials(keys())),
        ),
    ];
    let _ = sky
        .spawn(&Exec::new("c", "true").credentials(keys()))
        .unwrap();
    sky.logs(&Logs::new("c").credentials(keys()))
        .unwrap()
        .for_each(drop);
    for (path, call) in sky_calls {
        call.unwrap().wait().unwrap();
        let sent = &fake.calls(&format!("POST /{path}"))[0].body["env_vars"];
        assert_eq!(sent["AWS_SECRET_ACCESS_KEY"], "hush-hush", "{path}");
    }
    for path in ["exec", "logs"] {
        let sent = &fake.calls(&format!("POST /{path}"))[0].body["env_vars"];
        assert_eq!(sent["AWS_SECRET_ACCESS_KEY"], "hush-hush", "{path}");
    }
    let gcp = Terminate::new("c").credentials(CloudCredentials::gcp("{}"));
    assert!(sky.terminate(gcp).unwrap_err().is_unsupported());
}

#[test]
fn a_client_without_a_token_sends_the_same_user_in_every_call() {
    let fake = Fake::start();
    fake.returns("/status", json!([]));
    let sky = fake.builder().build().unwrap();
    let _ = sky.launch(&Launch::new("c", "run: x")).unwrap();
    sky.list_clusters().unwrap();
    let launched = &fake.calls("POST /launch")[0].body["env_vars"];
    assert!(launched["SKYPILOT_USER_ID"].is_string());
    assert_eq!(fake.calls("POST /status")[0].body["env_vars"], *launched);
}

#[test]
fn no_returned_value_contains_a_pickle() {
    let fake = Fake::start();
    let cluster = json!({ "name": "c", "status": "UP", "handle": PICKLE, "kept": "text",
        "storage_mounts_metadata": PICKLE });
    fake.returns("/status", json!([cluster]));
    let cost = json!({ "name": "c", "resources": PICKLE, "resources_str": "1x(cpus=1)" });
    fake.returns("/cost_report", json!([cost]));
    let job = json!({ "job_id": 1, "status": "RUNNING", "resources": "1x[CPU:1]", "x": PICKLE });
    fake.returns("/queue", json!([job]));
    fake.returns("/launch", json!({ "job_id": 1, "handle": PICKLE }));
    let sky = fake.client();
    sky.start("c").unwrap().wait().unwrap();
    let launched = sky
        .launch(&Launch::new("c", "run: x"))
        .unwrap()
        .wait()
        .unwrap();
    let (cluster, costs) = (sky.status("c").unwrap(), sky.cost_report(1).unwrap());
    let jobs = sky.queue("c", false).unwrap();
    assert_eq!(cluster.extra["kept"], "text");
    assert_eq!(costs[0].extra["resources_str"], "1x(cpus=1)");
    assert_eq!(jobs[0].extra["resources"], "1x[CPU:1]");
    let shown = format!("{launched:?} {cluster:?} {costs:?} {jobs:?}");
    assert!(!shown.contains(PICKLE), "{shown}");
}

#[test]
fn the_price_of_a_cluster_is_that_of_its_latest_launch() {
    let fake = Fake::start();
    let life = |launched_at: u64, total_cost: f64| {
        json!({ "name": "c", "launched_at": launched_at, "duration": 1800,
            "total_cost": total_cost })
    };
    fake.returns("/cost_report", json!([life(9, 0.812), life(3, 7.0)]));
    let sky = fake.client();
    assert_eq!(sky.cost_per_hour("c").unwrap(), Some(1.624));
    let sent = &fake.calls("POST /cost_report")[0].body;
    assert_eq!(sent["cluster_names"], json!(["c"]));
    fake.returns("/cost_report", json!([]));
    assert!(sky.cost_per_hour("c").unwrap_err().is_not_found());
}

#[test]
fn one_time_limit_applies_to_all_calls_of_an_operation() {
    let fake = Fake::start();
    fake.once("POST /status", || {
        shutting_down().header("retry-after", "60")
    });
    for _ in 0..200 {
        fake.once("GET /api/get", || Response::text(502, "bad gateway"));
    }
    let clock = satellite_core::ManualClock::default();
    let mut limits = TimeLimits::default();
    limits.request = Duration::from_secs(100);
    let sky = fake.builder().limits(limits).clock(clock.clone());
    let error = sky.build().unwrap().list_clusters().unwrap_err();
    assert_eq!(error.status(), Some(502), "{error}");
    let took = clock.elapsed();
    assert!(
        took > Duration::from_secs(60) && took <= limits.request,
        "{took:?}"
    );
}

#[test]
fn a_cancelled_exec_cancels_its_job() {
    let fake = Fake::start();
    fake.returns("/exec", json!({ "job_id": 9 }));
    fake.streams(|| {
        struct Silent;
        impl std::io::Read for Silent {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                std::thread::sleep(Duration::from_secs(30));
                Ok(0)
            }
        }
        Response::new(200).reader(Silent, None)
    });
    let sky = fake.client();
    let running = sky.spawn(&Exec::new("c", "sleep 1000")).unwrap();
    assert_eq!(running.job_id(), 9);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| running.wait_cancelled_by(&cancel));
        while fake.calls("POST /logs").is_empty() {
            std::thread::yield_now();
        }
        cancel.cancel();
        assert!(waits.join().unwrap().unwrap_err().is_stopped());
    });
    running.cancel().unwrap();
    assert_eq!(fake.calls("POST /cancel")[0].body["job_ids"], json!([9]));
}
