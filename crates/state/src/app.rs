//! From a few calls to a processor that runs.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::context::ExecutionContext;
use super::core::{Core, Migrate};
use super::lifecycle::Process;
use super::memory::{Memory, State};
use super::processor::{Function, Processor, Tick};
use super::settings::{Environment, Overrides};
use super::store::{FileStore, Store};
use super::{endpoints, logs};
use satellite_core::Result;
use satellite_core::http::Secret;
use satellite_core::wake::{Clock, Waiter};
use satellite_core::{Ended, Exit, Failure};

/// A processor in the making: settings where the environment's and
/// `dory.yaml`'s are not wanted, and three ways to run.
///
/// ```no_run
/// use satellite_state::{App, Exit};
/// use std::time::Duration;
///
/// fn main() -> Exit {
///     App::new().tick(Duration::from_secs(1), |count: &mut u64, _| *count += 1)
/// }
/// ```
#[must_use = "an app does nothing until it is run"]
pub struct App {
    overrides: Overrides,
    store: Option<Box<dyn Store>>,
    migration: Option<(u32, Migrate)>,
    owns_process: bool,
    waiter: Waiter,
    begun: Instant,
}

/// Three ways to run.
impl App {
    /// Calls `tick` at once and then whenever `interval` has passed, with the
    /// state in its hands: it is saved between two ticks, never in one.
    ///
    /// ```no_run
    /// use satellite_state::{App, Exit};
    /// use std::collections::BTreeMap;
    /// use std::time::Duration;
    ///
    /// fn main() -> Exit {
    ///     App::new().tick(Duration::from_secs(60), |seen: &mut BTreeMap<String, u64>, cx| {
    ///         *seen.entry(cx.pod_name().to_owned()).or_default() += 1;
    ///     })
    /// }
    /// ```
    pub fn tick<S, R>(
        self,
        interval: Duration,
        tick: impl FnMut(&mut S, &ExecutionContext<S>) -> R,
    ) -> Exit
    where
        S: State,
        R: Ended,
    {
        self.run(Tick {
            interval,
            tick,
            state: PhantomData,
        })
    }

    /// Calls `run` once: it works until it is told to stop.
    ///
    /// ```no_run
    /// use satellite_state::{App, ExecutionContext, Exit};
    /// use std::time::Duration;
    ///
    /// fn main() -> Exit {
    ///     App::new().run_fn(|cx: &ExecutionContext<Vec<String>>| {
    ///         for turn in cx.run_loop(Duration::from_secs(1)) {
    ///             cx.state().push(format!("turn {turn}"));
    ///         }
    ///     })
    /// }
    /// ```
    pub fn run_fn<S, R>(self, run: impl FnMut(&ExecutionContext<S>) -> R) -> Exit
    where
        S: State,
        R: Ended,
    {
        self.run(Function {
            run,
            state: PhantomData,
        })
    }

    /// Runs a [`Processor`], to whom nothing is denied.
    pub fn run<P: Processor>(self, processor: P) -> Exit {
        let end = self.build(processor).and_then(Process::run);
        end.into()
    }

    /// Checks the settings and opens the endpoints, without running.
    ///
    /// # Errors
    /// `is_settings()` names all that is wrong; a port that is taken.
    ///
    /// ```
    /// use satellite_state::{App, ExecutionContext, Outcome, Processor};
    ///
    /// struct Once;
    ///
    /// impl Processor for Once {
    ///     type State = u64;
    ///     fn run(&mut self, cx: &ExecutionContext<u64>) -> Outcome {
    ///         *cx.state() += 1;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let folder = std::env::temp_dir().join("once-doc");
    /// let app = || App::new().processor_id("once").folder(&folder).endpoints(([127, 0, 0, 1], 0).into());
    /// for _ in 0..2 {
    ///     app().no_signals().build(Once)?.run()?;
    /// }
    /// let process = app().no_signals().build(Once)?;
    /// let cx = process.context();
    /// process.run()?;
    /// assert_eq!(*cx.state(), 3);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), satellite_state::Error>(())
    /// ```
    pub fn build<P: Processor>(mut self, processor: P) -> Result<Process<P>> {
        self.overrides.has_store = self.store.is_some();
        let (settings, named) = self.overrides.finish(&Environment::default())?;
        if self.owns_process {
            logs::start(&settings);
        }
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        let (schema, migrate) = match self.migration {
            Some(migration) => migration,
            None => {
                let migrate: fn(u32, Value) -> Result<Value, Failure> = P::migrate;
                (P::SCHEMA, Box::new(migrate) as Migrate)
            }
        };
        let memory = Arc::new(Memory::<P::State>::new());
        let store = self.store.unwrap_or(named);
        let core = Arc::new(Core::new(
            settings,
            schema,
            migrate,
            store,
            memory.clone(),
            self.waiter,
            self.begun,
        ));
        core.describe();
        let server = match endpoints::serve(&core) {
            Ok(server) => Some(server),
            // A pod has its addresses for itself; a host's may still be those of
            // the process whose state is to be taken over.
            Err(e) if core.settings.in_cluster => return Err(e),
            Err(e) => {
                log::info!("{e}; trying again with the state in hand");
                None
            }
        };
        Ok(Process {
            server,
            processor,
            cx: ExecutionContext { core, memory },
            owns_process: self.owns_process,
            is_started: false,
        })
    }
}

