//! A host for tests: the satellite's process, its mock platform, its gateway.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::{Map, Value, json};

use crate::engine::{IMAGE, NETWORK, containers, run};

pub const KEY: &str = "dfs_it_key";
pub const TIMEOUT: Duration = Duration::from_secs(40);

/// A mock platform with one deployment; removes its containers when dropped.
pub struct Host {
    pub platform: MockPlatform,
    pub deployment: String,
    pub program: String,
}

impl Host {
    pub fn new(program: &str) -> Self {
        Self::with(program, json!({}))
    }

    /// Creates a deployment with these additional fields.
    pub fn with(program: &str, fields: Value) -> Self {
        let platform = MockPlatform::start();
        platform.add_inference_key(KEY);
        let artifact = uuid();
        platform.add_artifact(
            &artifact,
            json!({ "name": "line" }),
            "http://files/m/line?sig=hush",
        );
        let deployment = uuid();
        let mut record = Map::from_iter([
            ("id".to_owned(), json!(deployment)),
            ("name".to_owned(), json!("line")),
            ("artifact_id".to_owned(), json!(artifact)),
            ("artifact_name".to_owned(), json!("line")),
            ("tags".to_owned(), json!(["mine"])),
        ]);
        record.extend(fields.as_object().cloned().unwrap_or_default());
        platform.add_deployment(Value::Object(record));
        Host {
            platform,
            deployment,
            program: program.to_owned(),
        }
    }

    pub fn deploy(&self) -> &'static str {
        let payload = json!({ "deployment_id": self.deployment });
        self.platform
            .add_task(mock_task("deploy", "deploy", payload));
        "deploy"
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_luml-satellite"));
        command
            .env("LUML_DOCKER", &self.program)
            .env("LUML_PLATFORM_URL", self.platform.url())
            .env("LUML_SATELLITE_TOKEN", self.platform.token())
            .env("LUML_HEALTH_PORT", "0")
            .env("LUML_GATEWAY_PORT", "0")
            .env("LUML_POLL_INTERVAL_SEC", "0.2")
            .env("LUML_RECONCILE_INTERVAL_SEC", "0.5")
            .env("LUML_MAX_BACKOFF_SEC", "1")
            .env("LUML_MODEL_IMAGE", IMAGE)
            .env("LUML_NETWORK", NETWORK)
            .env_remove("RUST_LOG");
        command
    }

    pub fn start(&self) -> Satellite {
        Satellite::start(self.command())
    }

    /// Waits until the task is done or failed; returns its status.
    pub fn wait_for_task(&self, task: &str) -> String {
        let begun = Instant::now();
        while begun.elapsed() < TIMEOUT {
            let status = self.platform.status(task);
            if status == "done" || status == "failed" {
                return status;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{task} is {} after {TIMEOUT:?}", self.platform.status(task));
    }

    pub fn status(&self) -> String {
        match self.platform.deployment(&self.deployment) {
            Some(deployment) => deployment["status"].as_str().unwrap().to_owned(),
            None => "gone".to_owned(),
        }
    }

    pub fn wait_for_status(&self, expected: &str) {
        eventually(&format!("the deployment to be {expected}"), || {
            self.status() == expected
        });
    }

    pub fn containers(&self) -> Vec<String> {
        containers(&self.program, &self.deployment)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.program.starts_with('/') && !std::path::Path::new(&self.program).exists() {
            self.program = "docker".to_owned(); // the script was already removed
        }
        for id in self.containers() {
            run(&self.program, &["rm", "--force", &id]);
        }
    }
}

pub fn eventually(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < TIMEOUT, "waited for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The satellite as a process.
pub struct Satellite {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Satellite {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Satellite { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits for a log line that contains `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        let found = || {
            let log = self.log.lock().unwrap();
            log.iter().find(|line| line.contains(text)).cloned()
        };
        eventually(&format!("{text:?} in the log:\n{}", self.log()), || {
            found().is_some()
        });
        found().unwrap()
    }

    /// The gateway's address.
    pub fn gateway(&self) -> String {
        let line = self.wait_for_line("gateway: http://");
        let rest = line.split("gateway: http://").nth(1).unwrap();
        rest.split('/').next().unwrap().to_owned()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < TIMEOUT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("still running: {}", self.log());
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("the satellite's log:\n{}", self.log());
        }
    }
}

/// A UUID that no other test uses.
pub fn uuid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = u64::from(std::process::id());
    format!(
        "0198c0de-{:04x}-7000-8000-{:012x}",
        process & 0xffff,
        (process << 20) + n
    )
}
