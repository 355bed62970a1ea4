//! The process engine: model servers as child processes of this satellite, for hosts that
//! are too small for a container engine.
//!
//! A model server has a folder in the state folder, with its record and its log. It survives
//! a kill of the satellite, and the next process adopts it by its pid and start time. Its
//! variables are only in memory, so a server that has ended meanwhile is restarted with
//! variables that are fetched again.

mod cgroup;
mod identity;
mod launch;
mod log_file;
mod model_process;
mod record;

pub use launch::{COMMAND as LAUNCH, launch};

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use self::cgroup::Cgroup;
use self::model_process::ModelProcess;
use self::record::Record;
use super::{Container, ContainerSpec, Engine, Environment, EnvironmentSource, Fault};
use crate::masker::Output;
use crate::settings::{ProcessSettings, Settings};
use crate::variants;

/// How often processes are checked for their end, and logs for their size.
const TICK: Duration = Duration::from_millis(500);

/// How long the kernel may take to end a process after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// The engine. Clones share one state.
#[derive(Clone)]
pub(super) struct Processes(Arc<Shared>);

struct Shared {
    settings: ProcessSettings,
    /// How long a model server may take to stop after SIGTERM.
    stop_timeout: Duration,
    /// The port by which [`Container::port`] is asked.
    container_port: u16,
    folder: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether this process supervises the model servers. `ls` only reads their records.
    is_supervisor: bool,
    has_ended: bool,
    cgroup: Option<Cgroup>,
    models: Vec<ModelProcess>,
}

impl State {
    fn model(&mut self, id: &str) -> Option<&mut ModelProcess> {
        self.models.iter_mut().find(|model| model.id() == id)
    }
}

