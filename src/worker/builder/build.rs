//! Handlers, behaviour, and building the satellite.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Builder;
use crate::luml::{PlatformClient, Registration, Task, capabilities_of, is_choosable};
use crate::settings::Draft;
use crate::worker::context::{Context, Shared};
use crate::worker::diagnostics::{ErrorWithText, JsonPayload, JsonResult, Shape};
#[cfg(feature = "state")]
use crate::worker::embedding::Embedding;
use crate::worker::handler::{self, Handler};
use crate::worker::handlers::Handlers;
use crate::worker::journal::Journal;
use crate::worker::loop_state::LoopState;
use crate::worker::metrics;
use crate::worker::notify::Notifier;
use crate::worker::outbox::Outbox;
use crate::worker::periodic::Periodic;
use crate::worker::problems;
use crate::worker::report::Report;
use crate::worker::satellite::{OnOrphan, Satellite};
use crate::worker::signals::OnStop;
use crate::worker::unclear_claims::UnclearClaims;
use satellite_core::Ended;
use satellite_core::Exit;
use satellite_core::Result;
use satellite_core::wake::Waiter;
use satellite_health::Health;

/// Handlers and running.
impl Builder {
    /// A builder without handlers, with the settings of the environment.
    pub fn new() -> Self {
        Builder {
            draft: Draft::default(),
            variables: None,
            settings: None,
            handlers: Handlers::default(),
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
    pub fn handler<S, H>(mut self, task_type: impl Into<String>, handler: H) -> Self
    where
        // rustc shows these lines when a bound is not met.
        H: Handler<S>,
        H::Shape: Shape,
        H::Payload: JsonPayload,
        H::Output: JsonResult,
        H::Error: ErrorWithText, // `Ok(..)` alone does not name its error type: use `done(..)`
    {
        self.handlers
            .insert(task_type.into(), handler::any(handler));
        self
    }

    /// Runs `work` at the start, and again whenever `interval` has passed since
    /// it returned: between tasks and while the loop waits. It returns nothing, or a
    /// `Result<(), E>`. An error or a panic is logged, and `work` runs again after
    /// the same interval.
    ///
    /// ```
    /// use satellite_sdk::{Builder, Context};
    /// use std::time::Duration;
    ///
    /// let mut calls = 0;
    /// Builder::new()
    ///     .every(Duration::from_secs(1), |_: &Context| log::debug!("alive"))
    ///     .every(Duration::from_secs(60), move |cx: &Context| {
    ///         calls += 1;
    ///         log::info!("call {calls}, {} deployments", cx.platform().list_deployments()?.len());
    ///         satellite_sdk::done(())
    ///     });
    /// ```
    pub fn every<R>(
        mut self,
        interval: Duration,
        mut work: impl FnMut(&Context) -> R + Send + 'static,
    ) -> Self
    where
        R: Ended,
        R::Error: ErrorWithText, // `Ok(..)` alone does not name its error type: use `done(..)`
    {
        let job = Box::new(move |cx: &Context| work(cx).outcome());
        self.periodic.push(Periodic::new(interval, job));
        self
    }

    /// Runs until a signal stops it, and returns the exit code for `main`.
    pub fn run(self) -> Exit {
        self.build()
            .and_then(|mut satellite| satellite.run())
            .into()
    }

    /// Checks the settings and binds the health port, so that configuration errors
    /// are found before the satellite runs.
    ///
    /// # Errors
    /// `is_settings()` lists all wrong settings, including a missing handler; a health
    /// port that is in use.
    pub fn build(mut self) -> Result<Satellite> {
        let settings = self.settings_with_handlers()?;
        for misspelt in &settings.misspelt {
            log::warn!("{misspelt}");
        }
        #[cfg(feature = "state")]
        let processor = self.processor.take();
        #[cfg(feature = "state")]
        let health = match &processor {
            Some(processor) => processor.health.clone(),
            None => Health::new(),
        };
        #[cfg(feature = "state")]
        let may_act = processor.as_ref().map(|p| Arc::clone(&p.may_act));
        #[cfg(not(feature = "state"))]
        let (health, may_act) = (Health::new(), None);
        health.starting(problems::PLATFORM, "not polled yet");
        health.metrics().show(metrics::ALL);
        health.page().program(&program(), "");
        health.page().platform(&settings.platform_url);
        #[cfg(feature = "page")]
        if let Some(token) = &settings.page_token {
            health.page().token(token.clone());
        }
        let registration = self.registration(settings.base_url.as_deref());
        if registration.is_some() {
            health.starting(problems::REGISTRATION, "not registered yet");
        }
        let (journal, undelivered) = match &settings.state_dir {
            Some(folder) => Journal::open(folder, health.clone())?,
            None => {
                log::info!(
                    "no state folder (LUML_STATE_DIR): if this process is killed, \
                     undelivered results are lost"
                );
                Default::default()
            }
        };
        let now = self.waiter.now();
        let mut outbox = Outbox::new(settings.max_backoff);
        undelivered
            .into_iter()
            .for_each(|report| outbox.push(report, now));
        let satellite = Satellite {
            #[cfg(feature = "health")]
            health_server: match settings.health {
                Some(address) => Some(satellite_health::HealthServer::start(
                    address,
                    health.clone(),
                )?),
                None => None,
            },
            shared: Arc::new(Shared {
                platform: PlatformClient::new(&settings, self.waiter.clone())?,
                state_dir: settings.state_dir.clone(),
                health,
                waiter: self.waiter,
                outbox: Mutex::new(outbox),
                journal: Mutex::new(journal),
                polling: AtomicBool::new(false),
                discard_results: AtomicBool::new(false),
                may_act,
                #[cfg(feature = "state")]
                processor: processor.as_ref().map(|p| Arc::clone(&p.context)),
            }),
            loop_state: LoopState::new(now, settings.max_backoff),
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
            unclear_claims: UnclearClaims::default(),
            stopped: Default::default(),
        };
        #[cfg(feature = "state")]
        if let Some(processor) = processor {
            let stop = satellite.stop_handle();
            (processor.on_stop)(Box::new(move || stop.stop()));
        }
        Ok(satellite)
    }

    /// Handles tasks of this type with an async function, run to completion by
    /// your own `block_on`: this kit has no async runtime.
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
        B: FnMut(Fut) -> Result<R, E> + Send + 'static,
        F: FnMut(Task<P>, Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>>,
        P: JsonPayload,
        R: JsonResult,
        E: ErrorWithText, // `Ok(..)` alone does not name its error type: use `done(..)`
    {
        self.handlers
            .insert(task_type.into(), handler::any_async(block_on, handler));
        self
    }

    /// Calls `see` with every report that the platform has accepted, for example to
    /// count them.
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

    /// Builds only the platform client, with the same settings: for tools and scripts.
    ///
    /// # Errors
    /// `is_settings()` lists all wrong settings.
    pub fn platform(mut self) -> Result<PlatformClient> {
        let settings = self.read_settings(None)?; // the state folder is not used
        PlatformClient::new(&settings, self.waiter)
    }
}

/// Behaviour.
impl Builder {
    /// What a stop does to a running task. Default: [`OnStop::Now`].
    pub fn on_stop(mut self, on_stop: OnStop) -> Self {
        self.on_stop = on_stop;
        self
    }

    /// What to do with tasks that a killed process of this satellite left running.
    /// Default: [`OnOrphan::Leave`].
    pub fn on_orphan(mut self, on_orphan: OnOrphan) -> Self {
        self.on_orphan = on_orphan;
        self
    }

    /// How long a handler may run before systemd's watchdog, if the unit has one,
    /// considers the worker stuck. Default: one hour. Nothing else limits a
    /// handler's run time.
    pub fn handler_limit(mut self, limit: Duration) -> Self {
        self.handler_limit = limit;
        self
    }

    /// Embeds the satellite in a processor: [`Context::state`] is the processor's
    /// state, a stop of the processor stops the satellite, and the processor's health
    /// endpoints report on both. The satellite then handles no signals and starts no
    /// health thread.
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
    pub fn processor<S: satellite_state::State>(
        mut self,
        cx: &satellite_state::ExecutionContext<S>,
    ) -> Self {
        self.processor = Some(Embedding::new(cx));
        self.signals = false;
        self.draft.health_enabled = Some(false);
        self
    }

    /// Does not handle SIGTERM and SIGINT. The program stops the satellite with a
    /// [`StopHandle`](crate::StopHandle).
    pub fn no_signals(mut self) -> Self {
        self.signals = false;
        self
    }
}

impl Builder {
    fn registration(&self, base_url: Option<&str>) -> Option<Registration> {
        let Some(base_url) = base_url else {
            log::info!("not registered with the platform: LUML_BASE_URL is not set");
            return None;
        };
        let capabilities = match self.capabilities.is_empty() {
            true => capabilities_of(self.handlers.types()),
            false => self.capabilities.clone(),
        };
        if capabilities.get("deploy").is_some_and(|d| !is_choosable(d)) {
            log::warn!(
                "the platform's UI offers this satellite for no model: its `deploy` capability \
                 lists no variants (Builder::capability, DeployCapability)"
            );
        }
        let mut registration = Registration::new(base_url);
        for (name, details) in capabilities {
            registration = registration.capability(name, details);
        }
        if let Some(slug) = &self.slug {
            registration = registration.slug(slug);
        }
        if !registration.has_capabilities() {
            log::warn!("not registered: the platform requires at least one capability");
            return None;
        }
        Some(registration)
    }
}

/// The name of this program, for the page.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
