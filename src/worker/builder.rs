//! From a few calls to a satellite that runs.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::{Context, Shared};
#[cfg(feature = "state")]
use super::embedding::Embedding;
use super::exit::Exit;
use super::figures;
use super::handler::{self, AnyHandler, Failure, Handler};
use super::inbox::Inbox;
use super::journal::Journal;
use super::notify::Notifier;
use super::outbox::{OnReport, Outbox, Report};
use super::periodic::Periodic;
use super::satellite::{OnOrphan, Satellite};
use super::signals::OnStop;
use crate::error::Result;
use crate::health::{self, Health};
use crate::http::Secret;
use crate::luml::{PlatformClient, Registration, Task, capabilities_of};
use crate::settings::{Draft, Settings, Variables};
use crate::wake::{Clock, Waiter};

/// A satellite in the making: handlers, and settings where the environment's
/// are not wanted.
///
/// ```no_run
/// use satellite_sdk::{Builder, Context, Exit, Task};
///
/// fn main() -> Exit {
///     Builder::new()
///         .handler("echo", |task: Task, _: &Context| satellite_sdk::done(task.payload))
///         .run()
/// }
/// ```
#[must_use = "a builder does nothing until it is run"]
pub struct Builder {
    draft: Draft,
    variables: Option<Variables>,
    settings: Option<Settings>,
    handlers: BTreeMap<String, AnyHandler>,
    periodic: Vec<Periodic>,
    on_report: Option<OnReport>,
    on_stop: OnStop,
    on_orphan: OnOrphan,
    signals: bool,
    capabilities: BTreeMap<String, Value>,
    slug: Option<String>,
    handler_limit: Duration,
    waiter: Waiter,
    #[cfg(feature = "state")]
    processor: Option<Embedding>,
}

/// What it does.
impl Builder {
    /// A satellite without handlers, with the environment's settings.
    pub fn new() -> Self {
        Builder {
            draft: Draft::default(),
            variables: None,
            settings: None,
            handlers: BTreeMap::new(),
            periodic: Vec::new(),
            on_report: None,
            on_stop: OnStop::default(),
            on_orphan: OnOrphan::default(),
            signals: true,
            capabilities: BTreeMap::new(),
            slug: None,
            handler_limit: Duration::from_secs(3600),
            waiter: Waiter::default(),
            #[cfg(feature = "state")]
            processor: None,
        }
    }

    /// Handles tasks of this type. A second handler for the same type replaces
    /// the first.
    ///
    /// ```
    /// use satellite_sdk::{Builder, Context, Task};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Add { a: i64, b: i64 }
    ///
    /// Builder::new().handler("add", |task: Task<Add>, _: &Context| {
    ///     task.payload.a.checked_add(task.payload.b).ok_or("the sum is too large")
    /// });
    /// ```
    pub fn handler<S, H: Handler<S>>(mut self, task_type: impl Into<String>, handler: H) -> Self {
        self.handlers
            .insert(task_type.into(), handler::any(handler));
        self
    }

