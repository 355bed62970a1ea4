//! A satellite embedded in a processor: state, health and stop that they share.

use std::any::Any;
use std::sync::Arc;

use super::context::{Context, MayAct};
use satellite_core::{Error, Result};
use satellite_health::Health;
use satellite_state::{ExecutionContext, State, StateGuard};

/// A processor, independent of its state type.
pub(super) struct Embedding {
    /// The processor's own context, for [`Context::state`].
    pub(super) context: Arc<dyn Any + Send + Sync>,
    pub(super) health: Health,
    /// Registers a function that the processor calls when it stops.
    pub(super) on_stop: OnStop,
    /// Whether the processor may act; no task is claimed while it may not.
    pub(super) may_act: MayAct,
}

type Stop = Box<dyn Fn() + Send + Sync>;
type OnStop = Box<dyn FnOnce(Stop) + Send>;

impl Embedding {
    pub(super) fn new<S: State>(cx: &ExecutionContext<S>) -> Self {
        let (stopped_with, acting) = (cx.clone(), cx.clone());
        Embedding {
            context: Arc::new(cx.clone()),
            health: cx.health().clone(),
            may_act: Arc::new(move || acting.may_act()),
            on_stop: Box::new(move |stop| stopped_with.on_stop(stop)),
        }
    }
}

impl Context {
    /// The state of the processor that this worker is embedded in
    /// ([`Builder::processor`](super::Builder::processor)). Hold the guard for one
    /// step, not for a whole task: it blocks saving.
    ///
    /// # Errors
    /// When there is no processor, or its state has another type; when another
    /// process may have taken over the state: see [`ExecutionContext::may_act`].
    pub fn state<S: State>(&self) -> Result<StateGuard<'_, S>> {
        let processor = self.shared.processor.as_ref();
        let processor = processor
            .and_then(|context| context.downcast_ref::<ExecutionContext<S>>())
            .ok_or_else(|| {
                Error::new(format_args!(
                    "this worker is not embedded in a processor with a state of type {}",
                    std::any::type_name::<S>()
                ))
            })?;
        match processor.may_act() {
            true => Ok(processor.state()),
            false => Err(Error::new(
                "another process may have taken over the state of this worker's processor",
            )),
        }
    }
}
