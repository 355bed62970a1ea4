//! The file of the journal: one writer, locked. Callers `sync` what must survive a crash.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use satellite_core::http::retry;
use satellite_core::private::{self, FileLock};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const NEW: &str = "journal.new";
const DAMAGED: &str = "journal.damaged";

/// Checks that a journal can be written to this folder or, if the folder does not
/// exist yet, that it can be created. Leaves no files behind.
///
/// A full disk, or a read-only one that already has a journal, is not an error: it has
/// failed since it was configured, so the satellite logs a warning and continues.
///
/// # Errors
/// When the path is not a folder, or this user cannot write there.
pub(crate) fn check_folder(folder: &Path) -> io::Result<()> {
    let nearest = nearest_existing(folder)?;
    let probe = nearest.join(format!(".writable-{:016x}", retry::random_bits()));
    let made = private::options().write(true).create_new(true).open(&probe);
    match made {
        Ok(_) => fs::remove_file(probe),
        Err(e) if e.kind() == ErrorKind::StorageFull => Ok(()),
        Err(e) if e.kind() == ErrorKind::ReadOnlyFilesystem && folder.join(JOURNAL).exists() => {
            Ok(())
        }
        Err(e) => Err(e),
    }
}

/// This folder, or its nearest ancestor that exists.
fn nearest_existing(folder: &Path) -> io::Result<&Path> {
    let mut nearest = folder;
    loop {
        match fs::metadata(nearest) {
            Ok(found) if found.is_dir() => return Ok(nearest),
            Ok(_) => {
                let what = format!("{} is not a folder", nearest.display());
                return Err(io::Error::new(ErrorKind::NotADirectory, what));
            }
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            Err(_) => {}
        }
        nearest = match nearest.parent() {
            Some(above) if above != Path::new("") => above,
            _ => Path::new("."),
        };
    }
}

pub(super) struct JournalFile {
    folder: PathBuf,
    file: File,
    len: u64,
    /// Held until the process ends, even if it is killed.
    _lock: FileLock,
}

impl JournalFile {
    /// Opens the journal in this folder and reads it.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when another process has locked it.
    pub(super) fn open(folder: &Path) -> io::Result<(JournalFile, Vec<u8>)> {
        private::create_folder(folder)?;
        let lock = private::lock(&folder.join(LOCK))?;
        let path = folder.join(JOURNAL);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let file = private::options().append(true).create(true).open(&path)?;
        let journal = JournalFile {
            folder: folder.to_owned(),
            file,
            len: bytes.len() as u64,
            _lock: lock,
        };
        Ok((journal, bytes))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends a line. After an error the file may end with a partial line.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Flushes the appended lines to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Replaces the contents with these lines atomically: after a kill or on a full
    /// disk, either the old or the new contents remain.
    pub(super) fn rewrite<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let new = self.folder.join(NEW);
        let mut file = private::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)?;
        let mut len = 0;
        for line in lines {
            file.write_all(line)?;
            len += line.len() as u64;
        }
        file.sync_all()?;
        fs::rename(&new, self.folder.join(JOURNAL))?;
        // Later writes append to the new file.
        (self.file, self.len) = (file, len);
        private::sync_folder(&self.folder)
    }

    /// Saves a damaged journal under another name in the same folder, for inspection.
    pub(super) fn save_damaged(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(DAMAGED);
        let mut options = private::options();
        options.write(true).create(true).truncate(true);
        options.open(&path)?.write_all(bytes)?;
        Ok(path)
    }
}
