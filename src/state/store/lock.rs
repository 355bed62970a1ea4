//! A lock that the system takes back when its process is gone, however it went.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Locks the file at `path`, made if need be. `None`: somebody else has it.
#[cfg(unix)]
pub(super) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::{FlockOperation, flock};

    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(is_the_one(&file, path)?.then_some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Whether the locked file is still the one at `path`: a lock on a file that
/// was removed keeps nobody out.
#[cfg(unix)]
pub(super) fn is_the_one(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let (mine, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((mine.dev(), mine.ino()) == (there.dev(), there.ino()))
}

/// An open file that shares nothing keeps everybody else out.
#[cfg(windows)]
pub(super) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    const SHARING_VIOLATION: i32 = 32;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.share_mode(0).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(windows)]
pub(super) fn is_the_one(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true) // what is open cannot be removed
}
