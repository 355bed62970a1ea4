//! Handlers: from a closure that a user writes to one shape that the loop runs.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use crate::luml::Task;
use satellite_core::Failure;
use satellite_core::{Error, Result};

/// What can handle a task: any `Fn(Task<P>, &Context) -> Result<R, E>` with
/// `P: DeserializeOwned`, `R: Serialize` and `E: Display`. Where the context is not
/// wanted, `Fn(Task<P>) -> Result<R, E>` will do.
///
/// `Task` alone is `Task<serde_json::Value>`: any payload fits. `Ok` reports the
/// task done with the result, `Err` failed with the message.
///
/// ```
/// use satellite_sdk::{Builder, Context, Task, done};
///
/// Builder::new()
///     .handler("echo", |task: Task| done(task.payload))
///     .handler("whoami", |_: Task, cx: &Context| done(cx.task_id().map(str::to_owned)));
/// ```
///
/// Anything else is told in one line:
///
/// ```compile_fail,E0277
/// // error: a handler is `|task: Task<P>, cx: &Context| -> Result<R, E>` …
/// satellite_sdk::Builder::new().handler("echo", |task: satellite_sdk::Task| 5);
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler is `|task: Task<P>, cx: &Context| -> Result<R, E>` with P: DeserializeOwned, R: Serialize, E: Display; the context may be left out",
    label = "this is not a handler",
    note = "name the types of both arguments, `|task: Task, cx: &Context|`, and the error's, as `satellite_sdk::done(..)` does"
)]
pub trait Handler<Signature>: Send + 'static {
    #[doc(hidden)]
    fn handle(&self, task: Task, cx: &Context, _: Sealed) -> Result<Value, Failure>;
}

/// Nobody else can make one, so nobody else can implement [`Handler`].
#[derive(Debug)]
#[doc(hidden)]
pub struct Sealed(());

impl<F, P, R, E> Handler<fn(Task<P>) -> Result<R, E>> for F
where
    F: Fn(Task<P>) -> Result<R, E> + Send + 'static,
    P: DeserializeOwned,
    R: Serialize,
    E: Into<Failure>,
{
    fn handle(&self, task: Task, _: &Context, _: Sealed) -> Result<Value, Failure> {
        let result = self(typed(task)?).map_err(Into::into)?;
        to_value(result)
    }
}

impl<F, P, R, E> Handler<fn(Task<P>, &Context) -> Result<R, E>> for F
where
    F: Fn(Task<P>, &Context) -> Result<R, E> + Send + 'static,
    P: DeserializeOwned,
    R: Serialize,
    E: Into<Failure>,
{
    fn handle(&self, task: Task, cx: &Context, _: Sealed) -> Result<Value, Failure> {
        let result = self(typed(task)?, cx).map_err(Into::into)?;
        to_value(result)
    }
}

/// Ends a handler well with this result; settles the error type on the way.
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
/// None; it is a `Result` so that `?` works above it.
pub fn done<R: Serialize>(result: R) -> Result<R> {
    Ok(result)
}

/// A handler whose signature has been forgotten.
pub(super) type AnyHandler = Box<dyn Fn(Task, &Context) -> Result<Value, Failure> + Send>;

pub(super) fn any<S, H: Handler<S>>(handler: H) -> AnyHandler {
    Box::new(move |task, cx| handler.handle(task, cx, Sealed(())))
}

/// An async handler, run to its end by the user's own `block_on`.
pub(super) fn any_async<B, F, Fut, P, R, E>(block_on: B, handler: F) -> AnyHandler
where
    B: Fn(Fut) -> Result<R, E> + Send + 'static,
    F: Fn(Task<P>, Context) -> Fut + Send + 'static,
    Fut: Future<Output = Result<R, E>>,
    P: DeserializeOwned,
    R: Serialize,
    E: Into<Failure>,
{
    Box::new(move |task, cx| {
        let result = block_on(handler(typed(task)?, cx.clone())).map_err(Into::into)?;
        to_value(result)
    })
}

/// Runs a handler; its panic is a failure like any other.
pub(super) fn run(handler: &AnyHandler, task: Task, cx: &Context) -> Result<Value, Failure> {
    catch_unwind(AssertUnwindSafe(|| handler(task, cx)))
        .unwrap_or_else(|panic| Err(Failure::new("the handler panicked", panic_text(&*panic))))
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".into())
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