    /// Handles tasks of this type with an async function, run to its end by
    /// your own `block_on`: this kit brings no runtime.
    ///
    /// ```
    /// use satellite_sdk::{Builder, Context, Task};
    ///
    /// Builder::new().async_handler("echo", pollster::block_on, async |task: Task, _: Context| {
    ///     satellite_sdk::done(task.payload)
    /// });
    /// ```
    pub fn async_handler<B, F, Fut, P, R, E>(
        mut self,
        task_type: impl Into<String>,
        block_on: B,
        handler: F,
    ) -> Self
    where
        B: Fn(Fut) -> Result<R, E> + Send + 'static,
        F: Fn(Task<P>, Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>>,
        P: DeserializeOwned,
        R: Serialize,
        E: Into<Failure>,
    {
        self.handlers
            .insert(task_type.into(), handler::any_async(block_on, handler));
        self
    }

    /// Does `work` at the start and then whenever `interval` has passed since
    /// it ended, between tasks and while waiting. An error or a panic is logged,
    /// and it comes round again.
    ///
    /// ```
    /// use satellite_sdk::{Builder, Context};
    /// use std::time::Duration;
    ///
    /// let mut rounds = 0;
    /// Builder::new().every(Duration::from_secs(60), move |cx: &Context| {
    ///     rounds += 1;
    ///     log::info!("round {rounds}, {} deployments", cx.platform().list_deployments()?.len());
    ///     satellite_sdk::done(())
    /// });
    /// ```
    pub fn every<E: Into<Failure>>(
        mut self,
        interval: Duration,
        mut work: impl FnMut(&Context) -> Result<(), E> + Send + 'static,
    ) -> Self {
        let job = Box::new(move |cx: &Context| work(cx).map_err(Into::into));
        self.periodic.push(Periodic::new(interval, job));
        self
    }

    /// Sees every report after the platform has taken it: for counters of your own.
    ///
    /// ```
    /// use satellite_sdk::{Builder, Report};
    ///
    /// Builder::new().on_report(|report: &Report| {
    ///     println!("{} {} in {:?}", report.task_id, report.status, report.elapsed);
    /// });
    /// ```
    pub fn on_report(mut self, see: impl FnMut(&Report) + Send + 'static) -> Self {
        self.on_report = Some(Box::new(see));
        self
    }

    /// What a stop does to work under way; [`OnStop::Now`] unless told otherwise.
    pub fn on_stop(mut self, on_stop: OnStop) -> Self {
        self.on_stop = on_stop;
        self
    }

    /// What becomes of tasks that a killed process of this satellite left
    /// running; [`OnOrphan::Leave`] unless told otherwise.
    pub fn on_orphan(mut self, on_orphan: OnOrphan) -> Self {
        self.on_orphan = on_orphan;
        self
    }

    /// How long a handler may take before systemd's watchdog, where the unit has
    /// one, takes the worker for stuck: an hour unless told otherwise. Nothing
    /// else limits a handler's time.
    pub fn handler_limit(mut self, limit: Duration) -> Self {
        self.handler_limit = limit;
        self
    }

    /// Puts the satellite into a processor: [`Context::state`] is the processor's
    /// state, its stop is the satellite's, and its endpoints tell of both. The
    /// satellite has no signals and no health thread of its own then.
    ///
    /// ```no_run
    /// use satellite_sdk::state::{App, ExecutionContext};
    /// use satellite_sdk::{Builder, Context, Exit, Task, done};
    ///
    /// fn main() -> Exit {
    ///     App::new().run_fn(|cx: &ExecutionContext<u64>| {
    ///         let mut satellite = Builder::new()
    ///             .handler("count", |_: Task, cx: &Context| {
    ///                 let mut count = cx.state::<u64>()?;
    ///                 *count += 1;
    ///                 done(*count)
    ///             })
    ///             .processor(cx)
    ///             .build()?;
    ///         satellite.run().map(|_| ())
    ///     })
    /// }
    /// ```
    #[cfg(feature = "state")]
    pub fn processor<S: crate::state::State>(
        mut self,
        cx: &crate::state::ExecutionContext<S>,
    ) -> Self {
        self.processor = Some(Embedding::new(cx));
        self.signals = false;
        self.draft.health_enabled = Some(false);
        self
    }

    /// Leaves SIGTERM and SIGINT to the program, which stops the satellite with
    /// a [`StopHandle`](super::StopHandle).
    pub fn no_signals(mut self) -> Self {
        self.signals = false;
        self
    }
}

/// Settings, in place of the environment's.
impl Builder {
    /// The variables to take the settings from, with what was wrong about the
    /// program's own settings among them: all of it is named in one message.
    pub fn variables(mut self, variables: Variables) -> Self {
        self.variables = Some(variables);
        self
    }

