//! Arguments and errors of the commands.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: luml-satellite install [--token-file FILE] [--root DIR] [--dry-run]
       luml-satellite uninstall [--purge] [--root DIR] [--dry-run]
       luml-satellite status
       luml-satellite upgrade FILE [--timeout SECONDS] [--hold SECONDS] [--dry-run]

  install    installs this binary as the systemd service luml-satellite: binary, unit, settings
             and token. Idempotent: restarts the service only if something changed.
  uninstall  stops and removes it; keeps settings and state, unless --purge is given.
  status     prints the state of the service.
  upgrade    replaces the installed binary by FILE and restarts the service. Restores the
             previous binary and unit if the new one is not ready in time, or does not stay so;
             also after a power failure.

  --token-file FILE  contains the satellite's token; - is the standard input. Required the
                     first time.
  --root DIR         installs into the system in this folder, and starts nothing.
  --dry-run          prints what would be done.
  --timeout SECONDS  how long the new binary may take to become ready (120).
  --hold SECONDS     how long it must then stay ready (10).

Exit codes: 0 success, 1 any other error (upgrade: the previous binary was restored), 3 status: not
running, 4 status: not installed, 64 usage, 65 FILE is not a luml-satellite for this machine,
73 another installation is in the way, 77 not root.
";

/// What the command line asks for.
#[derive(Debug)]
pub struct Options {
    pub root: PathBuf,
    pub token_file: Option<String>,
    pub file: Option<String>,
    pub purge: bool,
    pub dry_run: bool,
    pub timeout: Duration,
    pub hold: Duration,
    /// The upgrade runs already, in a service of its own.
    pub resume: bool,
    /// The service was not ready before the upgrade.
    pub was_not_ready: bool,
}

impl Options {
    pub fn parse(command: &str, arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Options {
            root: PathBuf::new(),
            token_file: None,
            file: None,
            purge: false,
            dry_run: false,
            timeout: Duration::from_secs(120),
            hold: Duration::from_secs(10),
            resume: false,
            was_not_ready: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (name, joined) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value = || {
                let value = joined.clone().or_else(|| arguments.next().cloned());
                value.ok_or_else(|| Failure::usage(format_args!("{name} requires a value")))
            };
            match (command, name) {
                ("install" | "uninstall", "--root") => options.root = value()?.into(),
                ("install", "--token-file") => options.token_file = Some(value()?),
                ("uninstall", "--purge") => options.purge = true,
                ("install" | "uninstall" | "upgrade", "--dry-run") => options.dry_run = true,
                ("upgrade", "--timeout") => options.timeout = seconds(name, &value()?)?,
                ("upgrade", "--hold") => options.hold = seconds(name, &value()?)?,
                ("upgrade", "--resume") => options.resume = true,
                ("upgrade", "--was-not-ready") => options.was_not_ready = true,
                ("upgrade", file) if !file.starts_with('-') && options.file.is_none() => {
                    options.file = Some(argument.clone());
                }
                _ => {
                    let text = format!("unexpected argument {argument:?}; see --help");
                    return Err(Failure::usage(text));
                }
            }
        }
        Ok(options)
    }
}

fn seconds(name: &str, value: &str) -> Result<Duration, Failure> {
    let number = value.parse::<u32>();
    let number = number.map_err(|_| {
        Failure::usage(format_args!(
            "{name}: expected whole seconds, not {value:?}"
        ))
    })?;
    Ok(Duration::from_secs(number.into()))
}

/// Why a command ended, with its exit code.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub text: String,
}

impl Failure {
    pub fn usage(text: impl Display) -> Self {
        Failure::new(64, text)
    }

    pub fn bad_file(text: impl Display) -> Self {
        Failure::new(65, text)
    }

    pub fn conflict(text: impl Display) -> Self {
        Failure::new(73, text)
    }

    pub fn not_permitted(text: impl Display) -> Self {
        Failure::new(77, text)
    }

    pub fn other(text: impl Display) -> Self {
        Failure::new(1, text)
    }

    pub fn io(path: impl Display, action: &str, error: &io::Error) -> Self {
        Failure::other(format_args!("cannot {action} {path}: {error}"))
    }

    fn new(code: u8, text: impl Display) -> Self {
        Failure {
            code,
            text: text.to_string(),
        }
    }
}
