//! What is known about the application: its address and its paths.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use satellite_sdk::{Result, Variables};

use super::Sidecar;
use super::archive::Scope;

#[derive(Debug)]
pub struct Settings {
    pub command: Vec<OsString>,
    pub app: AppSettings,
    /// The folder that is kept as the state.
    pub scope: Option<Scope>,
    pub snapshot_every: Option<Duration>,
    pub snapshot_pause: bool,
    pub stop_signal: Option<super::StopSignal>,
}

/// Where the application listens, and what it serves.
#[derive(Debug, Clone, Default)]
pub struct AppSettings {
    pub host: String,
    pub port: Option<u16>,
    pub health_path: Option<String>,
    pub ready_path: Option<String>,
    pub prestop_path: Option<String>,
    pub is_required: bool,
    pub check_timeout: Duration,
    pub prestop_timeout: Duration,
    /// Requests to `/prestop` need the token.
    pub has_token: bool,
}

impl Settings {
    pub fn parse(arguments: Sidecar) -> Result<Self> {
        let mut read = Variables::from_env();
        let app = AppSettings::parse(&mut read, arguments.command.is_empty());
        let state_dir = arguments
            .state_dir
            .or_else(|| read.text("DORY_APP_STATE_DIR").map(PathBuf::from));
        if let Some(folder) = &state_dir {
            check_apart(&mut read, folder);
            check_id(&mut read);
        }
        let live = arguments.snapshot_every.is_some() || arguments.snapshot_pause;
        if live && state_dir.is_none() {
            read.problem("--snapshot-every", "expected --state-dir as well");
        }
        if arguments.snapshot_pause && arguments.command.is_empty() {
            read.problem(
                "--snapshot-pause",
                "expected a command: only an application that this process started can be paused",
            );
        }
        for name in &arguments.exclude {
            if name.components().count() != 1 {
                read.problem(
                    "--exclude",
                    format_args!("expected a name directly in the folder, found {name:?}"),
                );
            }
        }
        if arguments.command.is_empty() && app.port.is_none() && state_dir.is_none() {
            read.problem(
                "DORY_APP_PORT",
                "expected the application's port, since there is no command to run",
            );
        }
        read.finish()?;
        Ok(Settings {
            command: arguments.command,
            app,
            scope: state_dir.map(|root| Scope {
                root,
                excluded: arguments.exclude,
                limit: arguments.state_limit,
            }),
            snapshot_every: arguments.snapshot_every.map(Duration::from_secs_f64),
            snapshot_pause: arguments.snapshot_pause,
            stop_signal: arguments.stop_signal,
        })
    }
}

impl AppSettings {
    fn parse(read: &mut Variables, is_beside: bool) -> Self {
        let port = read.value("DORY_APP_PORT", None, "a port, 1 to 65535", |text| {
            let port = text.parse::<u16>().ok().filter(|port| *port > 0);
            port.map(Some)
        });
        let mut path = |name: &str| {
            let path = read.value(name, None, "a path such as /health", |text| {
                let is_plain = |c: char| c.is_ascii_graphic() && !"#<>\"\\^`{|}".contains(c);
                (text.starts_with('/') && text.chars().all(is_plain)).then(|| Some(text.to_owned()))
            });
            if path.is_some() && port.is_none() {
                read.problem(name, "expected DORY_APP_PORT as well");
            }
            path
        };
        let (health_path, ready_path, prestop_path) = (
            path("DORY_APP_HEALTH_PATH"),
            path("DORY_APP_READY_PATH"),
            path("DORY_APP_PRESTOP_PATH"),
        );
        let is_required = read.flag("DORY_READY_REQUIRES_APP", false);
        if is_required && is_beside && port.is_none() {
            read.problem("DORY_READY_REQUIRES_APP", "expected DORY_APP_PORT as well");
        }
        let host = read.value("DORY_APP_HOST", "127.0.0.1".to_owned(), "a host", |text| {
            let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
            let text = text.trim_start_matches('[').trim_end_matches(']');
            (!text.is_empty() && text.chars().all(is_host)).then(|| text.to_owned())
        });
        AppSettings {
            host,
            port,
            health_path,
            ready_path,
            prestop_path,
            is_required,
            check_timeout: read.seconds("DORY_APP_CHECK_TIMEOUT", Duration::from_secs(2)),
            prestop_timeout: read.seconds("DORY_PRESTOP_TIMEOUT", Duration::from_secs(25)),
            has_token: read.text("DORY_STATE_TOKEN").is_some(),
        }
    }
}

/// In a cluster the id follows from the pod's name; elsewhere it would be that of this
/// program, and all sidecars of a host would share one state.
fn check_id(read: &mut Variables) {
    let is_set = |name: &str| read.text(name).is_some();
    let files = [
        "/etc/dory/config.yaml",
        "/app/config/dory.yaml",
        "dory.yaml",
    ];
    let has_file =
        is_set("DORY_CONFIG_FILE") || files.iter().any(|path| std::path::Path::new(path).exists());
    let has_id = is_set("DORY_PROCESSOR_ID") || is_set("PROCESSOR_ID");
    if !has_id && !has_file && !is_set("KUBERNETES_SERVICE_HOST") {
        let expected = "expected an id, such as the name of the application, for its state";
        read.problem("DORY_PROCESSOR_ID", expected);
    }
}

/// The folder of the store must not be part of what is stored in it.
fn check_apart(read: &mut Variables, folder: &std::path::Path) {
    let store = match read.text("DORY_STATE_BACKEND").as_deref() {
        Some("configmap" | "s3") => return,
        Some("pvc") => read
            .text("DORY_STATE_PVC_MOUNT")
            .unwrap_or_else(|| "/data".to_owned()),
        _ => read
            .text("DORY_STATE_DIR")
            .unwrap_or_else(|| "dory-state".to_owned()),
    };
    let whole = |path: &std::path::Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
    if whole(store.as_ref()).starts_with(whole(folder)) {
        read.problem(
            "--state-dir",
            format_args!(
                "expected a folder that does not contain {store}, where the state is stored"
            ),
        );
    }
}
