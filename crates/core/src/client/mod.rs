//! Common parts of the clients of compute services: their builder and time limits.

mod builder;
mod delete;
mod limits;
mod macros;

pub use crate::http::{Cancel, Ended, Stream};
pub use builder::{Client, ClientBuilder, Connection};
pub use delete::delete;
pub use limits::TimeLimits;
