//! The HTTP requests for clusters and jobs, the settings, and the server's health.

use satellite_core::Variables;
use satellite_serve::Response;
use satellite_skypilot::{
    CloudCredentials, ClusterStatus, Clusters, JobStatus, Launch, Refresh, RequestStatus,
    SkyPilotClient, Start, Task, Terminate,
};
use serde_json::{Value, json};

use crate::skypilot_server::{Fake, health};

#[test]
fn a_launch_sends_all_options_and_reports_progress() {
    let fake = Fake::start();
    fake.returns("/launch", json!({ "job_id": 3, "handle": "gASVpickle" }));
    let launch = Launch::new("c", "run: echo\nenvs:\n  A: 1\n")
        .retry_until_up(true)
        .idle_minutes_to_stop(30)
        .down(true)
        .dry_run(true)
        .no_setup(true)
        .fast(true)
        .env("A", "2");
    let request = fake.client().launch(&launch).unwrap();
    let mut seen = Vec::new();
    let launched = request
        .wait_with(|record| seen.push(record.status.clone()))
        .unwrap();
    assert_eq!(launched.job_id, Some(3));
    // It was polled three times; only changes are reported.
    assert_eq!(seen, [RequestStatus::Running, RequestStatus::Succeeded]);

    let sent = &fake.calls("POST /launch")[0];
    assert_eq!(sent.headers["authorization"], "Bearer sky_token");
    assert_eq!(sent.headers["x-skypilot-api-version"], "62");
    let mut body = sent.body.clone();
    body.as_object_mut().unwrap().remove("entrypoint_command");
    let expected = json!({
        "cluster_name": "c",
        "task": "run: echo\nenvs:\n  \"A\": \"2\"\n",
        "retry_until_up": true,
        "idle_minutes_to_autostop": 30,
        "down": true,
        "dryrun": true,
        "no_setup": true,
        "fast": true,
    });
    assert_eq!(body, expected);
}

#[test]
fn credentials_are_sent_as_variables_and_never_printed() {
    let fake = Fake::start();
    let sky = fake.builder().user("00c0ffee", "ada").build().unwrap();
    let aws = CloudCredentials::aws("AKIA", "hush-hush")
        .session_token("st")
        .region("us-west-2");
    let launch = Launch::new("c", Task::new().run("echo").env("KEY", "hush-key"));
    let launch = launch.env("OTHER", "hush-other").credentials(aws);
    assert!(!format!("{launch:?}").contains("hush"), "{launch:?}");
    assert!(!format!("{:?}", Task::yaml("envs:\n  A: hush\n")).contains("hush"));
    let _ = sky.launch(&launch).unwrap();
    // The server shows the body to the owner; the record does not.
    let record = sky.requests("c").unwrap().remove(0);
    assert!(!format!("{record:?}").contains("hush"), "{record:?}");
    let expected = json!({
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "hush-hush",
        "AWS_SESSION_TOKEN": "st",
        "AWS_DEFAULT_REGION": "us-west-2",
        "SKYPILOT_USER_ID": "00c0ffee",
        "SKYPILOT_USER": "ada",
    });
    let sent = &fake.calls("POST /launch")[0];
    assert_eq!(sent.body["env_vars"], expected);
    assert!(!sent.headers.contains_key("authorization"));

    sky.queue("c", false).unwrap_err(); // it returns null here
    let expected = json!({ "SKYPILOT_USER_ID": "00c0ffee", "SKYPILOT_USER": "ada" });
    assert_eq!(fake.calls("POST /queue")[0].body["env_vars"], expected);

    let azure = CloudCredentials::azure("t", "c", "s", "sub");
    let _ = fake
        .client()
        .launch(&Launch::new("c", "run: x").credentials(azure))
        .unwrap();
    let variables = &fake.calls("POST /launch")[1].body["env_vars"];
    assert_eq!(variables["AZURE_CLIENT_SECRET"], "s");
    assert_eq!(variables["SKYPILOT_USER_ID"].as_str().unwrap().len(), 8);
}

#[test]
fn gcp_credentials_are_rejected_with_a_reason_before_anything_is_sent() {
    let fake = Fake::start();
    let launch = Launch::new("c", "run: x").credentials(CloudCredentials::gcp("{}"));
    let error = fake.client().launch(&launch).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    assert!(error.to_string().contains("file of its own"), "{error}");
    assert!(fake.calls("POST /launch").is_empty());
}