/// What it runs with.
impl App {
    /// With the settings of the environment and of `dory.yaml`.
    pub fn new() -> Self {
        App {
            overrides: Overrides::default(),
            store: None,
            migration: None,
            owns_process: true,
            waiter: Waiter::default(),
            begun: Instant::now(),
        }
    }

    /// In place of `DORY_PROCESSOR_ID`: what the state goes by.
    pub fn processor_id(mut self, id: impl Into<String>) -> Self {
        self.overrides.processor_id = Some(id.into());
        self
    }

    /// Where the state is kept, in place of `DORY_STATE_BACKEND`.
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// A [`FileStore`] in this folder.
    pub fn folder(self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.store(FileStore::new(folder))
    }

    /// Saves this often, when the state has changed: what a crash may cost at the
    /// most. In place of `DORY_CHECKPOINT_SEC`, 5 seconds.
    pub fn checkpoint_every(mut self, interval: Duration) -> Self {
        self.overrides.checkpoint_every = Some(interval);
        self
    }

    /// How long a turn may last before `/healthz` fails. In place of
    /// `DORY_STALL_LIMIT_SEC`, an hour.
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.overrides.stall_limit = Some(limit);
        self
    }

    /// From the word to stop to the last save, at the most. In place of
    /// `DORY_SHUTDOWN_TIMEOUT_SEC`, 30 seconds: less than the pod's grace period.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.overrides.shutdown_timeout = Some(limit);
        self
    }

    /// Where the endpoints are, in place of `DORY_HEALTH_HOST` and
    /// `DORY_HEALTH_PORT`; port 0 is of the system's choice.
    pub fn endpoints(mut self, address: SocketAddr) -> Self {
        self.overrides.health = Some(address);
        self
    }

    /// In place of `DORY_STATE_TOKEN`: whoever shows it may read and set the
    /// state. Without one, only this host may.
    pub fn state_token(mut self, token: impl Into<Secret>) -> Self {
        self.overrides.state_token = Some(token.into());
        self
    }

    /// The version of the state's shape, and how an older one becomes one of
    /// this version: in place of [`Processor::SCHEMA`] and
    /// [`Processor::migrate`], for closures.
    ///
    /// ```
    /// use satellite_state::App;
    /// use serde_json::json;
    ///
    /// let app = App::new().schema(2, |from, mut state| match from {
    ///     1 => {
    ///         state["names"] = json!([state["name"].take()]);
    ///         Ok(state)
    ///     }
    ///     _ => Err("older than anybody remembers".into()),
    /// });
    /// # let _ = app;
    /// ```
    pub fn schema(
        mut self,
        version: u32,
        migrate: impl Fn(u32, Value) -> Result<Value, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.migration = Some((version, Box::new(migrate)));
        self
    }

    /// Leaves signals, the log and the end of the process to the program, which
    /// stops the processor with [`ExecutionContext::stop`].
    pub fn no_signals(mut self) -> Self {
        self.owns_process = false;
        self
    }

    /// A clock in place of the system's for the turns: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.waiter.clock = Arc::new(clock);
        self
    }
}

impl Default for App {
    fn default() -> Self {
        App::new()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
