//! A host for tests: the satellite's process, its mock platform, its gateway.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::{TempDirectory, temp_directory};
use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::{Map, Value, json};

use crate::engine::{IMAGE, MODEL, NETWORK, PROCESS, containers, inspect, run};

pub const KEY: &str = "dfs_it_key";
pub const TIMEOUT: Duration = Duration::from_secs(40);

/// A mock platform with one deployment; removes its containers when dropped.
pub struct Host {
    pub platform: MockPlatform,
    pub deployment: String,
    /// The engine's program, or [`PROCESS`].
    pub program: String,
    state: TempDirectory,
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
            state: temp_directory().unwrap(),
        }
    }

    pub fn is_process(&self) -> bool {
        self.program == PROCESS
    }

    /// The state folder, which only the process engine uses unless a test sets it.
    pub fn state(&self) -> &Path {
        self.state.path()
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
        if self.is_process() {
            command
                .env("LUML_ENGINE", "process")
                .env("LUML_STATE_DIR", self.state())
                .env("LUML_MODEL_SERVER", MODEL)
                .env("LUML_DOCKER", "/nowhere/docker")
                .env_remove("LUML_MODEL_IMAGE");
        }
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

    /// The ids of all containers of the deployment.
    pub fn containers(&self) -> Vec<String> {
        if !self.is_process() {
            return containers(&self.program, &self.deployment);
        }
        let folders = fs::read_dir(self.state().join("models"));
        let folders = folders.into_iter().flatten().flatten();
        folders
            .filter(|folder| folder.path().join("record").exists())
            .map(|folder| folder.file_name().into_string().unwrap())
            .filter(|id| id.starts_with(&self.deployment))
            .collect()
    }

    /// Sends a signal to a container, such as `STOP`.
    pub fn signal(&self, id: &str, signal: &str) {
        let sent = match self.is_process() {
            false => run(&self.program, &["kill", "--signal", signal, id]),
            true => run("kill", &["-s", signal, &self.pid(id).to_string()]),
        };
        assert!(sent.status.success(), "{sent:?}");
    }

    /// The process of a container of the process engine.
    pub fn pid(&self, id: &str) -> u64 {
        self.record(id)["process"]["pid"].as_u64().unwrap()
    }

    pub fn record(&self, id: &str) -> Value {
        let path = self.state().join("models").join(id).join("record");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// The variables of a container, as `NAME=value`.
    pub fn variables(&self, id: &str) -> Vec<String> {
        if self.is_process() {
            let text = fs::read(format!("/proc/{}/environ", self.pid(id))).unwrap();
            let text = String::from_utf8(text).unwrap();
            return text.split_terminator('\0').map(str::to_owned).collect();
        }
        let environment = inspect(&self.program, id)["Config"]["Env"].take();
        serde_json::from_value(environment).unwrap()
    }

    pub fn labels(&self, id: &str) -> Value {
        match self.is_process() {
            true => self.record(id)["labels"].take(),
            false => inspect(&self.program, id)["Config"]["Labels"].take(),
        }
    }
}

/// The processes of this deployment that serve, or that are about to.
pub fn processes_of(deployment: &str) -> Vec<u32> {
    let variable = format!("DEPLOYMENT_ID={deployment}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|one| one == variable.as_bytes())
    })
    .collect()
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.is_process() {
            for pid in processes_of(&self.deployment) {
                run("kill", &["-KILL", &pid.to_string()]);
            }
            return;
        }
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

    /// The health port's address.
    pub fn health(&self) -> String {
        let line = self.wait_for_line("health: http://");
        let rest = line.split("health: http://").nth(1).unwrap();
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
