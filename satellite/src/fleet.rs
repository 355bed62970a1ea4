//! What all parts of the satellite share: the engine, the queue of jobs, and the way
//! to each model.

use std::fmt;
use std::sync::Arc;

use satellite_sdk::Context;

use crate::engine::{Container, Engine, Fault};
use crate::gateway::Routes;
use crate::queue::Queue;
use crate::settings::Settings;

/// The name under which `/readyz` tells that the engine is away.
const ENGINE: &str = "engine";

/// Shared by everybody; clones are cheap.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    settings: Settings,
    engine: Engine,
    owner: String,
    routes: Routes,
    queue: Queue,
}

impl Fleet {
    pub fn new(settings: Settings, owner: String, routes: Routes) -> Self {
        Fleet(Arc::new(Shared {
            engine: Engine::new(&settings),
            settings,
            owner,
            routes,
            queue: Queue::default(),
        }))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The ways to the models, for the gateway.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// What this satellite marks its containers with.
    pub fn owner(&self) -> &str {
        &self.0.owner
    }

    pub fn owns(&self, container: &Container) -> bool {
        container.owner.as_deref() == Some(self.owner())
    }

    /// The jobs on each deployment.
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fleet")
    }
}

impl Fleet {
    pub fn engine_is_away(&self, cx: &Context, fault: &Fault) {
        cx.health().problem(ENGINE, fault);
    }

    pub fn engine_is_back(&self, cx: &Context) {
        cx.health().clear(ENGINE);
    }
}
