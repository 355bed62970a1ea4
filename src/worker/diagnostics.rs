//! Compiler messages for common mistakes in handlers and periodic work.
//!
//! [`Handler`](super::Handler) only checks a closure's arguments and that it returns a `Result`.
//! Every other requirement is a trait here, with its own message, and a bound of
//! `Builder::handler` itself: an unmet bound of an impl would always be reported
//! as "this is not a handler".

use serde::Serialize;
use serde::de::DeserializeOwned;

use satellite_core::Failure;

/// `P` in `Task<P>`.
#[diagnostic::on_unimplemented(
    message = "the payload type `{Self}` does not implement `serde::Deserialize`",
    label = "this handler takes a `Task<{Self}>`",
    note = "add `#[derive(serde::Deserialize)]` to `{Self}`; it must own its data: `String`, not `&str`",
    note = "`Task` without a type takes any JSON"
)]
pub trait JsonPayload: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> JsonPayload for T {}

/// `R` in `Result<R, E>`.
#[diagnostic::on_unimplemented(
    message = "the result type `{Self}` does not implement `serde::Serialize`",
    label = "this handler returns `{Self}` as its result",
    note = "add `#[derive(serde::Serialize)]` to `{Self}`"
)]
pub trait JsonResult: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize> JsonResult for T {}

/// `E` in `Result<R, E>`.
#[diagnostic::on_unimplemented(
    message = "the error type `{Self}` does not implement `std::fmt::Display`",
    label = "the error's text is reported to the platform, and `{Self}` has none",
    note = "implement `Display` for `{Self}`, or return a `satellite_sdk::Failure` instead"
)]
pub trait ErrorWithText: Into<Failure> {}

#[diagnostic::do_not_recommend]
impl<T: Into<Failure>> ErrorWithText for T {}

/// How a handler is called. Every shape but [`Valid`] is rejected, with its own message.
#[diagnostic::on_unimplemented(message = "this cannot be called as a handler")]
pub trait Shape {}

/// A synchronous function that takes the context by reference, or no context.
#[derive(Debug)]
pub struct Valid;

impl Shape for Valid {}

/// Returns a future.
#[derive(Debug)]
pub struct Async<O>(O);

impl<O: IsSynchronous> Shape for Async<O> {}

/// Never implemented.
#[diagnostic::on_unimplemented(
    message = "an async handler must be passed to `Builder::async_handler`, with your own `block_on`",
    label = "this handler is async",
    note = "write `.async_handler(task_type, block_on, handler)`; the handler takes `cx: Context`, by value"
)]
pub trait IsSynchronous {}

/// Takes the context by value.
#[derive(Debug)]
pub struct ByValue<C>(C);

impl<C: IsReference> Shape for ByValue<C> {}

/// Never implemented.
#[diagnostic::on_unimplemented(
    message = "a handler takes the context by reference: `cx: &Context`",
    label = "this handler takes the context by value",
    note = "annotate the argument with its type, `&Context`"
)]
pub trait IsReference {}
