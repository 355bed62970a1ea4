//! `luml-satellite demo`: deploys, queries and undeploys a real ONNX model, with the model server
//! in a container or as a process.

mod stay;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::temp_directory;
use satellite_sdk::serve::{Limits, Response, Server};
use satellite_sdk::testing::{MockPlatform, mock_task};
use satellite_sdk::{Result, Variables};
use serde_json::json;

use crate::engine::{Docker, Engine};
use crate::run;
use crate::settings::Settings;

/// The command of this program that is the model server.
pub const MODEL_SERVER: &str = "model-server";

const IMAGE: &str = "luml-satellite-demo:latest";
const NETWORK: &str = "luml-satellite-demo";
const DEPLOYMENT: &str = "0198c0de-0000-7000-8000-000000000d3a";
const ARTIFACT: &str = "0198c0de-0000-7000-8000-00000000a27f";
const KEY: &str = "dfs_demo_key";
const TASK_TIMEOUT: Duration = Duration::from_secs(60);

/// A small classifier with three classes and a reference profile; `make.py` beside it made it.
const MODEL: &[u8] = include_bytes!("demo/classifier.fnnx");
const QUESTION: &str = r#"{"inputs": {"x": [[1.1, -1.3, -0.8, 0.6]]}}"#;

/// `EX_UNAVAILABLE` of `sysexits.h`.
const UNAVAILABLE: u8 = 69;

