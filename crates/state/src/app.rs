//! Builds and runs a processor.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::context::ExecutionContext;
use super::core::{Core, Intercept, Migrate};
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
use satellite_serve::{Request, Response};

/// Builds a processor: settings that override the environment and `dory.yaml`, and
/// three ways to run.
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
    intercept: Option<Intercept>,
    owns_process: bool,
    waiter: Waiter,
    started_at: Instant,
}

/// Three ways to run.
impl App {
    /// Calls `tick` immediately and then each time `interval` has passed, with mutable
    /// access to the state. The state is saved between ticks, never during one.
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

    /// Calls `run` once. It should return when a stop is requested.
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

    /// Runs a [`Processor`], with access to all hooks.
    pub fn run<P: Processor>(self, processor: P) -> Exit {
        let end = self.build(processor).and_then(Process::run);
        end.into()
    }

    /// Checks the settings and opens the endpoints, without running.
    ///
    /// # Errors
    /// `is_settings()`: names all invalid settings. Another error when the port is in use.
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
        let mut core = Core::new(
            settings,
            schema,
            migrate,
            store,
            memory.clone(),
            self.waiter,
            self.started_at,
        );
        core.intercept = self.intercept;
        let core = Arc::new(core);
        core.describe();
        let server = match endpoints::serve(&core) {
            Ok(server) => Some(server),
            // A pod has its own addresses. On a host, the process whose state is to be
            // taken over may still use this address.
            Err(e) if core.settings.in_cluster => return Err(e),
            Err(e) => {
                log::info!("{e}; will retry once this process holds the state");
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

/// Settings.
impl App {
    /// Uses the settings from the environment and from `dory.yaml`.
    pub fn new() -> Self {
        App {
            overrides: Overrides::default(),
            store: None,
            migration: None,
            intercept: None,
            owns_process: true,
            waiter: Waiter::default(),
            started_at: Instant::now(),
        }
    }

    /// The id under which the state is stored. Overrides `DORY_PROCESSOR_ID`.
    pub fn processor_id(mut self, id: impl Into<String>) -> Self {
        self.overrides.processor_id = Some(id.into());
        self
    }

    /// Where the state is stored. Overrides `DORY_STATE_BACKEND`.
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Stores the state with a [`FileStore`] in this folder.
    pub fn folder(self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.store(FileStore::new(folder))
    }

    /// How often the state is saved when it has changed: the most that a crash can
    /// lose. Overrides `DORY_CHECKPOINT_SEC`; 5 seconds by default.
    pub fn checkpoint_every(mut self, interval: Duration) -> Self {
        self.overrides.checkpoint_every = Some(interval);
        self
    }

    /// How long a turn may take before `/healthz` fails. Overrides
    /// `DORY_STALL_LIMIT_SEC`; one hour by default.
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.overrides.stall_limit = Some(limit);
        self
    }

    /// The maximum time from the stop request to the end of the last save. Overrides
    /// `DORY_SHUTDOWN_TIMEOUT_SEC`; 30 seconds by default. Must be less than the pod's
    /// grace period.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.overrides.shutdown_timeout = Some(limit);
        self
    }

    /// The address of the HTTP endpoints. Overrides `DORY_HEALTH_HOST` and
    /// `DORY_HEALTH_PORT`; with port 0 the system chooses a port.
    pub fn endpoints(mut self, address: SocketAddr) -> Self {
        self.overrides.health = Some(address);
        self
    }

    /// The token that allows clients to read and replace the state. Overrides
    /// `DORY_STATE_TOKEN`. Without a token, only clients on this host may.
    pub fn state_token(mut self, token: impl Into<Secret>) -> Self {
        self.overrides.state_token = Some(token.into());
        self
    }

    /// The schema version of the state, and how to migrate an older one to this
    /// version: replaces [`Processor::SCHEMA`] and [`Processor::migrate`] for
    /// closures.
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
    ///     _ => Err("unsupported schema version".into()),
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

    /// Responds to requests before the endpoints do, for more endpoints or other responses.
    /// Called for every request, on the thread of its connection, with whether the client may
    /// read and replace the state (see [`state_token`](Self::state_token)). `None` leaves the
    /// request to the endpoints. It must be fast, or limit how many requests it serves at a
    /// time: there are 32 connections.
    ///
    /// ```
    /// use satellite_state::App;
    /// use satellite_state::serve::Response;
    ///
    /// let app = App::new().intercept(|request, is_trusted| match request.path() {
    ///     "/version" => Some(Response::text(200, "1.2.3")),
    ///     "/state" if is_trusted => Some(Response::new(404)),
    ///     _ => None,
    /// });
    /// # let _ = app;
    /// ```
    pub fn intercept(
        mut self,
        respond: impl Fn(&mut Request<'_>, bool) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.intercept = Some(Box::new(respond));
        self
    }

    /// Installs no signal handlers and no logger, and never exits the process. The
    /// program stops the processor with [`ExecutionContext::stop`].
    pub fn no_signals(mut self) -> Self {
        self.owns_process = false;
        self
    }

    /// A clock that replaces the system clock for the turns: for tests.
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
