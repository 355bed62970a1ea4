//! The folder of the application: restored from the stored state, or continued.
//!
//! The stored state names the run of the application that it belongs to, and so does a file in
//! the folder. If they are the same, nothing else has used the state since: the folder
//! continues it, and may be newer than the last snapshot. Otherwise the folder is replaced by
//! the stored state; what was in it is kept in `.satellite/replaced-…`.
//!
//! A process that is killed at any moment leaves a folder from which the next one can tell
//! which of the two it is:
//!
//! 1. the new run is stored, with the archive of the folder as it is,
//! 2. the new run is written to the folder,
//! 3. the application starts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::fs::{FlockOperation, flock};
use satellite_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use super::archive::{CONTROL, Scope, Unpacked, at_path};

const MARKER: &str = "run.json";
const LOCK: &str = "lock";
const REPLACED: &str = "replaced-";

/// The state of a sidecar: a folder as an archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FolderState {
    /// The run of the application that the archive belongs to; empty when it belongs to none,
    /// and replaces what is in the folder.
    pub run: String,
    /// When the application had ended, in milliseconds since 1970; `None` while it runs.
    pub stopped_at_ms: Option<u64>,
    /// The number of files in the archive.
    pub files: u64,
    /// The size of all files together in bytes.
    pub size: u64,
    /// A gzipped tar as base64; empty when nothing was ever saved.
    pub archive: String,
}

impl FolderState {
    /// Decodes and checks the archive; `None` when nothing was ever saved.
    pub fn unpacked(&self, limit: u64) -> Result<Option<Unpacked>> {
        if self.archive.is_empty() {
            return Ok(None);
        }
        let bytes = BASE64
            .decode(&self.archive)
            .map_err(|e| Error::new(format_args!("the archive is damaged: {e}")))?;
        Unpacked::read(&bytes, limit).map(Some)
    }

    pub fn set_archive(&mut self, archive: &super::archive::Archive) {
        self.archive = BASE64.encode(&archive.bytes);
        (self.files, self.size) = (archive.files, archive.size);
    }
}

/// What the folder holds after [`AppFolder::restore`].
#[derive(Debug, PartialEq, Eq)]
pub enum Restored {
    /// There is no stored state: what is in the folder becomes the state.
    First,
    /// The folder belongs to the stored state, and may be newer.
    Continued,
    /// The folder was replaced by the stored state.
    Replaced {
        /// Where its previous content is.
        aside: Option<PathBuf>,
    },
}