pub fn demo(arguments: &[String]) -> ExitCode {
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let stays = words.iter().position(|word| *word == "--stay");
    let stays = stays.map(|at| words.remove(at)).is_some();
    let wants_process = match words[..] {
        [] => None,
        ["--engine", "docker"] | ["--engine=docker"] => Some(false),
        ["--engine", "process"] | ["--engine=process"] if cfg!(target_os = "linux") => Some(true),
        _ => {
            eprintln!("usage: luml-satellite demo [--engine docker|process] [--stay]");
            return ExitCode::from(64);
        }
    };
    satellite_sdk::log_to_stderr();
    if std::env::var_os("RUST_LOG").is_none() {
        log::set_max_level(log::LevelFilter::Warn); // the demo reports on stdout
    }
    let settings = settings(&[("LUML_MODEL_IMAGE", IMAGE)]);
    let docker = Docker::new(&settings);
    let end = match (wants_process, docker.version()) {
        (Some(true), _) => process(stays),
        (_, Ok(version)) => {
            print_line("engine", &format!("{} {version}", settings.docker));
            containers(&docker, settings, stays)
        }
        (None, Err(fault)) if cfg!(target_os = "linux") => {
            print_line("engine", &format!("none: {fault}"));
            process(stays)
        }
        (_, Err(fault)) => {
            eprintln!("no container engine: {fault}");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The settings of the demo: these, and which engine to use. No setting of a real satellite.
fn settings(own: &[(&'static str, &str)]) -> Settings {
    let own: Vec<_> = own
        .iter()
        .map(|(n, value)| (*n, (*value).to_owned()))
        .collect();
    let mut variables = Variables::from_lookup(move |name| match name {
        "LUML_DOCKER" | "DOCKER_HOST" | "PATH" => std::env::var(name).ok(),
        _ => own
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.clone()),
    });
    Settings {
        network: NETWORK.into(),
        gateway: ([127, 0, 0, 1], 0).into(),
        reconcile_interval: Duration::from_secs(2),
        ..Settings::read(&mut variables)
    }
}

/// The model server is this program, as a child process.
fn process(stays: bool) -> Result<()> {
    print_line("engine", "process: the model server is a child process");
    if std::env::var_os("RUST_LOG").is_none() {
        log::set_max_level(log::LevelFilter::Error); // a demo needs no limits and no user
    }
    let state = temp_directory()?;
    let program = std::env::current_exe()?.display().to_string();
    let mut settings = settings(&[
        ("LUML_ENGINE", "process"),
        ("LUML_STATE_DIR", &state.path().display().to_string()),
        ("LUML_MODEL_SERVER", &program),
    ]);
    settings.process.arguments = vec![MODEL_SERVER.to_owned()];
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    run_scenario(settings, host, "127.0.0.1", stays)
}

/// The model server is this program, in a container.
fn containers(docker: &Docker, settings: Settings, stays: bool) -> Result<()> {
    // All demos on a host use the same image, network and container names.
    let _lock = wait_for_other_demos();
    let end = (|| {
        make_image(docker)?;
        docker.ensure_network().map_err(satellite_sdk::Error::new)?;
        // The host's own address in the network: not reachable from elsewhere.
        match docker.gateway_of_network() {
            Some(host) => run_scenario(settings, host, &host.to_string(), stays),
            None => run_scenario(
                settings,
                Ipv4Addr::UNSPECIFIED.into(),
                "host.docker.internal",
                stays,
            ),
        }
    })();
    let _ = docker.remove_image(IMAGE);
    let _ = docker.remove_network(NETWORK);
    end?;
    print_line("removed", "image and network");
    Ok(())
}

/// Returns a lock that the system releases when this process ends for any reason. Without a
/// lock file the demo runs all the same.
#[cfg(target_os = "linux")]
fn wait_for_other_demos() -> Option<rustix::fd::OwnedFd> {
    use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

    let path = std::env::temp_dir().join("luml-satellite-demo.lock");
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(&path, flags, Mode::from_raw_mode(0o644)).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        print_line("waiting", "another demo is running on this host");
        flock(&file, FlockOperation::LockExclusive).ok()?;
    }
    Some(file)
}

#[cfg(not(target_os = "linux"))]
fn wait_for_other_demos() {}

/// Deploys a model, queries it, undeploys it. The file of the model is served on `listen`,
/// which model servers reach by the name `host`.
fn run_scenario(mut settings: Settings, listen: IpAddr, host: &str, stays: bool) -> Result<()> {
    let platform = MockPlatform::start();
    let files = Server::bind((listen, 0), Limits::default(), |request| {
        match request.path() {
            "/classifier.fnnx" => Response::new(200).body(MODEL),
            _ => Response::text(404, "not found"),
        }
    })?;
    let url = format!(
        "http://{host}:{}/classifier.fnnx?signature=demo",
        files.addr().port()
    );
    let record = json!({ "name": "classifier", "manifest": { "variant": "pipeline" } });
    platform.add_artifact(ARTIFACT, record, &url);
    platform.add_deployment(json!({
        "id": DEPLOYMENT, "name": "classifier", "artifact_id": ARTIFACT,
        "satellite_parameters": { "monitoring_enabled": stays },
    }));
    platform.add_inference_key(KEY);
    let payload = json!({ "deployment_id": DEPLOYMENT });
    platform.add_task(mock_task("deploy-1", "deploy", payload));
    print_line("platform", &platform.url());

    if stays {
        settings.monitoring.interval = Duration::from_secs(5);
        settings.monitoring.window = Duration::from_secs(60);
    }
    let worker = match stays {
        true => stay::with_page(platform.worker()),
        false => platform.worker(),
    };
    let built = run::build(worker, settings)?;
    let (mut satellite, gateway, shared) = (built.satellite, built.gateway, built.shared);
    let stop = satellite.stop_handle();
    let page = satellite.health_address();
    let worker = thread::spawn(move || satellite.run());
    let result = (|| {
        let begun = Instant::now();
        wait_for(&platform, "deploy-1")?;
        print_line(
            "deployed",
            &format!("{DEPLOYMENT} in {:.1?}", begun.elapsed()),
        );

        let url = format!("http://{}/deployments/{DEPLOYMENT}/compute", gateway.addr());
        let begun = Instant::now();
        let mut answer = ureq::post(&url)
            .header("authorization", format!("Bearer {KEY}"))
            .send(QUESTION)
            .map_err(satellite_sdk::Error::new)?;
        let text = answer.body_mut().read_to_string();
        print_line("asked", QUESTION);
        print_line(
            "predicted",
            &format!(
                "{} in {:.1?}",
                text.map_err(satellite_sdk::Error::new)?,
                begun.elapsed()
            ),
        );

        if stays {
            stay::stay(&url, KEY, page)?;
        }
        platform.request_deletion(DEPLOYMENT, "undeploy-1");
        wait_for(&platform, "undeploy-1")?;
        let left = shared
            .engine()
            .containers_of(DEPLOYMENT)
            .map_err(satellite_sdk::Error::new)?;
        print_line("undeployed", &format!("{} model servers left", left.len()));
        match left.is_empty() && platform.deployment(DEPLOYMENT).is_none() {
            true => Ok(()),
            false => Err("the deployment was not removed completely".into()),
        }
    })();
    stop.stop();
    let end = worker.join();
    shared.monitoring().stop();
    shared.engine().end();
    end.map_err(|_| "the worker panicked")??;
    result
}

fn wait_for(platform: &MockPlatform, task: &str) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < TASK_TIMEOUT {
        if platform.wait_for(task, "done", Duration::from_millis(200)) {
            return Ok(());
        }
        if platform.status(task) == "failed" {
            return Err(format!("{task} failed: {}", platform.result(task)).into());
        }
    }
    Err(format!(
        "{task} is still {} after {TASK_TIMEOUT:?}",
        platform.status(task)
    )
    .into())
}

/// Builds an image from this program: no registry is needed. If the program is not static,
/// the image contains the libraries that it has loaded.
pub fn make_image(engine: &Docker) -> Result<()> {
    let program = std::env::current_exe()?;
    let archive = Command::new("tar")
        .args([
            "--create",
            "--dereference",
            "--absolute-names",
            "--file",
            "-",
        ])
        .arg(format!(
            "--transform=s|^{}$|/luml-satellite|",
            program.display()
        ))
        .arg(&program)
        .args(libraries()?)
        .output()?;
    if !archive.status.success() {
        return Err(String::from_utf8_lossy(&archive.stderr).into_owned().into());
    }
    let changes = [
        r#"ENTRYPOINT ["/luml-satellite", "model-server"]"#,
        // The image has no folder for temporary files.
        "ENV TMPDIR=/",
        "EXPOSE 8080",
    ];
    engine
        .import(&archive.stdout, IMAGE, &changes)
        .map_err(satellite_sdk::Error::new)?;
    print_line(
        "image",
        &format!("{IMAGE}, {} kB", archive.stdout.len() / 1000),
    );
    Ok(())
}

/// The libraries of this process, from its memory map, and its dynamic loader.
fn libraries() -> Result<BTreeSet<PathBuf>> {
    let map = std::fs::read_to_string("/proc/self/maps")?;
    let files = map
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(5));
    let mut libraries: BTreeSet<PathBuf> = files
        .filter(|file| file.contains(".so"))
        .map(PathBuf::from)
        .collect();
    let loaders = [
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/ld-linux-aarch64.so.1",
        "/lib/ld-linux-armhf.so.3",
    ];
    if !libraries.is_empty() {
        libraries.extend(
            loaders
                .map(PathBuf::from)
                .into_iter()
                .filter(|l| l.exists()),
        );
    }
    Ok(libraries)
}

fn print_line(what: &str, seen: &str) {
    println!("{what:<10} {seen}");
}
