//! SkyPilot, as far as a server can be tested without a cloud.

use std::time::{Duration, Instant};

use satellite_sdk::compute::skypilot::{
    Accelerators, CloudCredentials, Clusters, Exec, JobStatus, Launch, Logs, Refresh,
    RequestStatus, Resources, SkyPilotClient, Task, Terminate,
};
use satellite_sdk::compute::{Cancel, Ended, TimeLimits};
use satellite_sdk::serve::{Limits, Response, Server as Relay};

use crate::relay::forwarded;
use crate::server::{Server, client};

const A10G: &str = "resources:\n  cloud: fluidstack\n  accelerators: A10G:1\nrun: nvidia-smi\n";

/// All tests that need no special server configuration.
#[test]
fn a_server_without_tokens() {
    let Some(server) = Server::start(false) else {
        return;
    };
    health(&server);
    clouds_and_prices(&server);
    a_real_cluster(&server);
    clusters(&server);
    a_dry_launch(&server);
    what_fails(&server);
    logs(&server);
    cancelling(&server);
    a_lost_response(&server);
    another_version(&server);
    an_invalid_token_is_rejected(&server);
}

#[test]
fn a_server_with_tokens() {
    let Some(server) = Server::start(true) else {
        return;
    };
    let token = server.token();
    let sky = server.client().token(token.as_str()).build().unwrap();
    assert!(sky.health().unwrap().service_account_token_enabled);
    assert!(sky.list_clusters().unwrap().is_empty());
    assert_eq!(
        sky.check(&["fluidstack"]).unwrap()["default"]["Fluidstack"],
        ["compute"]
    );

    let forged = format!("{}x", &token[..token.len() - 1]);
    let sky = server.client().token(forged.as_str()).build().unwrap();
    let error = sky.list_clusters().unwrap_err();
    assert!(
        error.is_unauthorized() && !error.to_string().contains(&forged),
        "{error}"
    );
}

fn an_invalid_token_is_rejected(server: &Server) {
    let sky = server.client().token("sky_of_nobody").build().unwrap();
    let error = sky.list_clusters().unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert!(
        error.server_message().unwrap().contains("disabled"),
        "{error}"
    );
}

fn health(server: &Server) {
    let health = server.client().build().unwrap().health().unwrap();
    assert!(health.is_healthy() && !health.service_account_token_enabled);
    assert_eq!(
        (health.api_version, health.version.as_str()),
        (62, "0.14.1")
    );
}

fn clouds_and_prices(server: &Server) {
    let sky = server.client().build().unwrap();
    assert_eq!(
        sky.check(&["fluidstack"]).unwrap()["default"]["Fluidstack"],
        ["compute"]
    );
    let clouds = sky.enabled_clouds().unwrap();
    assert!(clouds.contains(&"fluidstack".into()), "{clouds:?}");

    let offers = sky.accelerators(&Accelerators::new().name("a10g").cloud("fluidstack"));
    let offer = &offers.unwrap()["A10G"][0];
    assert_eq!(
        (offer.instance_type.as_deref(), offer.price),
        (Some("A10G::1"), Some(1.624))
    );

    let estimate = sky.estimate_cost(A10G, 24.0).unwrap();
    assert_eq!(estimate.provider, "Fluidstack");
    assert_eq!(estimate.region.as_deref(), Some("norway_4_eu"));
    assert_eq!(estimate.accelerators.as_deref(), Some("A10G:1"));
    assert!(
        estimate.is_exact && estimate.cost_per_hour == 1.624,
        "{estimate:?}"
    );
    assert!((estimate.total - 38.976).abs() < 1e-9, "{estimate:?}");

    let pair = Task::new().num_nodes(2).run("true");
    let pair = pair.resources(Resources::new().infra("fluidstack").accelerators("H100:2"));
    let estimate = sky.estimate_cost(pair.clone(), 1.0).unwrap();
    assert!(
        estimate.nodes == 2 && estimate.cost_per_hour == 11.96,
        "{estimate:?}"
    );

    sky.validate(A10G).unwrap();
    sky.validate(pair).unwrap();
    let error = sky
        .validate("resources: {accelerators: 'A10G:1', cloud: nowhere}\n")
        .unwrap_err();
    assert_eq!(
        error.server_type(),
        Some("InvalidSkyPilotConfigError"),
        "{error}"
    );
    assert!(error.is_invalid() && !error.is_retryable(), "{error}");
    assert!(sky.cost_per_hour("nobody").unwrap_err().is_not_found());
}

