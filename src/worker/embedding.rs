//! A satellite in a processor: what the one has of the other.

use std::any::Any;
use std::sync::Arc;

use super::context::Context;
use satellite_core::{Error, Result};
use satellite_health::Health;
use satellite_state::{ExecutionContext, State, StateGuard};

/// A processor, whatever its state.
pub(super) struct Embedding {
    /// The processor's own context, for [`Context::state`].
    pub(super) context: Arc<dyn Any + Send + Sync>,
    pub(super) health: Health,
    /// Tells the processor whom to stop with itself.
    pub(super) on_stop: OnStop,
}

type Stop = Box<dyn Fn() + Send + Sync>;
type OnStop = Box<dyn FnOnce(Stop) + Send>;

impl Embedding {
    pub(super) fn new<S: State>(cx: &ExecutionContext<S>) -> Self {
        let stopped_with = cx.clone();
        Embedding {
            context: Arc::new(cx.clone()),
            health: cx.health().clone(),
            on_stop: Box::new(move |stop| stopped_with.on_stop(stop)),
        }
    }
}

impl Context {
    /// The state of the processor that this worker is a part of
    /// ([`Builder::processor`](super::Builder::processor)). Hold it for a step,
    /// not for a whole task: saving waits for it.
    ///
    /// # Errors
    /// When there is no processor, or its state is of another type.
    pub fn state<S: State>(&self) -> Result<StateGuard<'_, S>> {
        let processor = self.shared.processor.as_ref();
        processor
            .and_then(|context| context.downcast_ref::<ExecutionContext<S>>())
            .map(ExecutionContext::state)
            .ok_or_else(|| {
                Error::new(format_args!(
                    "this worker is in no processor with a state of type {}",
                    std::any::type_name::<S>()
                ))
            })
    }
}
