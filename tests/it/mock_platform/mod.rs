//! The mock platform over real HTTP: every route, every quirk of the real platform, and
//! every fault.

mod deployments;
mod faults;
mod http;
mod registration;
mod tasks;
