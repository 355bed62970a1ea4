//! The directories of executions, snapshots and branches.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use satellite_core::http::retry;

/// The parent directory of all of them, deleted with the mock.
pub(super) fn new_root() -> io::Result<PathBuf> {
    let name = format!(
        "mock-faas-{}-{:016x}",
        std::process::id(),
        retry::random_bits()
    );
    let root = std::env::temp_dir().join(name);
    fs::create_dir(&root)?;
    Ok(root)
}

/// Copies the directory `from` recursively to `to`.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