fn clusters(server: &Server) {
    let sky = server.client().build().unwrap();
    assert!(sky.list_clusters().unwrap().is_empty());
    assert!(
        sky.clusters(&Clusters::new().refresh(Refresh::Force))
            .unwrap()
            .is_empty()
    );
    let error = sky.status("nobody").unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(sky.request("0000").unwrap_err().is_not_found());
    assert!(sky.request_log("0000", true).unwrap_err().is_not_found());
}

fn a_dry_launch(server: &Server) {
    let sky = server.client().build().unwrap();
    let launch = Launch::new("dry", A10G)
        .dry_run(true)
        .env("MODEL", "a: \"b\"")
        .credentials(CloudCredentials::aws("AKIA-of-nobody", "not-to-be-shown"));
    let request = sky.launch(&launch).unwrap();
    let mut seen = Vec::new();
    let launched = request
        .wait_with(|record| seen.push(record.status.clone()))
        .unwrap();
    assert_eq!(launched.job_id, None);
    assert_eq!(seen.last(), Some(&RequestStatus::Succeeded));
    let record = request.record().unwrap();
    assert_eq!(record.name, "sky.launch");
    assert_eq!(record.cluster_name.as_deref(), Some("dry"));
    assert!(
        sky.requests("dry")
            .unwrap()
            .iter()
            .any(|r| r.request_id == request.id())
    );

    let mut log = request.log().unwrap();
    let lines: Vec<_> = log.by_ref().map(Result::unwrap).collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("Fluidstack (norway_4_eu)")),
        "{lines:?}"
    );
    assert!(!lines.concat().contains('\u{1b}') && !lines.concat().contains("sky-payload"));
    assert_eq!(log.ended(), Some(Ended::Complete));

    let gcp = Launch::new("dry", A10G).credentials(CloudCredentials::gcp("{}"));
    assert!(sky.launch(&gcp).unwrap_err().is_unsupported());
}

/// Runs real jobs on the Slurm node, with a tenant's credentials.
fn a_real_cluster(server: &Server) {
    let limits = {
        let mut limits = TimeLimits::default();
        limits.work = Duration::from_secs(600);
        limits
    };
    let sky = server.client().limits(limits).build().unwrap();
    let tenant = sky.with_credentials(CloudCredentials::aws("AKIA-of-a-tenant", "not-to-be-shown"));
    assert!(sky.check(&["slurm"]).unwrap()["default"].contains_key("Slurm"));

    let task = Task::new()
        .resources(Resources::new().infra("slurm/live").cpus("1"))
        .run("echo hello; echo $AWS_ACCESS_KEY_ID; sleep 1; echo bye");
    let mut seen = Vec::new();
    let launched = tenant.launch(&Launch::new("real", task)).unwrap();
    let launched = launched
        .wait_with(|record| seen.push((record.status.clone(), record.status_msg.clone())))
        .unwrap();
    assert!(seen.windows(2).all(|two| two[0] != two[1]), "{seen:?}");
    let job = launched.job_id.unwrap();

    jobs_and_their_logs(&tenant, job);
    commands(&tenant);
    a_cluster_as_it_is_listed(server, &tenant);

    let error = tenant.stop("real").unwrap().wait().unwrap_err();
    assert_eq!(error.server_type(), Some("NotSupportedError"), "{error}");
    assert!(
        error.is_unsupported() && error.status().is_none(),
        "{error}"
    );
    let gone = tenant.terminate(Terminate::new("real"));
    gone.unwrap().wait().unwrap();
    assert!(tenant.status("real").unwrap_err().is_not_found());
}