#[test]
fn clusters_are_listed_without_private_keys_and_with_unknown_fields() {
    let fake = Fake::start();
    let cluster = json!({ "name": "c", "status": "HIBERNATING", "cloud": "AWS", "nodes": 2, "moon": 1,
            "user_name": "ada", "user_hash": "00c0ffee" });
    fake.returns("/status", json!([cluster]));
    let sky = fake.client();
    let cluster = sky.status("c").unwrap();
    assert_eq!(cluster.status, ClusterStatus::Other("HIBERNATING".into()));
    assert_eq!((cluster.cloud.as_deref(), cluster.nodes), (Some("AWS"), 2));
    assert_eq!((cluster.autostop, &cluster.extra["moon"]), (-1, &json!(1)));
    assert_eq!(
        (cluster.user_name.as_str(), cluster.user_hash.as_str()),
        ("ada", "00c0ffee")
    );
    sky.clusters(&Clusters::new().refresh(Refresh::Force))
        .unwrap();
    sky.list_clusters().unwrap();
    sky.clusters(&Clusters::new().all_users(true)).unwrap();
    let sent = fake.calls("POST /status");
    let expected = json!({
        "cluster_names": ["c"],
        "refresh": "NONE",
        "all_users": true,
        "include_credentials": false,
        "include_handle": false,
    });
    assert_eq!(sent[0].body, expected);
    assert_eq!(sent[1].body["cluster_names"], Value::Null);
    assert_eq!(sent[1].body["refresh"], "FORCE");
    let all_users: Vec<_> = sent.iter().map(|s| s.body["all_users"].clone()).collect();
    assert_eq!(all_users, [true, false, false, true]);
}

#[test]
fn an_empty_response_means_that_the_cluster_is_not_found() {
    let fake = Fake::start();
    fake.returns("/status", json!([]));
    let error = fake.client().status("nobody").unwrap_err();
    assert!(error.is_not_found() && !error.is_retryable(), "{error}");
    assert_eq!(error.server_type(), Some("ClusterDoesNotExist"));
}

#[test]
fn start_stop_terminate_and_autostop_send_their_options() {
    let fake = Fake::start();
    let sky = fake.client();
    let start = Start::new("c").retry_until_up(true).idle_minutes_to_stop(9);
    sky.start(&start).unwrap().wait().unwrap();
    sky.start("c").unwrap().wait().unwrap();
    sky.stop("c").unwrap().wait().unwrap();
    sky.terminate("c").unwrap().wait().unwrap();
    let purge = Terminate::new("c").purge(true);
    sky.terminate(purge).unwrap().wait().unwrap();
    sky.autostop("c", Some(5), true).unwrap().wait().unwrap();
    sky.autostop("c", None, false).unwrap().wait().unwrap();
    let start: Vec<_> = fake
        .calls("POST /start")
        .into_iter()
        .map(|s| s.body)
        .collect();
    assert_eq!(
        (
            &start[0]["retry_until_up"],
            &start[0]["idle_minutes_to_autostop"]
        ),
        (&json!(true), &json!(9))
    );
    assert_eq!(
        (
            &start[1]["retry_until_up"],
            &start[1]["idle_minutes_to_autostop"]
        ),
        (&json!(false), &Value::Null)
    );
    assert_eq!(fake.calls("POST /stop").len(), 1);
    let purge: Vec<_> = fake
        .calls("POST /down")
        .iter()
        .map(|s| s.body["purge"].clone())
        .collect();
    assert_eq!(purge, [json!(false), json!(true)]);
    let idle = fake.calls("POST /autostop");
    assert_eq!(
        (&idle[0].body["idle_minutes"], &idle[0].body["down"]),
        (&5.into(), &true.into())
    );
    assert_eq!(idle[1].body["idle_minutes"], -1);
}

#[test]
fn a_cancel_always_names_what_to_cancel() {
    let fake = Fake::start();
    fake.returns("/api/cancel", json!(["r-1"]));
    let sky = fake.client();
    assert_eq!(sky.cancel_request("r-1").unwrap(), ["r-1"]);
    assert_eq!(
        fake.calls("POST /api/cancel")[0].body,
        json!({ "request_ids": ["r-1"] })
    );

    assert!(sky.cancel_jobs("c", &[]).is_err());
    sky.cancel_jobs("c", &[7]).unwrap().wait().unwrap();
    sky.cancel_all_jobs("c").unwrap().wait().unwrap();
    let sent = fake.calls("POST /cancel");
    assert_eq!(sent.len(), 2);
    assert_eq!(
        (&sent[0].body["job_ids"], &sent[0].body["all"]),
        (&json!([7]), &Value::Null)
    );
    assert_eq!(
        (&sent[1].body["job_ids"], &sent[1].body["all"]),
        (&Value::Null, &true.into())
    );
}

