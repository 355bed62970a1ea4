//! Runs a satellite as its own tests do: a platform on loopback, the program as a process, one
//! model in a container.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::json;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub const KEY: &str = "dfs_bench_key";
const IMAGE: &str = "luml-satellite-bench:latest";
const NETWORK: &str = "luml-satellite-bench";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Host {
    _platform: MockPlatform,
    satellite: Child,
    deployment: String,
    /// The addresses of the model and of the gateway.
    pub model: String,
    pub gateway: String,
}

pub fn has_engine() -> bool {
    let info = Command::new("docker").arg("info").output();
    info.is_ok_and(|output| output.status.success())
}

impl Host {
    pub fn start(program: &str) -> Result<Self> {
        let model = std::env::current_exe()?.with_file_name("model");
        make_image(model.to_str().ok_or("a path that is not UTF-8")?)?;
        let platform = MockPlatform::start();
        platform.add_inference_key(KEY);
        let id = |n: u32| {
            format!(
                "0198c0de-{:04x}-7000-8000-{n:012x}",
                std::process::id() & 0xffff
            )
        };
        let (deployment, artifact) = (id(1), id(2));
        platform.add_artifact(
            &artifact,
            json!({ "name": "line" }),
            "http://127.0.0.1:9/line",
        );
        platform
            .add_deployment(json!({ "id": deployment, "name": "line", "artifact_id": artifact }));
        let payload = json!({ "deployment_id": deployment });
        platform.add_task(mock_task("deploy", "deploy", payload));
        let mut satellite = Command::new(program)
            .env_remove("DOCKER_HOST")
            .env("LUML_PLATFORM_URL", platform.url())
            .env("LUML_SATELLITE_TOKEN", platform.token())
            .env("LUML_HEALTH_PORT", "0")
            .env("LUML_GATEWAY_PORT", "0")
            .env("LUML_MODEL_IMAGE", IMAGE)
            .env("LUML_NETWORK", NETWORK)
            .env("RUST_LOG", "info")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = lines(&mut satellite)?;
        // From here on, dropping it cleans up.
        let mut host = Host {
            _platform: platform.clone(),
            satellite,
            deployment,
            model: String::new(),
            gateway: String::new(),
        };
        let line = |text: &str| loop {
            match log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(_) => return Err(format!("the satellite did not say {text:?}")),
            }
        };
        let gateway = line("gateway: http://")?;
        let gateway = gateway.split("gateway: http://").nth(1).unwrap_or_default();
        host.gateway = gateway.split('/').next().unwrap_or_default().to_owned();
        if !platform.wait_for("deploy", "done", PATIENCE) {
            return Err(format!(
                "the deployment ended otherwise: {}",
                platform.result("deploy")
            )
            .into());
        }
        let [container] = host
            .containers()
            .try_into()
            .map_err(|_| "not one container")?;
        let port = docker(&["port", &container, "8080/tcp"])?;
        let port = String::from_utf8(port.stdout)?;
        host.model = port
            .lines()
            .next()
            .ok_or("no port")?
            .replace("0.0.0.0", "127.0.0.1");
        Ok(host)
    }

    pub fn compute_path(&self) -> String {
        format!("/deployments/{}/compute", self.deployment)
    }

    /// The satellite's process.
    pub fn pid(&self) -> u32 {
        self.satellite.id()
    }

    /// CPU time of the satellite's threads so far, by the scheduler's clock.
    pub fn cpu(&self) -> Result<Duration> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.satellite.id()))? {
            // A thread that has just ended is ignored.
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            let used = text
                .split(' ')
                .next()
                .and_then(|used| used.parse::<u64>().ok());
            total += used.unwrap_or(0);
        }
        Ok(Duration::from_nanos(total))
    }

    /// Number of threads, and resident kB.
    pub fn size(&self) -> (String, String) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.satellite.id()));
        let status = status.unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next())
                .unwrap_or("?")
                .to_owned()
        };
        (field("Threads:"), field("VmRSS:"))
    }

    fn containers(&self) -> Vec<String> {
        let filter = format!("label=df.deployment_id={}", self.deployment);
        let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&listed)
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.satellite.kill();
        let _ = self.satellite.wait();
        for id in self.containers() {
            let _ = docker(&["rm", "--force", &id]);
        }
        let _ = docker(&["network", "rm", NETWORK]);
        let _ = docker(&["image", "rm", IMAGE]);
    }
}

fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let stderr = BufReader::new(child.stderr.take().ok_or("no log")?);
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in stderr.lines().map_while(std::result::Result::ok) {
            let _ = send.send(line); // read to the end, whether anybody listens or not
        }
    });
    Ok(receive)
}

/// Builds an image from the program of the model server.
fn make_image(program: &str) -> Result<()> {
    let listed = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let libraries = text
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'));
    let file =
        std::env::temp_dir().join(format!("luml-satellite-bench-{}.tar", std::process::id()));
    let packed = Command::new("tar")
        .args(["--create", "--dereference", "--absolute-names", "--file"])
        .arg(&file)
        .arg(format!("--transform=s|^{program}$|/model|"))
        .arg(program)
        .args(libraries)
        .status()?;
    let entry = r#"ENTRYPOINT ["/model"]"#;
    let imported = docker(&["import", "--change", entry, &file.to_string_lossy(), IMAGE]);
    fs::remove_file(file)?;
    match packed.success() {
        true => imported.map(drop),
        false => Err("tar could not pack the image".into()),
    }
}

fn docker(arguments: &[&str]) -> Result<Output> {
    let output = Command::new("docker").args(arguments).output()?;
    match output.status.success() {
        true => Ok(output),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}
