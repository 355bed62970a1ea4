//! The request to run a command, with all its options.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{fmt, fs};

use serde_json::{Map, Value, json};

use super::command::{self, Form};
use super::dialect::FaasDialect;
use satellite_core::http::Secret;
use satellite_core::open_words;
use satellite_core::{Error, Result};

/// A command to run, with its environment and limits.
///
/// ```
/// use std::time::Duration;
/// use satellite_faas::ExecutionRequest;
///
/// let simple: ExecutionRequest = "echo hello".into();
/// let words: ExecutionRequest = ["grep", "-c", "it's"].into();
/// let full = ExecutionRequest::command(["python3", "-"])
///     .environment("python-ai")
///     .stdin("print('hello')")
///     .env("LANG", "C")
///     .timeout(Duration::from_secs(120))
///     .memory_mb(2048);
/// # let _ = (simple, words, full);
/// ```
///
/// `Debug` prints neither the values of its variables nor its standard input.
#[derive(Clone)]
#[must_use]
pub struct ExecutionRequest {
    form: Form,
    stdin: Option<Vec<u8>>,
    envs: BTreeMap<String, Secret>,
    working_dir: Option<String>,
    timeout: Duration,
    is_checked: bool,
    /// Fields that are sent unchanged.
    fields: Map<String, Value>,
}

open_words! {
    /// The isolation technology of an execution.
    Runtime {
        /// A container.
        Docker = "docker",
        /// A microVM.
        Firecracker = "firecracker",
        /// The server's choice.
        Auto = "auto",
    }
}

open_words! {
    /// What happens to an execution's state.
    Mode {
        /// It is deleted with the execution: the default.
        Ephemeral = "ephemeral",
        /// The result is cached for identical requests.
        Cached = "cached",
        /// It is kept for a snapshot. The client checks that the command ran.
        Checkpointed = "checkpointed",
        /// It starts as a copy of another state.
        Branched = "branched",
        /// It is kept.
        Persistent = "persistent",
    }
}

impl ExecutionRequest {
    /// A shell script.
    pub fn shell(text: impl Into<String>) -> Self {
        Self::of(Form::Shell(text.into()))
    }

    /// A program and its arguments, without shell expansion.
    pub fn command<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Self {
        Self::of(Form::Words(words.into_iter().map(Into::into).collect()))
    }