#[test]
fn jobs_are_listed_and_polled() {
    let fake = Fake::start();
    fake.returns(
        "/queue",
        json!([{ "job_id": 1, "job_name": "t", "status": "SETTING_UP" }]),
    );
    fake.returns("/job_status", json!({ "1": "SUCCEEDED", "2": null }));
    let sky = fake.client();
    let jobs = sky.queue("c", true).unwrap();
    assert_eq!(
        (jobs[0].job_id, &jobs[0].status),
        (1, &JobStatus::SettingUp)
    );
    assert_eq!(
        fake.calls("POST /queue")[0].body,
        json!({ "cluster_name": "c", "all_users": true })
    );
    let statuses = sky.job_status("c", &[1, 2]).unwrap();
    assert_eq!(statuses[&1], Some(JobStatus::Succeeded));
    assert_eq!(statuses[&2], None);
    sky.job_status("c", &[]).unwrap();
    assert_eq!(
        fake.calls("POST /job_status")[1].body["job_ids"],
        Value::Null
    );
}

#[test]
fn settings_are_read_from_variables_with_either_name() {
    let fake = Fake::start();
    fake.returns("/status", json!([]));
    let build = |pairs: &[(&str, String)]| {
        let pairs: std::collections::HashMap<String, String> = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect();
        let variables = Variables::from_lookup(move |name| pairs.get(name).cloned());
        SkyPilotClient::builder().variables(variables).build()
    };
    let sky = build(&[]).unwrap();
    assert_eq!(sky.url(), "http://127.0.0.1:46580");
    let sky = build(&[
        ("SKYPILOT_API_SERVER_ENDPOINT", fake.url()),
        ("SKYPILOT_SERVICE_ACCOUNT_TOKEN", "sky_env".into()),
        ("SKYPILOT_REQUEST_TIMEOUT", "10m".into()),
        ("SKYPILOT_MAX_RETRIES", "3".into()),
        ("SKYPILOT_RETRY_DELAY", "1s".into()),
    ]);
    sky.unwrap().list_clusters().unwrap();
    assert_eq!(
        fake.calls("POST /status")[0].headers["authorization"],
        "Bearer sky_env"
    );

    let with_password = fake.url().replace("://", "://skypilot:pa%40ss@");
    let sky = build(&[("SKYPILOT_API_SERVER_URL", with_password)]).unwrap();
    assert!(!format!("{sky:?}").contains("pa%40ss"));
    sky.list_clusters().unwrap();
    let basic = &fake.calls("POST /status")[1].headers["authorization"];
    assert_eq!(basic, "Basic c2t5cGlsb3Q6cGFAc3M="); // skypilot:pa@ss

    let error = build(&[
        ("SKYPILOT_API_SERVER_URL", "http://sky.example.com".into()),
        ("SKYPILOT_REQUEST_TIMEOUT", "soon".into()),
        ("SKYPILOT_MAX_RETRIES", "-1".into()),
    ])
    .unwrap_err();
    assert!(error.is_settings(), "{error}");
    for name in [
        "SKYPILOT_API_SERVER_URL",
        "SKYPILOT_REQUEST_TIMEOUT",
        "SKYPILOT_MAX_RETRIES",
    ] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn health_reports_the_version_and_rejects_one_that_is_too_old() {
    let fake = Fake::start();
    let health_of = fake.client().health().unwrap();
    assert!(health_of.is_healthy() && health_of.api_version == 62);
    assert_eq!(health_of.extra["new"], 1);
    fake.once("GET /api/health", || Response::json(200, health("23")));
    assert!(fake.client().health().unwrap_err().is_version_mismatch());
    fake.once("POST /status", || {
        Response::json(200, "null")
            .header("x-skypilot-api-version", "9")
            .header("x-skypilot-request-id", "i")
    });
    assert!(
        fake.client()
            .list_clusters()
            .unwrap_err()
            .is_version_mismatch()
    );
}
