//! Partial downloads that survive their process: a private folder within the state
//! folder, with two files for each.
//!
//! Their names are derived from a key that never leaves the folder, so that other users
//! cannot predict them. Anything found there that this user did not create (a link, a
//! hard link to another user's file) is removed and never written to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use satellite_core::private::{self, FileLock};

const FOLDER: &str = "downloads";
const KEY: &str = "key";
const KEY_BYTES: usize = 32;

/// Partial downloads that were not resumed within this time are removed.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The names of a download's files, and the lock of the first.
pub(super) struct StoredPart {
    part: PathBuf,
    mark: PathBuf,
    _lock: FileLock,
}

impl StoredPart {
    /// Opens the partial file of this download; a new one is empty. `None` if another
    /// process or thread is downloading it.
    pub(super) fn open(state_dir: &Path, identity: &[&[u8]]) -> io::Result<Option<(File, Self)>> {
        let folder = private_folder(state_dir)?;
        remove_old(&folder)?;
        let name = name(&key(&folder)?, identity);
        let part = folder.join(format!("{name}.part"));
        let mark = folder.join(format!("{name}.mark"));
        let file = match open_own(&part, options().create(true))? {
            Some(file) => file,
            None => {
                remove(&part, &mark);
                options().create_new(true).open(&part)?
            }
        };
        let lock = match private::lock_file(file.try_clone()?) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            locked => locked?,
        };
        // The previous holder of the lock may have moved the file to its target.
        let is_same = |found: fs::Metadata| file.metadata().is_ok_and(|m| m.ino() == found.ino());
        if !fs::symlink_metadata(&part).is_ok_and(is_same) {
            return Ok(None);
        }
        let stored = StoredPart {
            part,
            mark,
            _lock: lock,
        };
        Ok(Some((file, stored)))
    }

    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    pub(super) fn remove(&self) {
        remove(&self.part, &self.mark);
    }

    /// Records that the first `bytes` bytes are on disk and have the hash `digest`.
    pub(super) fn mark(&self, bytes: u64, digest: &str, etag: &str) -> io::Result<()> {
        let new = self.mark.with_extension("new");
        match fs::remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = options().create_new(true).open(&new)?;
        file.write_all(format!("{bytes} {digest} {etag}\n").as_bytes())?;
        file.sync_data()?;
        fs::rename(new, &self.mark)
    }

    /// Returns the length, the digest and the ETag.
    pub(super) fn read_mark(&self) -> Option<(u64, String, Option<String>)> {
        let mut text = String::new();
        let file = open_own(&self.mark, &options()).ok()??;
        file.take(4096).read_to_string(&mut text).ok()?;
        let mut fields = text.strip_suffix('\n')?.splitn(3, ' ');
        let bytes = fields.next()?.parse().ok()?;
        let digest = fields.next()?.to_owned();
        let etag = fields.next().filter(|etag| !etag.is_empty());
        Some((bytes, digest, etag.map(str::to_owned)))
    }
}

fn remove(part: &Path, mark: &Path) {
    let _ = fs::remove_file(part);
    let _ = fs::remove_file(mark);
}

/// Creates the folder that only this user can access; an error if others can access it.
fn private_folder(state_dir: &Path) -> io::Result<PathBuf> {
    let folder = state_dir.join(FOLDER);
    private::create_folder(&folder)?;
    let found = fs::symlink_metadata(&folder)?;
    let is_private = found.is_dir() && is_own(&found) && found.mode() & 0o077 == 0;
    match is_private {
        true => Ok(folder),
        false => Err(io::Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "{} is not a folder that only this user can access",
                folder.display()
            ),
        )),
    }
}

/// Opens a file of this user without further hard links. `None` if there is nothing, or
/// anything else, at `path`.
fn open_own(path: &Path, options: &fs::OpenOptions) -> io::Result<Option<File>> {
    match options.open(path) {
        Ok(file) => {
            let found = file.metadata()?;
            let is_own_file = found.is_file() && found.nlink() == 1 && is_own(&found);
            Ok(is_own_file.then_some(file))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_own(found: &fs::Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

fn options() -> fs::OpenOptions {
    let mut options = private::options();
    options.read(true).write(true);
    options.custom_flags(OFlags::NOFOLLOW.bits() as i32);
    options
}

/// The key: 32 random bytes, created once for each state folder.
fn key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = folder.join(KEY);
    let mut key = [0; KEY_BYTES];
    if let Some(mut file) = open_own(&path, &options())? {
        if file.read_exact(&mut key).is_ok() {
            return Ok(key);
        }
    }
    // The key is missing, truncated by a crash, or not owned by this user.
    let new = folder.join(format!("{KEY}.{}.new", std::process::id()));
    let _ = fs::remove_file(&new);
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    options().create_new(true).open(&new)?.write_all(&key)?;
    fs::rename(new, path)?;
    Ok(key)
}

fn name(key: &[u8], identity: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    hash.update(key);
    for part in identity {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest[..16].iter().map(|b| format!("{b:02x}")).collect()
}

fn remove_old(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let age = fs::symlink_metadata(&path)
            .and_then(|found| found.modified())
            .map(|modified| modified.elapsed().unwrap_or_default());
        if path.file_name() != Some(KEY.as_ref()) && age.is_ok_and(|age| age > MAX_AGE) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}