    /// In place of `LUML_SATELLITE_TOKEN`.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.draft.token = Some(token.into());
        self
    }

    /// In place of `LUML_PLATFORM_URL`.
    pub fn platform_url(mut self, url: impl Into<String>) -> Self {
        self.draft.platform_url = Some(url.into());
        self
    }

    /// In place of `LUML_POLL_INTERVAL_SEC`: 10 ms to a day.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.draft.poll_interval = Some(interval);
        self
    }

    /// In place of `LUML_MAX_BACKOFF_SEC`: 10 ms to a day.
    pub fn max_backoff(mut self, max: Duration) -> Self {
        self.draft.max_backoff = Some(max);
        self
    }

    /// In place of `LUML_SUPPORTED_TASK_TYPES`: tasks of other types are left
    /// alone, for another satellite.
    pub fn supported_task_types<T: Into<String>>(
        mut self,
        types: impl IntoIterator<Item = T>,
    ) -> Self {
        self.draft.supported_task_types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// In place of `LUML_HEALTH_HOST` and `LUML_HEALTH_PORT`; port 0 is of the
    /// system's choice.
    pub fn health(mut self, host: IpAddr, port: u16) -> Self {
        self.draft.health_host = Some(host);
        self.draft.health_port = Some(port);
        self.draft.health_enabled = Some(true);
        self
    }

    /// In place of `LUML_HEALTH_ENABLED=false`.
    pub fn no_health(mut self) -> Self {
        self.draft.health_enabled = Some(false);
        self
    }

    /// In place of `LUML_BASE_URL`: where the platform reaches this satellite.
    /// With it the satellite registers at its start.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.draft.base_url = Some(url.into());
        self
    }

    /// In place of `LUML_CA_FILE`: PEM certificates of the authorities to trust,
    /// and no others.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.draft.ca_file = Some(path.into());
        self
    }

    /// In place of `LUML_STATE_DIR`, or of systemd's `STATE_DIRECTORY`: a folder of
    /// this satellite's own, made if it is not there.
    ///
    /// With it there is a journal: a result that a kill kept from being delivered is
    /// sent by the next process before its first poll, and a task whose claim was
    /// sent but whose handler had not begun is run. A second process with the same
    /// folder is refused. Results lie there in plain text, readable by this user
    /// alone, until the platform has taken them.
    ///
    /// ```
    /// satellite_sdk::Builder::new().state_dir("/var/lib/satellite");
    /// ```
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.draft.state_dir = Some(folder.into());
        self
    }

    /// In place of `LUML_ALLOW_PLAIN_HTTP=true`: the token may be read by anybody
    /// on the way to the platform.
    pub fn allow_plain_http(mut self) -> Self {
        self.draft.plain_http = Some(true);
        self
    }

    /// Tells the platform of a capability when registering, in place of those
    /// that follow from the handlers.
    ///
    /// ```
    /// satellite_sdk::Builder::new()
    ///     .base_url("http://edge-7.example:8000")
    ///     .capability("deploy", serde_json::json!({ "gpu": false }));
    /// ```
    pub fn capability(mut self, name: impl Into<String>, details: Value) -> Self {
        self.capabilities.insert(name.into(), details);
        self
    }

    /// A short name for URLs, told to the platform when registering.
    pub fn slug(mut self, slug: impl Into<String>) -> Self {
        self.slug = Some(slug.into());
        self
    }

    /// A clock in place of the system's: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.waiter.clock = Arc::new(clock);
        self
    }
}

/// Running it.
impl Builder {
    /// Runs until a signal ends it; the exit code says how. What `main` returns.
    pub fn run(self) -> Exit {
        self.build()
            .and_then(|mut satellite| satellite.run())
            .into()
    }