/// The folder, locked by this sidecar.
#[derive(Debug)]
pub struct AppFolder {
    scope: Scope,
    control: PathBuf,
    lock: File,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Marker {
    /// The run of the application that has used the folder.
    run: String,
    /// The folder is being replaced.
    replacing: Option<Step>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// Its content is being moved to this folder in `.satellite`.
    MovingTo(String),
    /// The archive is being written; the previous content is in this folder.
    Writing(String),
}

/// Closing the lock file would not be enough: until its `exec`, a process that is being started
/// has a copy of its descriptor.
impl Drop for AppFolder {
    fn drop(&mut self) {
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl AppFolder {
    /// Creates the folder if necessary.
    ///
    /// # Errors
    /// When another sidecar uses it.
    pub fn lock(scope: Scope) -> Result<Self> {
        let control = scope.root.join(CONTROL);
        private_folder(&control).map_err(|e| at_path(&control, &e))?;
        let path = control.join(LOCK);
        let lock = File::create(&path).map_err(|e| at_path(&path, &e))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| {
            let in_use = match e.kind() {
                io::ErrorKind::WouldBlock => "another sidecar uses this folder".to_owned(),
                _ => e.to_string(),
            };
            Error::new(format_args!("{}: {in_use}", scope.root.display()))
        })?;
        Ok(AppFolder {
            scope,
            control,
            lock,
        })
    }

    /// Whether the folder can be used, before the state is asked for.
    pub fn check_writable(scope: &Scope) -> Result<()> {
        let control = scope.root.join(CONTROL);
        let probe = control.join("unfinished");
        let write = || private_folder(&control).and_then(|()| File::create(&probe));
        write().map(drop).map_err(|e| at_path(&control, &e))
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether [`restore`](Self::restore) would replace what is in the folder.
    pub fn is_stale(&self, state: &FolderState) -> Result<bool> {
        let marker = self.marker()?;
        let is_stored = !state.archive.is_empty();
        Ok(is_stored && !marker.continues(state) && !self.entries()?.is_empty())
    }

    /// Makes the folder what the stored state says. The application does not run.
    pub fn restore(&self, state: &FolderState) -> Result<Restored> {
        let marker = self.marker()?;
        let Some(unpacked) = state.unpacked(self.scope.limit)? else {
            return match marker.replacing {
                None => Ok(Restored::First),
                Some(Step::MovingTo(aside) | Step::Writing(aside)) => {
                    Err(Error::new(format_args!(
                        "{} was being replaced by a stored state, which no longer exists; its \
                         previous content is in {}: decide which to keep, and remove {}",
                        self.scope.root.display(),
                        self.control.join(aside).display(),
                        self.control.join(MARKER).display()
                    )))
                }
            };
        };
        if marker.continues(state) {
            return Ok(Restored::Continued);
        }
        self.replace(marker, &unpacked)
    }

    /// The application of this run uses the folder from now on.
    pub fn begin(&self, run: &str) -> Result<()> {
        self.write_marker(&Marker {
            run: run.to_owned(),
            replacing: None,
        })
    }

    fn replace(&self, marker: Marker, unpacked: &Unpacked) -> Result<Restored> {
        let aside = match marker.replacing {
            Some(Step::Writing(aside)) => aside,
            Some(Step::MovingTo(aside)) => self.move_aside(aside)?,
            None if self.entries()?.is_empty() => String::new(),
            None => self.move_aside(format!("{REPLACED}{}", now_ms()))?,
        };
        self.write_marker(&Marker {
            run: String::new(),
            replacing: Some(Step::Writing(aside.clone())),
        })?;
        for path in self.entries()? {
            remove(&path).map_err(|e| at_path(&path, &e))?;
        }
        unpacked.write(&self.scope.root)?;
        let root = File::open(&self.scope.root)?;
        rustix::fs::syncfs(&root).map_err(io::Error::from)?;
        self.remove_older_than(&aside);
        Ok(Restored::Replaced {
            aside: (!aside.is_empty()).then(|| self.control.join(aside)),
        })
    }

    fn move_aside(&self, aside: String) -> Result<String> {
        self.write_marker(&Marker {
            run: String::new(),
            replacing: Some(Step::MovingTo(aside.clone())),
        })?;
        let folder = self.control.join(&aside);
        private_folder(&folder).map_err(|e| at_path(&folder, &e))?;
        for path in self.entries()? {
            if let Some(name) = path.file_name() {
                make_writable(&path).map_err(|e| at_path(&path, &e))?;
                fs::rename(&path, folder.join(name)).map_err(|e| at_path(&path, &e))?;
            }
        }
        File::open(&folder)?.sync_all()?;
        File::open(&self.scope.root)?.sync_all()?;
        Ok(aside)
    }

    /// Keeps only the last content that was replaced.
    fn remove_older_than(&self, newest: &str) {
        let Ok(entries) = fs::read_dir(&self.control) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(REPLACED) && !newest.is_empty() && name != newest {
                if let Err(e) = remove(&entry.path()) {
                    log::warn!("could not remove {}: {e}", entry.path().display());
                }
            }
        }
    }

    /// Everything in the folder except what is the sidecar's or excluded.
    fn entries(&self) -> Result<Vec<PathBuf>> {
        let root = &self.scope.root;
        let mut found = Vec::new();
        for entry in fs::read_dir(root).map_err(|e| at_path(root, &e))? {
            let path = entry?.path();
            let name = path.strip_prefix(root).unwrap_or(&path);
            if !self.scope.leaves_out(name) {
                found.push(path);
            }
        }
        Ok(found)
    }

    fn marker(&self) -> Result<Marker> {
        let path = self.control.join(MARKER);
        match fs::read(&path) {
            // A file that was damaged with the host proves nothing: the state is restored.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Marker::default()),
            Err(e) => Err(at_path(&path, &e)),
        }
    }

    fn write_marker(&self, marker: &Marker) -> Result<()> {
        let (path, unfinished) = (self.control.join(MARKER), self.control.join("unfinished"));
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(&serde_json::to_vec(marker)?)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.control)?.sync_all()
        };
        write().map_err(|e: io::Error| at_path(&path, &e))
    }
}

impl Marker {
    fn continues(&self, state: &FolderState) -> bool {
        self.replacing.is_none() && !self.run.is_empty() && self.run == state.run
    }
}

/// Unlinks a file or a link, and a folder with everything in it.
fn remove(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    make_writable(path)?;
    for entry in fs::read_dir(path)? {
        remove(&entry?.path())?;
    }
    fs::remove_dir(path)
}

/// A folder without write permission can be neither moved nor emptied.
fn make_writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = fs::symlink_metadata(path)?;
    let mode = metadata.permissions().mode();
    match metadata.is_dir() && mode & 0o700 != 0o700 {
        true => fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o700)),
        false => Ok(()),
    }
}

/// The folder and its missing parents; the innermost is for this user only.
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        created => created,
    }
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
