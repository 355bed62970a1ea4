//! The journal's file: one writer, and every step on the disk when it returns.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use satellite_core::http::retry;
use satellite_core::private;

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const NEW: &str = "journal.new";
const DAMAGED: &str = "journal.damaged";

/// Whether a journal can be written to this folder, or, where the folder is not there
/// yet, whether it can be made. Nothing stays of the attempt.
///
/// A disk that is full, or that may only be read although there is a journal on it,
/// has failed since it was chosen: the satellite warns of it and works on.
///
/// # Errors
/// Where something else has the folder's name, or this user may not write there.
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

/// This folder, or the first above it that is there.
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
    /// Held until the process ends, however it ends.
    _lock: File,
}

impl JournalFile {
    /// Opens the journal in this folder and reads it.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when another process has it.
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

    /// Adds a line. After an error the file may end in a part of it.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// What was added is on the disk, not only on its way.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// These lines in place of all that was, in one step: a kill or a full disk
    /// leaves the one or the other.
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
        // The writes that follow go to the end of what is the journal now.
        (self.file, self.len) = (file, len);
        private::sync_folder(&self.folder)
    }

    /// Keeps what was found beside, under another name, for somebody to look at.
    pub(super) fn set_aside(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(DAMAGED);
        let mut options = private::options();
        options.write(true).create(true).truncate(true);
        options.open(&path)?.write_all(bytes)?;
        Ok(path)
    }
}
