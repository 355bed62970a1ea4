//! A lock that the system takes back when its process is gone, however it went.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use satellite_core::private;

/// Locks the file at `path`, made if need be. `None`: somebody else has it.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    match private::lock(path) {
        Ok(file) => Ok(is_file_at(&file, path)?.then_some(file)),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether the locked file is still the one at `path`: a lock on a file that
/// was removed keeps nobody out.
#[cfg(unix)]
pub(super) fn is_file_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let (mine, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((mine.dev(), mine.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
pub(super) fn is_file_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true) // what is open cannot be removed
}
