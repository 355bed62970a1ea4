//! All integration tests, over real HTTP, in one binary.

mod child;
mod client;
mod extras;
mod faults;
mod health;
mod mock_platform;
mod recorder;
mod secrecy;
mod serve;
mod stop;
mod worker;