impl Processes {
    pub(super) fn new(settings: &Settings) -> Self {
        Processes(Arc::new(Shared {
            settings: settings.process.clone(),
            stop_timeout: settings.stop_timeout(),
            container_port: settings.model_port,
            folder: settings.process.state_dir.join("models"),
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with what has happened to the processes since the last call.
    fn current(&self) -> Result<MutexGuard<'_, State>, Fault> {
        let mut state = self.state();
        if state.has_ended {
            return Err(Fault::NoEngine("the satellite is stopping".into()));
        }
        if !state.is_supervisor {
            state.models = self.load().map_err(|e| self.unavailable(&e))?;
        }
        state.models.iter_mut().for_each(ModelProcess::observe);
        Ok(state)
    }

    /// Reads the records.
    fn load(&self) -> io::Result<Vec<ModelProcess>> {
        let mut models = Vec::new();
        let folders = match fs::read_dir(&self.0.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(models),
            folders => folders?,
        };
        for folder in folders {
            let folder = folder?.path();
            match Record::load(&folder) {
                Ok(Some(record)) => models.push(ModelProcess::found(folder, record)),
                // A satellite was killed when it created or removed the folder.
                Ok(None) => {}
                Err(error) => log::warn!("{}: {error}", folder.display()),
            }
        }
        Ok(models)
    }

    fn unavailable(&self, error: &io::Error) -> Fault {
        Fault::NoEngine(format!("{}: {error}", self.0.folder.display()))
    }

    fn container_of(&self, model: &ModelProcess) -> Container {
        model.container(self.0.container_port)
    }

    /// Restarts processes and cuts logs until the engine ends. Sleeps while there is no model.
    fn supervise(&self) {
        let mut state = self.state();
        while !state.has_ended {
            state = match state.models.is_empty() {
                true => self.0.changed.wait(state),
                false => self.0.changed.wait_timeout(state, TICK).map_or_else(
                    |poisoned| Err(PoisonError::new(poisoned.into_inner().0)),
                    |(state, _)| Ok(state),
                ),
            }
            .unwrap_or_else(PoisonError::into_inner);
            if state.has_ended {
                return;
            }
            let State { cgroup, models, .. } = &mut *state;
            for model in models {
                model.observe();
                model.restart_if_due(&self.0.settings, cgroup.as_ref());
                if let Err(error) = log_file::limit(model.folder()) {
                    log::warn!("{}: cannot cut its log: {error}", model.name());
                }
            }
        }
    }

    /// Stops these processes, all at once: SIGTERM, and SIGKILL after a time.
    fn stop(&self, is_wanted: impl Fn(&str) -> bool) -> Result<(), Fault> {
        let stop_timeout = self.0.stop_timeout;
        let begun = Instant::now();
        let mut signalled = None;
        loop {
            let mut state = self.state();
            let wanted = state.models.iter_mut().filter(|m| is_wanted(m.id()));
            let elapsed = begun.elapsed();
            let signal = match elapsed < stop_timeout {
                true => Signal::TERM,
                false => Signal::KILL,
            };
            let mut running = None;
            for model in wanted {
                model.end();
                if model.is_running() {
                    if signalled != Some(signal) {
                        model.signal(signal);
                    }
                    running = Some(model.name().to_owned());
                }
            }
            signalled = Some(signal);
            drop(state);
            let Some(name) = running else { return Ok(()) };
            if elapsed > stop_timeout + KILL_TIMEOUT {
                return Err(Fault::TimedOut(format!(
                    "the process of {name} does not end"
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Creates the folder and the record of a model server that does not run yet.
    fn create(&self, spec: &ContainerSpec<'_>, deployment_id: &str) -> io::Result<ModelProcess> {
        let now = record::now();
        let id = format!("{deployment_id}-{:x}", now.as_nanos());
        let folder = self.0.folder.join(&id);
        create_private(&folder)?;
        kill_point("model folder");
        let record = Record {
            id,
            name: spec.name.to_owned(),
            labels: spec
                .labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            program: spec.image.to_owned(),
            restart_policy: spec.restart_policy.to_owned(),
            memory_limit: spec.memory_limit.map(str::to_owned),
            cpu_limit: spec.cpu_limit.map(str::to_owned),
            created: record::utc(now),
            started: record::utc(now),
            port: 0,
            process: None,
            cgroup: None,
            restarts: 0,
            exit_code: None,
        };
        record.save(&folder)?;
        kill_point("model record");
        Ok(ModelProcess::created(
            folder,
            record,
            spec.environment.clone(),
        ))
    }
}

impl Engine for Processes {
    fn begin(&self) {
        let mut state = self.state();
        let settings = &self.0.settings;
        match self.load() {
            Ok(models) => state.models = models,
            Err(error) => log::error!("{}: {error}", self.0.folder.display()),
        }
        remove_incomplete(&self.0.folder, &state.models);
        state.cgroup = match Cgroup::open() {
            Ok(group) => Some(group),
            Err(why) => {
                log::warn!("memory and CPU limits of deployments are not enforced: {why}");
                None
            }
        };
        if settings.user.is_none() && rustix::process::geteuid().is_root() {
            log::warn!("models run as root; set LUML_MODEL_USER to run them as another user");
        }
        state.is_supervisor = true;
        for model in &mut state.models {
            model.observe();
            if model.is_running() {
                log::info!("adopted {}, which runs as before", model.name());
            }
        }
        let engine = self.clone();
        let thread = thread::Builder::new().name("models".into());
        if let Err(error) = thread.spawn(move || engine.supervise()) {
            log::error!("models are not restarted: {error}");
        }
    }

    fn end(&self) {
        self.state().has_ended = true;
        self.0.changed.notify_all();
        if let Err(fault) = self.stop(|_| true) {
            log::warn!("{fault}");
        }
    }

    fn version(&self) -> Result<String, Fault> {
        // `check` may run as another user, and must not own the folder.
        if self.state().is_supervisor {
            create_private(&self.0.folder).map_err(|e| self.unavailable(&e))?;
        }
        Ok(format!(
            "processes, recorded in {}",
            self.0.folder.display()
        ))
    }

    fn containers(&self) -> Result<Vec<Container>, Fault> {
        let state = self.current()?;
        Ok(state.models.iter().map(|m| self.container_of(m)).collect())
    }

    fn containers_of(&self, deployment_id: &str) -> Result<Vec<Container>, Fault> {
        let mut found = self.containers()?;
        found.retain(|container| container.deployment_id == deployment_id);
        Ok(found)
    }

    fn container(&self, id: &str) -> Option<Result<Container, Fault>> {
        let state = match self.current() {
            Ok(state) => state,
            Err(fault) => return Some(Err(fault)),
        };
        let found = state.models.iter().find(|m| m.id() == id || m.name() == id);
        found.map(|model| Ok(self.container_of(model)))
    }

    fn has_image(&self, image: &str) -> Result<bool, Fault> {
        Ok(variants::is_program(image))
    }

    fn pull(&self, image: &str, _: &mut dyn FnMut(&str)) -> Result<(), Fault> {
        Err(Fault::NoImage(format!("there is no program {image}")))
    }

    fn start(&self, spec: &ContainerSpec<'_>) -> Result<String, Fault> {
        check_variables(spec.environment)?;
        let mut state = self.current()?;
        let State { cgroup, models, .. } = &mut *state;
        let deployment_id = spec.label(super::DEPLOYMENT).unwrap_or_default();
        let other = |e: io::Error| Fault::Other(format!("{}: {e}", spec.name));
        let mut model = self.create(spec, deployment_id).map_err(other)?;
        if let Err(error) = model.spawn(&self.0.settings, cgroup.as_ref()) {
            let _ = model.remove();
            return Err(other(error));
        }
        let id = model.id().to_owned();
        models.push(model);
        self.0.changed.notify_all();
        Ok(id)
    }

    fn restart(&self, id: &str, environment: EnvironmentSource<'_>) -> Result<(), Fault> {
        // Before the lock: it waits for the platform.
        let environment = environment().map_err(|e| Fault::Other(e.error().to_owned()))?;
        check_variables(&environment)?;
        let mut state = self.current()?;
        let State { cgroup, models, .. } = &mut *state;
        let model = models.iter_mut().find(|m| m.id() == id);
        let model = model.ok_or(Fault::NoContainer)?;
        model.begin_again(environment);
        let spawned = model.spawn(&self.0.settings, cgroup.as_ref());
        spawned.map_err(|e| Fault::Other(format!("{}: {e}", model.name())))
    }

    fn adopt(&self, id: &str, environment: &Environment) {
        if let Some(model) = self.state().model(id) {
            model.supervise_with(environment.clone());
        }
    }

    fn remove(&self, id: &str) -> Result<bool, Fault> {
        let find = |state: &State| {
            let mut models = state.models.iter();
            models
                .find(|m| m.id() == id || m.name() == id)
                .map(|m| m.id().to_owned())
        };
        let Some(id) = find(&*self.current()?) else {
            return Ok(false);
        };
        self.stop(|other| other == id)?;
        kill_point("model stopped");
        let mut state = self.state();
        if let Some(model) = state.model(&id) {
            let removed = model.remove();
            removed.map_err(|e| Fault::Other(format!("{}: {e}", model.name())))?;
        }
        kill_point("model removed");
        state.models.retain(|model| model.id() != id);
        Ok(true)
    }

    fn last_lines(&self, id: &str) -> Output {
        log_file::last_lines(&self.0.folder.join(id))
    }
}

/// Rejects variables that cannot be passed on, and those by which a deployment could load
/// code into the launcher or the model server.
fn check_variables(environment: &Environment) -> Result<(), Fault> {
    const LOADER: [&str; 4] = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "GLIBC_TUNABLES",
    ];
    let is_invalid = |name: &str, value: &str| {
        name.is_empty()
            || name.contains(['=', '\0'])
            || value.contains('\0')
            || LOADER.contains(&name)
    };
    let invalid = environment
        .iter()
        .find(|(name, value)| is_invalid(name, value.expose()));
    match invalid {
        Some((name, _)) => Err(Fault::Other(format!(
            "the environment variable {name:?} cannot be passed on to a process"
        ))),
        None => Ok(()),
    }
}

/// Removes folders without a record: a satellite was killed when it created or removed them.
/// A process was never recorded there, so none runs.
fn remove_incomplete(folder: &Path, models: &[ModelProcess]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_known = models.iter().any(|model| name == model.id());
        if !is_known && matches!(Record::load(&entry.path()), Ok(None)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// With `SATELLITE_KILL_AT`, the process kills itself when it reaches this point.
#[cfg(feature = "demo")]
fn kill_point(name: &str) {
    use rustix::process::{getpid, kill_process};

    if std::env::var("SATELLITE_KILL_AT").is_ok_and(|at| at == name) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

#[cfg(not(feature = "demo"))]
fn kill_point(_: &str) {}