fn jobs_and_their_logs(sky: &SkyPilotClient, job: u64) {
    let mut log = sky.logs(&Logs::new("real").job(job).follow(true)).unwrap();
    let lines: Vec<_> = log.by_ref().map(Result::unwrap).collect();
    for said in ["hello", "bye"] {
        assert!(lines.iter().any(|line| line.ends_with(said)), "{lines:?}");
    }
    assert_eq!(
        (log.ended(), log.exit_code()),
        (Some(Ended::Complete), Some(0))
    );

    let failing = sky.submit_job("real", "run: exit 3\n").unwrap();
    let failing = failing.wait().unwrap().job_id.unwrap();
    let mut log = sky
        .logs(&Logs::new("real").job(failing).follow(true))
        .unwrap();
    log.by_ref().for_each(|line| drop(line.unwrap()));
    assert_eq!(log.exit_code(), Some(100));

    let mut log = sky.logs(&Logs::new("real").job(99).follow(true)).unwrap();
    let error = log.next().unwrap().unwrap_err();
    assert!(error.is_not_found(), "{error}");

    let jobs = sky.queue("real", false).unwrap();
    let status = |id| {
        jobs.iter()
            .find(|j| j.job_id == id)
            .map(|j| j.status.clone())
    };
    assert_eq!(status(job), Some(JobStatus::Succeeded));
    assert_eq!(status(failing), Some(JobStatus::Failed));
    let statuses = sky.job_status("real", &[job, 99]).unwrap();
    assert_eq!(
        (&statuses[&job], &statuses[&99]),
        (&Some(JobStatus::Succeeded), &None)
    );
}

fn commands(sky: &SkyPilotClient) {
    let exec = Exec::new("real", "echo \"$WHO\"; echo no >&2; exit 7").env("WHO", "it's é");
    let output = sky.exec(&exec).unwrap();
    assert_eq!(output.exit_code, 7);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("it's é\n", "no\n")
    );

    let running = sky.spawn(&Exec::new("real", "sleep 600")).unwrap();
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| running.wait_cancelled_by(&cancel));
        std::thread::sleep(Duration::from_secs(2));
        cancel.cancel();
        assert!(waits.join().unwrap().unwrap_err().is_stopped());
    });
    running.cancel().unwrap();
    let id = running.job_id();
    let status = sky.job_status("real", &[id]).unwrap().remove(&id).flatten();
    assert_eq!(status, Some(JobStatus::Cancelled));
    let mut log = sky.logs(&Logs::new("real").job(id).follow(true)).unwrap();
    log.by_ref().for_each(|line| drop(line.unwrap()));
    assert_eq!(log.exit_code(), Some(103));
}

fn a_cluster_as_it_is_listed(server: &Server, sky: &SkyPilotClient) {
    let mine = sky.list_clusters().unwrap().remove(0);
    assert_eq!(
        (mine.name.as_str(), mine.user_name.as_str()),
        ("real", "satellite")
    );
    assert!(!format!("{mine:?}").contains("gAS"), "{mine:?}");
    assert_eq!(sky.cost_per_hour("real").unwrap(), Some(0.0));
    let cost = sky.cost_report(1).unwrap().remove(0);
    assert!(!cost.extra.contains_key("resources"), "{cost:?}");

    let other = server.client().user("00c0ffee", "ada").build().unwrap();
    assert!(other.list_clusters().unwrap().is_empty());
    let all = other.clusters(&Clusters::new().all_users(true)).unwrap();
    assert_eq!((all.len(), all[0].user_name.as_str()), (1, "satellite"));
}

