//! Closures of shapes that `Builder::handler` rejects: they are handlers, so that the
//! compiler reports the reason in `diagnostics.rs` and not "this is not a handler".

use super::context::Context;
use super::diagnostics::{Async, ByValue};
use super::handler::{Handler, Sealed};
use crate::luml::Task;
use satellite_core::{Failure, Result};

/// The body of an impl for a shape that `Builder::handler` rejects.
macro_rules! rejected {
    ($shape:ty) => {
        type Payload = ();
        type Output = ();
        type Error = Failure;
        type Shape = $shape;

        fn call(&mut self, _: Task<()>, _: &Context, _: Sealed) -> Result<(), Failure> {
            Ok(())
        }
    };
}

impl<F, A, R, E> Handler<ByValue<fn(A) -> Result<R, E>>> for F
where
    F: FnMut(A, Context) -> Result<R, E> + Send + 'static,
{
    rejected!(ByValue<Context>);
}

impl<F, A, O> Handler<Async<fn(A) -> O>> for F
where
    F: AsyncFnMut(A) -> O + Send + 'static,
{
    rejected!(Async<F>);
}

impl<F, A, O> Handler<Async<fn(A, &Context) -> O>> for F
where
    F: AsyncFnMut(A, &Context) -> O + Send + 'static,
{
    rejected!(Async<F>);
}

impl<F, A, O> Handler<Async<fn(A, Context) -> O>> for F
where
    F: AsyncFnMut(A, Context) -> O + Send + 'static,
{
    rejected!(Async<F>);
}
