//! The real SkyPilot server, started by `tests/live/skypilot`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use satellite_sdk::Variables;
use satellite_sdk::compute::skypilot::SkyPilotBuilder;
use satellite_sdk::compute::skypilot::SkyPilotClient;

/// Only one server runs at a time: they share a directory, and the machine may be small.
static ALONE: Mutex<()> = Mutex::new(());

pub struct Server {
    child: Child,
    port: u16,
    /// Accepts its requests to the internet and never responds.
    _nowhere: TcpListener,
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Server {
    /// A server that is ready, or `None` if live tests are not enabled.
    pub fn start(takes_tokens: bool) -> Option<Self> {
        if std::env::var_os("SATELLITE_LIVE").is_none_or(|value| value != "1") {
            eprintln!("skipped: SATELLITE_LIVE=1 runs it against the real server");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        install();
        let port = free_port();
        let mut command = script("run", port);
        if takes_tokens {
            command.env("ENABLE_SERVICE_ACCOUNTS", "true");
        }
        let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", nowhere.local_addr().unwrap());
        // Its dependencies are already installed.
        command
            .env("LIVE_DEAD_PROXY", proxy)
            .env_remove("https_proxy");
        let log = std::fs::File::create(folder().join("server.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Server {
            child: command.stdin(Stdio::null()).spawn().unwrap(),
            port,
            _nowhere: nowhere,
            _alone: alone,
        };
        let begun = Instant::now();
        let sky = server.client().max_retries(0).build().unwrap();
        while sky.health().is_err() {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server has ended with {status}: {}", end_of_its_log());
            }
            let waited = begun.elapsed();
            assert!(
                waited < Duration::from_secs(180),
                "no server: {}",
                end_of_its_log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(server)
    }

    pub fn address(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::LOCALHOST, self.port)
    }

    /// A client for it, independent of environment variables.
    pub fn client(&self) -> SkyPilotBuilder {
        client(&format!("http://127.0.0.1:{}", self.port))
    }

    /// A new service account token.
    pub fn token(&self) -> String {
        let output = script("token", self.port).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

pub fn client(url: &str) -> SkyPilotBuilder {
    SkyPilotClient::builder()
        .variables(Variables::from_lookup(|_| None))
        .url(url)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killing this process ends its first process, and that ends all others.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs the server, the node and their dependencies, once for all tests.
fn install() {
    let status = script("install", 0).status().unwrap();
    assert!(status.success(), "not installed: {status}");
}

/// The end of the server's log.
fn end_of_its_log() -> String {
    let log = std::fs::read(folder().join("server.log")).unwrap_or_default();
    String::from_utf8_lossy(&log[log.len().saturating_sub(2000)..]).into_owned()
}

fn script(command: &str, port: u16) -> Command {
    // The package of the commands uses this file too.
    let roots = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut scripts = roots.map(|root| root.join("tests/live/skypilot"));
    let mut script = Command::new(scripts.find(|script| script.is_file()).unwrap());
    script.arg(command).arg(folder()).arg(port.to_string());
    script
}

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("skypilot");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
