//! Handlers: converts the closures of a user to one type that the loop runs.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use super::diagnostics::{ErrorWithText, JsonPayload, JsonResult, Valid};
use crate::luml::Task;
use satellite_core::Failure;
use satellite_core::{Error, Result};

/// A task handler: any `FnMut(Task<P>, &Context) -> Result<R, E>` with
/// `P: DeserializeOwned`, `R: Serialize` and `E: Display`. A handler that does not
/// need the context is a `FnMut(Task<P>) -> Result<R, E>`.
///
/// `Task` alone is `Task<serde_json::Value>`: it accepts any payload. `Ok` reports the
/// task done with the result, `Err` reports it failed with the message.
///
/// ```
/// use satellite_sdk::{Builder, Context, Task, done};
///
/// let mut count = 0;
/// Builder::new()
///     .handler("echo", |task: Task| done(task.payload))
///     .handler("whoami", |_: Task, cx: &Context| done(cx.task_id().map(str::to_owned)))
///     .handler("count", move |_: Task| {
///         count += 1; // handlers run one at a time, on one thread
///         done(count)
///     });
/// ```
///
/// The compiler says what is missing:
///
/// ```compile_fail,E0277
/// // error: a handler is `|task: Task<P>, cx: &Context| -> Result<R, E>` …
/// satellite_sdk::Builder::new().handler("echo", |task: satellite_sdk::Task| 5);
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler is `|task: Task<P>, cx: &Context| -> Result<R, E>`; the context may be left out",
    label = "this is not a handler",
    note = "P must be `Deserialize`, R `Serialize`, E `Display`; write the types of both arguments: `|task: Task, cx: &Context|`",
    note = "it returns a `Result`: end it with `satellite_sdk::done(result)`, or `done(())` where there is nothing to report"
)]
pub trait Handler<Signature>: Send + 'static {
    #[doc(hidden)]
    type Payload;
    #[doc(hidden)]
    type Output;
    #[doc(hidden)]
    type Error;
    #[doc(hidden)]
    type Shape;

    #[doc(hidden)]
    fn call(
        &mut self,
        task: Task<Self::Payload>,
        cx: &Context,
        _: Sealed,
    ) -> Result<Self::Output, Self::Error>;
}

/// Only this crate can construct one, so that only it can implement [`Handler`].
#[derive(Debug)]
#[doc(hidden)]
pub struct Sealed(());

impl<F, P, R, E> Handler<fn(Task<P>) -> Result<R, E>> for F
where
    F: FnMut(Task<P>) -> Result<R, E> + Send + 'static,
{
    type Payload = P;
    type Output = R;
    type Error = E;
    type Shape = Valid;

    fn call(&mut self, task: Task<P>, _: &Context, _: Sealed) -> Result<R, E> {
        self(task)
    }
}

impl<F, P, R, E> Handler<fn(Task<P>, &Context) -> Result<R, E>> for F
where
    F: FnMut(Task<P>, &Context) -> Result<R, E> + Send + 'static,
{
    type Payload = P;
    type Output = R;
    type Error = E;
    type Shape = Valid;

    fn call(&mut self, task: Task<P>, cx: &Context, _: Sealed) -> Result<R, E> {
        self(task, cx)
    }
}

/// Returns `Ok(result)` from a handler, with [`Error`] as the error type.
///
/// ```
/// use satellite_sdk::{Builder, Context, Task};
///
/// Builder::new().handler("greet", |task: Task, _cx: &Context| {
///     satellite_sdk::done(format!("Hello, {}", task.payload["name"]))
/// });
/// ```
///
/// # Errors
/// Never; it returns a `Result` so that `?` works in the handler.
pub fn done<R: Serialize>(result: R) -> Result<R> {
    Ok(result)
}

/// A handler with its signature erased.
pub(super) type AnyHandler = Box<dyn FnMut(Task, &Context) -> Result<Value, Failure> + Send>;

pub(super) fn any<S, H>(mut handler: H) -> AnyHandler
where
    H: Handler<S>,
    H::Payload: JsonPayload,
    H::Output: JsonResult,
    H::Error: ErrorWithText,
{
    Box::new(move |task, cx| {
        let result = handler.call(typed(task)?, cx, Sealed(()));
        to_value(result.map_err(Into::into)?)
    })
}

/// An async handler, run to completion by the user's `block_on`.
pub(super) fn any_async<B, F, Fut, P, R, E>(mut block_on: B, mut handler: F) -> AnyHandler
where
    B: FnMut(Fut) -> Result<R, E> + Send + 'static,
    F: FnMut(Task<P>, Context) -> Fut + Send + 'static,
    Fut: Future<Output = Result<R, E>>,
    P: JsonPayload,
    R: JsonResult,
    E: ErrorWithText,
{
    Box::new(move |task, cx| {
        let result = block_on(handler(typed(task)?, cx.clone()));
        to_value(result.map_err(Into::into)?)
    })
}

/// Runs a handler and converts a panic to a failure.
pub(super) fn run(handler: &mut AnyHandler, task: Task, cx: &Context) -> Result<Value, Failure> {
    catch_unwind(AssertUnwindSafe(|| handler(task, cx)))
        .unwrap_or_else(|panic| Err(Failure::new("the handler panicked", panic_text(&*panic))))
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".into())
}

fn typed<P: DeserializeOwned>(mut task: Task) -> Result<Task<P>, Failure> {
    let payload = task.payload.take();
    match serde_path_to_error::deserialize(payload) {
        Ok(payload) => Ok(task.with_payload(payload)),
        Err(e) => {
            let path = match e.path().to_string() {
                root if root == "." => "payload".to_owned(),
                path => format!("payload.{path}"),
            };
            Err(Failure::new(
                "the payload does not fit",
                format_args!("{path}: {}", e.inner()),
            ))
        }
    }
}

fn to_value(result: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(result).map_err(|e| {
        let failure = Error::from(e);
        Failure::new("the result is not JSON", failure)
    })
}
