//! Jobs and commands of a SkyPilot server, on a cluster of this machine.

use std::time::{Duration, Instant};

use satellite_sdk::compute::skypilot::{
    CloudCredentials, Clusters, Exec, JobStatus, Launch, Logs, RequestStatus, Resources,
    SkyPilotClient, Task, Terminate,
};
use satellite_sdk::compute::{Cancel, Ended, TimeLimits};

use crate::server::Server;

pub const A10G: &str = "resources:\n  cloud: fluidstack\n  accelerators: A10G:1\nrun: nvidia-smi\n";

/// Runs real jobs on the Slurm node, with a tenant's credentials.
pub fn a_real_cluster(server: &Server) {
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

pub fn logs(server: &Server) {
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
pub fn endless() -> Launch {
    Launch::new("endless", A10G).retry_until_up(true)
}

pub fn cancelling(server: &Server) {
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
