//! Files that only this user can access, and file locks.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;

/// Options to open a file with mode 0600.
pub fn options() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Creates the folder and its missing parents with mode 0700. The parents of new
/// folders are synced, so that a new folder survives a power failure.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    create_folder_with(folder, sync_folder)
}

fn create_folder_with(
    folder: &Path,
    mut sync: impl FnMut(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<_> = folder.ancestors().take_while(is_missing).collect();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    for made in missing.into_iter().rev() {
        let parent = made.parent().filter(|path| !path.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Syncs the folder: files created, renamed or removed in it are then on disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// A file that this process has locked until this value is dropped. The system releases
/// the lock when the process ends for any reason.
#[derive(Debug)]
pub struct FileLock(File);

/// Closing the file would not be enough: until its `exec`, a process that another thread
/// starts at that moment has a copy of the descriptor, and so the lock.
#[cfg(unix)]
impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

impl Deref for FileLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for FileLock {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

/// Locks the file at `path`, and creates it if necessary.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if another process holds the lock.
#[cfg(not(windows))]
pub fn lock(path: &Path) -> io::Result<FileLock> {
    let mut options = options();
    options.read(true).write(true).create(true).truncate(false);
    lock_file(options.open(path)?)
}

/// Locks an open file, together with all copies of its descriptor.
///
/// # Errors
/// As [`lock`].
#[cfg(not(windows))]
pub fn lock_file(file: File) -> io::Result<FileLock> {
    #[cfg(unix)]
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(FileLock(file))
}

/// Locks the file at `path`, and creates it if necessary: with share mode 0 no other
/// process can open it.
#[cfg(windows)]
pub fn lock(path: &Path) -> io::Result<FileLock> {
    use std::os::windows::fs::OpenOptionsExt;

    const SHARING_VIOLATION: i32 = 32;
    let mut options = options();
    options.read(true).write(true).create(true).truncate(false);
    options
        .share_mode(0)
        .open(path)
        .map(FileLock)
        .map_err(|e| match e.raw_os_error() {
            Some(SHARING_VIOLATION) => io::ErrorKind::WouldBlock.into(),
            _ => e,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_dropped_lock_is_free_although_a_copy_of_its_descriptor_is_open() {
        let path = std::env::temp_dir().join(format!("private-lock-{}", std::process::id()));
        let held = lock(&path).unwrap();
        // As a process has one between `fork` and `exec`.
        let _copy = held.try_clone().unwrap();
        assert_eq!(lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        drop(lock(&path).unwrap());
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn parents_of_new_folders_are_synced_from_the_top_down() {
        let top = std::env::temp_dir().join(format!("private-{}", std::process::id()));
        fs::create_dir(&top).unwrap();
        let mut synced = Vec::new();
        let mut make = |folder: &Path| {
            synced.clear();
            create_folder_with(folder, |parent| {
                assert!(parent.is_dir());
                synced.push(parent.to_owned());
                Ok(())
            })
            .unwrap();
            assert!(folder.is_dir());
            synced.clone()
        };
        let (a, b) = (top.join("a"), top.join("a/b"));
        assert_eq!(make(&b.join("c")), [top.clone(), a.clone(), b.clone()]);
        assert!(make(&b.join("c")).is_empty());
        assert_eq!(make(&b.join("d")), [b]);
        fs::remove_dir_all(&top).unwrap();
    }
}
