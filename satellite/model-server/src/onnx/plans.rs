//! Optimized versions of a model, one for each combination of input sizes that was asked for.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tract_onnx::prelude::{
    InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TVec, TValue,
    TypedSimplePlan,
};

use super::catching;

/// Plans take time to build: the optimizer is as deep as the model. Threads of the server have
/// smaller stacks.
const BUILD_STACK_BYTES: usize = 16 << 20;

/// The plans of a model. The ones that were used last are kept.
pub struct Plans {
    model: InferenceModel,
    capacity: usize,
    state: Mutex<State>,
    /// Held while a plan is built: one at a time, since a build takes a processor and memory.
    building: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The most recently used plan is the last.
    plans: Vec<(Sizes, Arc<TypedSimplePlan>)>,
    built: u64,
}

/// The shape of each input.
type Sizes = Vec<TVec<usize>>;

/// Why a model did not run.
#[derive(Debug)]
pub enum PlanError {
    /// It does not accept inputs of these sizes.
    Sizes(String),
    /// It failed on these values.
    Run(String),
}

impl Plans {
    /// Keeps at most `capacity` plans, at least one.
    pub fn new(model: InferenceModel, capacity: usize) -> Self {
        Plans {
            model,
            capacity: capacity.max(1),
            state: Mutex::default(),
            building: Mutex::default(),
        }
    }

    /// Runs the model on these inputs, with the plan for their sizes.
    pub fn run(&self, inputs: TVec<TValue>) -> Result<TVec<TValue>, PlanError> {
        let sizes: Sizes = inputs.iter().map(|value| value.shape().into()).collect();
        let plan = match self.find(&sizes) {
            Some(plan) => plan,
            None => self.build(sizes, &inputs).map_err(PlanError::Sizes)?,
        };
        catching(|| plan.run(inputs)).map_err(PlanError::Run)
    }

    /// How many plans are in memory, and how many were built so far.
    pub fn figures(&self) -> (usize, u64) {
        let state = self.state();
        (state.plans.len(), state.built)
    }

    fn find(&self, sizes: &Sizes) -> Option<Arc<TypedSimplePlan>> {
        let plans = &mut self.state().plans;
        let at = plans.iter().rposition(|(own, _)| own == sizes)?;
        if at + 1 < plans.len() {
            plans[at..].rotate_left(1);
        }
        plans.last().map(|(_, plan)| plan.clone())
    }

    fn build(&self, sizes: Sizes, inputs: &[TValue]) -> Result<Arc<TypedSimplePlan>, String> {
        let _one_at_a_time = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have waited for the same plan.
        if let Some(plan) = self.find(&sizes) {
            return Ok(plan);
        }
        let plan = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new()
                .name("plan".into())
                .stack_size(BUILD_STACK_BYTES);
            let thread = builder.spawn_scoped(scope, || self.optimized(inputs));
            match thread.map(|thread| thread.join()) {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err("it panicked; the log has the message".into()),
                Err(error) => Err(format!("no thread could be started: {error}")),
            }
        })?;
        let mut state = self.state();
        state.built += 1;
        if state.plans.len() >= self.capacity {
            state.plans.remove(0);
        }
        state.plans.push((sizes, plan.clone()));
        Ok(plan)
    }

    fn optimized(&self, inputs: &[TValue]) -> Result<Arc<TypedSimplePlan>, String> {
        catching(|| {
            let mut model = self.model.clone();
            for (at, value) in inputs.iter().enumerate() {
                let fact = InferenceFact::dt_shape(value.datum_type(), value.shape());
                model.set_input_fact(at, fact)?;
            }
            model.into_optimized()?.into_runnable()
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans").finish_non_exhaustive()
    }
}
