//! Work elsewhere: on clusters, rented GPUs and functions as a service.
//!
//! Each client is a feature of its own. They share their shape: one deadline for
//! a call with its resends, and nothing sent twice that would be done twice;
//! [`Cancel`] from another thread; [`Stream`]s that go on where a connection
//! broke; the one [`Error`](crate::Error) with its questions.

#![cfg_attr(not(feature = "skypilot"), allow(dead_code))]

#[cfg(feature = "basilica")]
pub mod basilica;
mod builder;
#[cfg(any(feature = "basilica", feature = "faas"))]
mod delete;
#[cfg(feature = "faas")]
pub mod faas;
mod limits;
#[cfg(feature = "skypilot")]
pub mod skypilot;

pub use crate::http::{Cancel, Ended, Stream};
pub use builder::ClientBuilder;
pub use limits::TimeLimits;
