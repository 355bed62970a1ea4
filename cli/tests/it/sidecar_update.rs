//! Rolling updates of applications that know nothing of it: in Python, in shell and in Go, on
//! a fake Kubernetes API and on a bucket.

use std::process::Command;

use crate::fake_kubernetes::FakeKubernetes;
use crate::fake_s3::Bucket;
use crate::process::Satellite;
use crate::sidecar_process::{Host, eventually, sidecar};

pub const NAMESPACE: &str = "shop";
pub const OLD: &str = "my-app-7d9f8b6c5d-x2x4z";
pub const NEW: &str = "my-app-6c5db8f9d4-tq9wv";
pub const NEWEST: &str = "my-app-5b4cd7f8c9-sp8vt";

/// Where the state is stored.
pub enum Store {
    Kubernetes(FakeKubernetes),
    /// A real API server, the folder with its token and ca.crt, and the processor's id.
    Server(String, String, String),
    Bucket(Bucket, String),
}

impl Store {
    fn bucket() -> Self {
        Store::Bucket(Bucket::get(), new_id())
    }

    /// `None` unless `charts/live-test` runs one.
    fn server() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("SATELLITE_LIVE_KUBERNETES_{name}")).ok();
        Some(Store::Server(
            variable("URL")?,
            variable("ACCOUNT")?,
            new_id(),
        ))
    }

    fn configure(&self, command: &mut Command) {
        match self {
            Store::Kubernetes(cluster) => {
                command
                    .env("DORY_STATE_BACKEND", "configmap")
                    .env("DORY_KUBERNETES_URL", cluster.url())
                    .env("DORY_KUBERNETES_ACCOUNT", cluster.account())
                    .env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
            }
            Store::Server(url, account, id) => {
                command
                    .env("DORY_STATE_BACKEND", "configmap")
                    .env("DORY_KUBERNETES_URL", url)
                    .env("DORY_KUBERNETES_ACCOUNT", account)
                    .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
                    .env("DORY_PROCESSOR_ID", id);
            }
            Store::Bucket(bucket, id) => {
                command
                    .env("DORY_STATE_BACKEND", "s3")
                    .env("DORY_STATE_S3_BUCKET", "states")
                    .env("DORY_STATE_S3_PREFIX", "tests/")
                    .env("DORY_STATE_S3_ENDPOINT", bucket.endpoint())
                    .env("DORY_PROCESSOR_ID", id)
                    .env("AWS_ACCESS_KEY_ID", "key")
                    .env("AWS_SECRET_ACCESS_KEY", "secret")
                    .env("AWS_REGION", "us-east-1");
            }
        }
    }
}

/// A real server keeps its data.
fn new_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("app-{}", now.unwrap().as_nanos())
}

/// A pod with the sidecar as the parent of the application.
pub fn pod(
    store: &Store,
    host: &Host,
    name: &str,
    app: &[String],
    env: &[(&str, &str)],
) -> Satellite {
    let mut command = sidecar();
    store.configure(&mut command);
    command
        .arg("--state-dir")
        .arg(host.data())
        .args(["--snapshot-every", "0.3", "--snapshot-pause", "--"])
        .args(app)
        .arg(host.data())
        .env("DORY_POD_NAME", name)
        .env("DORY_POD_NAMESPACE", NAMESPACE)
        .env("DORY_HEALTH_HOST", "127.0.0.1")
        .env("DORY_LEASE_SEC", "3")
        .env("DORY_CHECKPOINT_SEC", "0.1")
        .envs(env.iter().copied());
    host.start(command)
}

pub fn python() -> Vec<String> {
    app(&["python3", "-B", &file("count.py")])
}

pub fn shell() -> Vec<String> {
    app(&["/bin/sh", &file("count.sh")])
}

/// `None` where there is no Go compiler; with `SATELLITE_REQUIRE_GO=1` the test fails instead.
fn go(host: &Host) -> Option<Vec<String>> {
    let program = host.path("count-go").display().to_string();
    let built = Command::new("go")
        .args(["build", "-o", &program, &file("count.go")])
        .env("GOFLAGS", "-p=1")
        .env("GOTOOLCHAIN", "local")
        .output();
    match built {
        Ok(built) if built.status.success() => Some(vec![program]),
        Ok(built) => panic!("{}", String::from_utf8_lossy(&built.stderr)),
        Err(_) if std::env::var_os("SATELLITE_REQUIRE_GO").is_some() => {
            panic!("there is no Go compiler")
        }
        Err(_) => {
            eprintln!("skipped: there is no Go compiler");
            None
        }
    }
}

fn file(name: &str) -> String {
    format!("{}/tests/apps/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn app(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub fn start_of(host: &Host) -> u64 {
    eventually("start", || host.numbers("start").last().copied())
}

/// Two updates while the application counts: not one number is lost, not one is counted twice.
fn updates(store: &Store, app: &[String]) {
    let hosts = [Host::new(), Host::new(), Host::new()];
    let mut running = pod(store, &hosts[0], OLD, app, &[]);
    hosts[0].printed("count 5\n");
    for (n, name) in [(1, NEW), (2, NEWEST)] {
        let (before, after) = (&hosts[n - 1], &hosts[n]);
        let mut next = pod(store, after, name, app, &[]);
        let gap = next.line("the application was not running for");
        eprintln!(
            "{name}: {}",
            gap.split("INFO").last().unwrap_or(&gap).trim()
        );
        let start = start_of(after);
        let end = before.numbers("end");
        assert_eq!(
            end,
            [start],
            "what the last one had is what the next one has"
        );
        after.printed(&format!("count {}\n", start + 5));

        if !matches!(store, Store::Bucket(..)) {
            // The old pod stays, not ready, until it is stopped.
            running.line("handed over to");
            assert_eq!(
                running.log.iter().filter(|l| l.contains("started")).count(),
                1
            );
            running.signal("TERM");
        }
        let (status, _) = running.end();
        assert_eq!(status.code(), Some(0), "{:#?}", running.log);
        running = next;
    }
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0), "{:#?}", running.log);
    let counted: Vec<u64> = hosts
        .iter()
        .flat_map(|host| host.numbers("count"))
        .collect();
    let expected: Vec<u64> = (1..=counted.len() as u64).collect();
    assert_eq!(counted, expected, "each number once, in order");
}

#[test]
fn a_python_application_in_a_cluster_loses_nothing_in_rolling_updates() {
    updates(&Store::Kubernetes(FakeKubernetes::start()), &python());
}

#[test]
fn a_shell_application_in_a_cluster_loses_nothing_in_rolling_updates() {
    updates(&Store::Kubernetes(FakeKubernetes::start()), &shell());
}

#[test]
fn a_go_application_in_a_cluster_loses_nothing_in_rolling_updates() {
    let build = Host::new();
    if let Some(app) = go(&build) {
        updates(&Store::Kubernetes(FakeKubernetes::start()), &app);
    }
}

#[test]
fn applications_in_a_real_cluster_lose_nothing_in_rolling_updates() {
    let build = Host::new();
    let apps = [Some(python()), Some(shell()), go(&build)];
    for app in apps.into_iter().flatten() {
        match Store::server() {
            Some(server) => updates(&server, &app),
            None => return eprintln!("skipped: charts/live-test runs it with an API server"),
        }
    }
}

#[test]
fn a_python_application_moves_with_a_bucket() {
    updates(&Store::bucket(), &python());
}

#[test]
fn a_shell_application_moves_with_a_bucket() {
    updates(&Store::bucket(), &shell());
}
