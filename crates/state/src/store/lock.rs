//! A file lock that the system releases when its process ends for any reason.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use satellite_core::Error;
use satellite_core::private::{self, FileLock};

/// Locks the file at `path`, created if necessary. `None`: another process has the lock.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<FileLock>> {
    match private::lock(path) {
        Ok(file) => Ok(is_file_at(&file, path)?.then_some(file)),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether the locked file is still the one at `path`: a lock on a removed file excludes
/// no other process.
#[cfg(unix)]
pub(super) fn is_file_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let (mine, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((mine.dev(), mine.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
pub(super) fn is_file_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true) // an open file cannot be removed
}

pub(super) fn io_error(path: &Path, error: io::Error) -> Error {
    Error::new(format_args!("{}: {error}", path.display()))
}