    /// The contents of a file, run according to its extension: `.py` for `python3`,
    /// `.js` for `node`, `.rb` for `ruby`, `.pl` for `perl`, all others with a
    /// shell. At most 96 KiB.
    ///
    /// # Errors
    /// If the file cannot be read, is larger, or is not text.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let error = |what: &dyn fmt::Display| {
            Error::new(format_args!("{} cannot be run: {what}", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|e| error(&e))?;
        if text.len() > command::MAX_COMMAND_LEN {
            return Err(error(&format_args!(
                "more than {} bytes",
                command::MAX_COMMAND_LEN
            )));
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        Ok(match extension {
            Some("py") => Self::command(["python3", "-c", &text]),
            Some("js" | "mjs" | "cjs") => Self::command(["node", "-e", &text]),
            Some("rb") => Self::command(["ruby", "-e", &text]),
            Some("pl") => Self::command(["perl", "-e", &text]),
            _ => Self::shell(text),
        })
    }

    /// The environment to run in: one of the server's, or, for the real gateway,
    /// a container image. Default: the server's.
    pub fn environment(self, name: impl Into<String>) -> Self {
        self.with("image", name.into())
    }

    /// The time limit. Default: 30 s. It is sent to the server. The client waits a
    /// tenth longer, for the server's response at the limit, and then gives up: some
    /// servers ignore the limit.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// The standard input of the command. It is sent as a part of the command, so it
    /// must be small (about 96 KiB of text, 24 KiB of other bytes).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The working directory.
    pub fn working_dir(mut self, path: impl Into<String>) -> Self {
        self.working_dir = Some(path.into());
        self
    }

    /// Makes the shell change into the working directory and report the exit code at the
    /// end of the output, from which the client removes it. This is for the
    /// real gateway, which ignores the directory and always returns exit code 0. Always
    /// on with [`Mode::Checkpointed`], which the real gateway does not run at all.
    pub fn checked(mut self, checked: bool) -> Self {
        self.is_checked = checked;
        self
    }

    /// Memory, in MB.
    pub fn memory_mb(self, megabytes: u32) -> Self {
        self.with("memory_mb", megabytes)
    }

    /// CPU cores.
    pub fn cpu_cores(self, cores: u8) -> Self {
        self.with("cpu_cores", cores)
    }

    /// The isolation technology.
    pub fn runtime(self, runtime: Runtime) -> Self {
        self.with("runtime", runtime.as_str())
    }

    /// What happens to its state.
    pub fn mode(self, mode: Mode) -> Self {
        self.with("mode", mode.as_str())
    }

    /// The key under which the result is cached.
    pub fn cache_key(self, key: impl Into<String>) -> Self {
        self.with("cache_key", key.into())
    }

    /// Starts from a copy of this snapshot.
    pub fn snapshot(self, id: impl Into<String>) -> Self {
        self.with("snapshot_id", id.into())
    }

    /// Runs in this branch.
    pub fn branch_from(self, id: impl Into<String>) -> Self {
        self.mode(Mode::Branched).with("branch_from", id.into())
    }

    fn of(form: Form) -> Self {
        ExecutionRequest {
            form,
            stdin: None,
            envs: BTreeMap::new(),
            working_dir: None,
            timeout: Duration::from_secs(30),
            is_checked: false,
            fields: Map::new(),
        }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn limit(&self) -> Duration {
        self.timeout
    }

    /// The real gateway reports success for these without running them.
    pub(super) fn is_checkpointed(&self) -> bool {
        let mode = self.fields.get("mode").and_then(Value::as_str);
        mode == Some(Mode::Checkpointed.as_str())
    }

    /// The JSON body, and the marker that precedes the exit code in the output if the
    /// request is checked.
    pub(super) fn body(&self, dialect: FaasDialect) -> Result<(Value, Option<String>)> {
        if self.timeout.is_zero() {
            return Err(Error::settings(vec![
                "timeout: expected more than 0".into(),
            ]));
        }
        let invalid = self
            .envs
            .keys()
            .find(|name| name.is_empty() || name.contains(['=', '\0']));
        if let Some(name) = invalid {
            let problem = format!("env: {name:?} is not a valid variable name");
            return Err(Error::settings(vec![problem]));
        }
        let directory = self.working_dir.as_deref();
        let is_checked = self.is_checked || self.is_checkpointed();
        let marker = is_checked.then(command::new_marker);
        let form = match &self.stdin {
            Some(stdin) => self.form.reading(stdin)?,
            None => self.form.clone(),
        };
        let form = match &marker {
            Some(marker) => form.with_marker(marker, directory),
            None => form,
        };
        let envs = self.envs.iter().map(|(name, value)| (name, value.expose()));
        let (command, envs): (Value, Vec<Value>) = match dialect {
            FaasDialect::Gateway => (form.text()?.into(), envs.map(|pair| json!(pair)).collect()),
            FaasDialect::Server => {
                let joined = envs.map(|(name, value)| format!("{name}={value}").into());
                (form.words()?.into(), joined.collect())
            }
        };
        let mut body = self.fields.clone();
        body.insert("command".into(), command);
        body.insert("env_vars".into(), envs.into());
        let ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        body.insert("timeout_ms".into(), ms.into());
        if let Some(directory) = directory {
            body.insert("working_dir".into(), directory.into());
        }
        Ok((body.into(), marker))
    }
}

impl fmt::Debug for ExecutionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionRequest")
            .field("command", &self.form)
            .field("env", &self.envs.keys())
            .field("timeout", &self.timeout)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// A shell script.
impl From<&str> for ExecutionRequest {
    fn from(text: &str) -> Self {
        Self::shell(text)
    }
}

/// A shell script.
impl From<String> for ExecutionRequest {
    fn from(text: String) -> Self {
        Self::shell(text)
    }
}

/// A program and its arguments.
impl<T: Into<String>, const N: usize> From<[T; N]> for ExecutionRequest {
    fn from(words: [T; N]) -> Self {
        Self::command(words)
    }
}

impl From<&ExecutionRequest> for ExecutionRequest {
    fn from(request: &ExecutionRequest) -> Self {
        request.clone()
    }
}
