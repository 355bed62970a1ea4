//! From a few calls to a satellite that runs.

mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Result;
use crate::health::{self, Health};
use crate::luml::{PlatformClient, Registration, Task, capabilities_of};
use crate::settings::{Draft, Settings, Variables};
use crate::wake::Waiter;
use crate::worker::context::{Context, Shared};
#[cfg(feature = "state")]
use crate::worker::embedding::Embedding;
use crate::worker::exit::Exit;
use crate::worker::figures;
use crate::worker::handler::{self, AnyHandler, Failure, Handler};
use crate::worker::inbox::Inbox;
use crate::worker::journal::Journal;
use crate::worker::notify::Notifier;
use crate::worker::outbox::{OnReport, Outbox, Report};
use crate::worker::periodic::Periodic;
use crate::worker::satellite::{OnOrphan, Satellite};
use crate::worker::signals::OnStop;

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
        #[cfg(feature = "state")]
        let may_act = processor.as_ref().map(|p| Arc::clone(&p.may_act));
        #[cfg(not(feature = "state"))]
        let (health, may_act) = (Health::good(), None);
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
                may_act,
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
