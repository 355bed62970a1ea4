//! Optional helpers for handlers. Nothing else in this crate depends on them.

mod download;
mod partial;
mod retry;
#[cfg(unix)]
mod stored_part;
mod temp;

pub use download::{Download, Downloaded, Progress, download_file};
pub use retry::retry;
pub use temp::{TempDirectory, temp_directory};
