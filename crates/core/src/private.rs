//! Files for this user's eyes only, one writer at a time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// For a file that nobody else may read.
pub fn options() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the folder, and those above it, where they are not there.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// What was made, renamed or removed in the folder is on the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Locks the file at `path`, made if need be, for as long as it stays open; the
/// system takes the lock back when the process is gone, however it went.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when somebody else has it.
#[cfg(not(windows))]
pub fn lock(path: &Path) -> io::Result<File> {
    let mut options = options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path)?;
    #[cfg(unix)]
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// An open file that shares nothing keeps everybody else out.
#[cfg(windows)]
pub fn lock(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;

    const SHARING_VIOLATION: i32 = 32;
    let mut options = options();
    options.read(true).write(true).create(true).truncate(false);
    options
        .share_mode(0)
        .open(path)
        .map_err(|e| match e.raw_os_error() {
            Some(SHARING_VIOLATION) => io::ErrorKind::WouldBlock.into(),
            _ => e,
        })
}
