//! Runs the model server as a process, over real HTTP, with artifacts that `tests/models/make.py`
//! made.

#![allow(clippy::unwrap_used)] // a failed unwrap fails the test

mod archives;
mod commands;
mod compute;
mod lifecycle;
mod overload;
mod program;