fn what_fails(server: &Server) {
    let sky = server.client().build().unwrap();
    let begun = Instant::now();
    let failures = [
        sky.terminate("nobody").unwrap().wait().unwrap_err(),
        sky.stop("nobody").unwrap().wait().unwrap_err(),
        sky.autostop("nobody", Some(5), false)
            .unwrap()
            .wait()
            .unwrap_err(),
        sky.cancel_all_jobs("nobody").unwrap().wait().unwrap_err(),
        sky.queue("nobody", false).unwrap_err(),
        sky.job_status("nobody", &[1]).unwrap_err(),
        sky.exec(&Exec::new("nobody", "true")).unwrap_err(),
    ];
    for error in failures {
        assert!(error.is_not_found() && !error.is_retryable(), "{error}");
        assert_eq!(error.server_type(), Some("ClusterDoesNotExist"));
    }
    let error = sky.start("nobody").unwrap().wait().unwrap_err();
    assert!(
        !error.is_retryable() && error.server_type().is_some(),
        "{error}"
    );
    let nothing = "resources:\n  cloud: fluidstack\n  accelerators: A10G:8\nrun: x\n";
    let error = sky.estimate_cost(nothing, 1.0).unwrap_err();
    assert_eq!(
        error.server_type(),
        Some("ResourcesUnavailableError"),
        "{error}"
    );
    assert!(
        error.is_out_of_capacity() && error.status().is_none(),
        "{error}"
    );
    let unclosed = Launch::new("unclosed", "run: [a\n");
    let error = sky.launch(&unclosed).unwrap().wait().unwrap_err();
    assert_eq!(error.server_type(), Some("ParserError"), "{error}");
    assert!(error.is_invalid() && error.status().is_none(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

fn logs(server: &Server) {
    let sky = server.client().build().unwrap();
    let mut log = sky.logs(&Logs::new("nobody").follow(true)).unwrap();
    let error = log.next().unwrap().unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(log.next().is_none());
    assert!(
        sky.logs(&Logs::new("nobody").since("1h"))
            .unwrap_err()
            .is_unsupported()
    );
}

/// A launch that waits for its cloud forever.
fn endless() -> Launch {
    Launch::new("endless", A10G).retry_until_up(true)
}

fn cancelling(server: &Server) {
    let sky = server.client().build().unwrap();
    let request = sky.launch(&endless()).unwrap();
    while request.record().unwrap().status != RequestStatus::Running {
        std::thread::sleep(Duration::from_millis(100));
    }

    let mut limits = TimeLimits::default();
    limits.work = Duration::from_secs(1);
    let hasty = server.client().limits(limits).build().unwrap();
    let error = hasty.wait_for_request(request.id(), |_| ()).unwrap_err();
    assert!(error.is_timeout() && error.is_outcome_unknown(), "{error}");

    // Cancels from another thread during a stream and during a wait.
    let cancel = Cancel::new();
    let broken_off = sky.cancelled_by(&cancel).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let streams = scope.spawn(|| {
            let mut log = broken_off.request_log(request.id(), true).unwrap();
            let last = log.by_ref().last().unwrap();
            assert!(last.unwrap_err().is_stopped());
            assert_eq!(log.ended(), Some(Ended::Cancelled));
        });
        let waits = scope.spawn(|| {
            broken_off
                .wait_for_request(request.id(), |_| ())
                .unwrap_err()
        });
        std::thread::sleep(Duration::from_secs(1));
        cancel.cancel();
        streams.join().unwrap();
        assert!(waits.join().unwrap().is_stopped());
    });
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(
        request.record().unwrap().status,
        RequestStatus::Running,
        "the work continues"
    );

    request.cancel().unwrap();
    let error = request.wait().unwrap_err();
    assert_eq!(error.server_type(), Some("RequestCancelled"), "{error}");
    assert_eq!(request.record().unwrap().status, RequestStatus::Cancelled);
}

/// The response to a launch is lost: the launch is found and not repeated.
fn a_lost_response(server: &Server) {
    let to = server.address();
    let relay = Relay::bind("127.0.0.1:0", Limits::default(), move |request| {
        let is_launch = request.path() == "/launch";
        let answer = forwarded(to, request, 62);
        Response::raw(if is_launch { Vec::new() } else { answer })
    })
    .unwrap();
    let sky = client(&format!("http://{}", relay.addr())).build().unwrap();
    let request = sky
        .launch(&Launch::new("lost", A10G).dry_run(true))
        .unwrap();
    request.wait().unwrap();
    let launches = sky.requests("lost").unwrap();
    assert_eq!(launches.len(), 1);
    assert_eq!(launches[0].request_id, request.id());
}

fn another_version(server: &Server) {
    let to = server.address();
    let relay = Relay::bind("127.0.0.1:0", Limits::default(), move |request| {
        Response::raw(forwarded(to, request, 10))
    })
    .unwrap();
    let sky = client(&format!("http://{}", relay.addr())).build().unwrap();
    let errors = [
        sky.health().map(drop).unwrap_err(),
        sky.list_clusters().map(drop).unwrap_err(),
        sky.launch(&endless()).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(
            error.is_version_mismatch() && !error.is_retryable(),
            "{error}"
        );
        assert!(error.to_string().contains("too old"), "{error}");
    }
}