    /// Checks the settings and binds the health port, so that nothing can go
    /// wrong later that could have gone wrong now.
    ///
    /// # Errors
    /// `is_settings()` names all that is wrong; a health port that is taken.
    pub fn build(mut self) -> Result<Satellite> {
        let settings = self.settings()?;
        #[cfg(feature = "state")]
        let processor = self.processor.take();
        #[cfg(feature = "state")]
        let health = match &processor {
            Some(processor) => processor.health.clone(),
            None => Health::good(),
        };
        #[cfg(not(feature = "state"))]
        let health = Health::good();
        health.problem(health::PLATFORM, "not polled yet");
        health.metrics().show(figures::ALL);
        let registration = self.registration(settings.base_url.as_deref());
        if registration.is_some() {
            health.problem(health::REGISTRATION, "not registered yet");
        }
        let (journal, undelivered) = match &settings.state_dir {
            Some(folder) => Journal::open(folder, health.clone())?,
            None => Default::default(),
        };
        let now = self.waiter.now();
        let mut outbox = Outbox::default();
        undelivered
            .into_iter()
            .for_each(|report| outbox.push(report, now));
        let satellite = Satellite {
            #[cfg(feature = "health")]
            health_server: match settings.health {
                Some(address) => Some(health::HealthServer::start(address, health.clone())?),
                None => None,
            },
            shared: Arc::new(Shared {
                platform: PlatformClient::new(&settings, self.waiter.clone())?,
                health,
                waiter: self.waiter,
                outbox: Mutex::new(outbox),
                journal: Mutex::new(journal),
                polling: AtomicBool::new(false),
                cut: AtomicBool::new(false),
                #[cfg(feature = "state")]
                processor: processor.as_ref().map(|p| Arc::clone(&p.context)),
            }),
            settings,
            handlers: self.handlers,
            periodic: self.periodic,
            on_report: self.on_report,
            on_stop: self.on_stop,
            on_orphan: self.on_orphan,
            signals: self.signals,
            registration,
            handler_limit: self.handler_limit,
            notifier: Notifier::from_env(),
            inbox: Inbox::default(),
            stopped: Default::default(),
        };
        #[cfg(feature = "state")]
        if let Some(processor) = processor {
            let stop = satellite.stop_handle();
            (processor.on_stop)(Box::new(move || stop.stop()));
        }
        Ok(satellite)
    }

    /// Only the platform client, with the same settings: for tools and scripts.
    ///
    /// # Errors
    /// `is_settings()` names all that is wrong.
    pub fn platform(mut self) -> Result<PlatformClient> {
        PlatformClient::new(&self.settings()?, self.waiter)
    }

    /// Reads the settings and checks them, once: calls after this one do not
    /// change them any more. For what has to know them before it can be built.
    ///
    /// ```
    /// let mut builder = satellite_sdk::Builder::new().token("t");
    /// assert_eq!(builder.settings()?.token.expose(), "t");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_settings()` names all that is wrong.
    pub fn settings(&mut self) -> Result<Settings> {
        if let Some(settings) = &self.settings {
            return Ok(settings.clone());
        }
        let variables = self.variables.take().unwrap_or_else(Variables::from_env);
        let settings = std::mem::take(&mut self.draft).finish(variables)?;
        self.settings = Some(settings.clone());
        Ok(settings)
    }

    fn registration(&self, base_url: Option<&str>) -> Option<Registration> {
        let Some(base_url) = base_url else {
            log::info!("not registered with the platform: LUML_BASE_URL is not set");
            return None;
        };
        let capabilities = match self.capabilities.is_empty() {
            true => capabilities_of(self.handlers.keys().map(String::as_str)),
            false => self.capabilities.clone(),
        };
        let mut registration = Registration::new(base_url);
        for (name, details) in capabilities {
            registration = registration.capability(name, details);
        }
        if let Some(slug) = &self.slug {
            registration = registration.slug(slug);
        }
        if !registration.has_capabilities() {
            log::warn!("not registered: the platform takes none without a capability");
            return None;
        }
        Some(registration)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.draft)
            .field("handlers", &self.handlers.keys())
            .finish_non_exhaustive()
    }
}
