//! State that all parts of the satellite share: settings, the container engine, the job
//! queue, and the gateway's routes.

use std::fmt;
use std::sync::Arc;

use satellite_sdk::Context;

use crate::engine::{self, Container, Engine, Fault};
use crate::gateway::Routes;
use crate::monitoring::Monitoring;
use crate::queue::Queue;
use crate::settings::Settings;

/// The name under which `/readyz` reports that the engine is unavailable.
const ENGINE: &str = "engine";

/// Clones are cheap and share one state.
#[derive(Clone)]
pub struct Shared(Arc<State>);

struct State {
    settings: Settings,
    engine: Box<dyn Engine>,
    instance_id: String,
    routes: Routes,
    queue: Queue,
    monitoring: Monitoring,
}

impl Shared {
    pub fn new(settings: Settings, instance_id: String, routes: Routes) -> Self {
        Shared(Arc::new(State {
            engine: engine::open(&settings),
            monitoring: Monitoring::new(&settings),
            settings,
            instance_id,
            routes,
            queue: Queue::default(),
        }))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    /// The gateway's routes to the models.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// The id with which this satellite labels its containers.
    pub fn instance_id(&self) -> &str {
        &self.0.instance_id
    }

    /// Whether this satellite created the container.
    pub fn owns(&self, container: &Container) -> bool {
        container.instance_id.as_deref() == Some(self.instance_id())
    }

    /// The monitoring of predictions.
    pub fn monitoring(&self) -> &Monitoring {
        &self.0.monitoring
    }

    /// The jobs of each deployment.
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    pub fn set_engine_unavailable(&self, cx: &Context, fault: &Fault) {
        cx.health().problem(ENGINE, fault);
    }

    pub fn set_engine_available(&self, cx: &Context) {
        cx.health().clear(ENGINE);
    }
}
