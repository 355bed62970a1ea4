//! The partial file of a download.

#[cfg(unix)]
use std::fs;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
#[cfg(unix)]
use std::io::{ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::TempPath;

#[cfg(unix)]
use super::stored_part::StoredPart;
use satellite_core::private;
use satellite_core::{Error, Result};

/// A crash loses at most this many downloaded bytes.
const MARK_EVERY: u64 = 16 * 1024 * 1024;

/// A partial file and its hash so far.
pub(super) struct Partial {
    file: File,
    place: Place,
    hash: Sha256,
    bytes: u64,
    marked: u64,
    /// The server's identifier of the version of the file.
    pub(super) etag: Option<String>,
    /// Whether an earlier call started it.
    pub(super) is_resumed: bool,
}

enum Place {
    /// Next to the target, with a random name; removed when dropped.
    Temporary(TempPath),
    /// In the state folder, for the next call.
    #[cfg(unix)]
    Stored(StoredPart),
}

impl Partial {
    /// A new file next to `target`. It is created with `O_EXCL`, so that an existing file
    /// or link with its name is not touched.
    pub(super) fn temporary(target: &Path) -> Result<Self> {
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let file = temporary_in(folder)
            .map_err(|e| Error::new(format_args!("cannot write to {}: {e}", folder.display())))?;
        let (file, path) = file.into_parts();
        Ok(Partial::new(file, Place::Temporary(path)))
    }

    /// The partial file of an earlier call in the state folder, or an empty file there.
    /// `identity` identifies the download. `None` if another call is using it.
    #[cfg(unix)]
    pub(super) fn stored(state_dir: &Path, identity: &[&[u8]]) -> io::Result<Option<Self>> {
        let Some((file, stored)) = StoredPart::open(state_dir, identity)? else {
            return Ok(None);
        };
        let mut partial = Partial::new(file, Place::Stored(stored));
        if partial.resume().is_none() {
            partial.restart()?;
        }
        Ok(Some(partial))
    }

    fn new(file: File, place: Place) -> Self {
        Partial {
            file,
            place,
            hash: Sha256::new(),
            bytes: 0,
            marked: 0,
            etag: None,
            is_resumed: false,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash of the bytes so far, as lower-case hexadecimal digits.
    pub(super) fn sha256(&self) -> String {
        hex(self.hash.clone())
    }

    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hash = Sha256::new();
        (self.bytes, self.marked) = (0, 0);
        self.etag = None;
        self.is_resumed = false;
        Ok(())
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        if self.bytes - self.marked >= MARK_EVERY {
            self.mark();
        }
        Ok(())
    }

    /// Keeps the partial file for the next call, if there is a state folder.
    pub(super) fn keep(mut self) {
        self.mark();
    }

    /// Removes the partial file.
    pub(super) fn discard(self) {
        match self.place {
            Place::Temporary(path) => drop(path),
            #[cfg(unix)]
            Place::Stored(stored) => stored.remove(),
        }
    }

    /// Sets the mode of the file and moves it to its name. An existing file or link with
    /// that name is replaced and not written through.
    pub(super) fn finish(self, target: &Path, mode: u32) -> io::Result<()> {
        set_mode(&self.file, mode)?;
        self.file.sync_all()?;
        match self.place {
            Place::Temporary(path) => {
                drop(self.file);
                path.persist(target)?;
            }
            #[cfg(unix)]
            Place::Stored(stored) => {
                let moved = match fs::rename(stored.part(), target) {
                    Err(e) if e.kind() == ErrorKind::CrossesDevices => {
                        copy(self.file, target, mode)
                    }
                    moved => moved,
                };
                // A complete file is never resumed.
                stored.remove();
                moved?;
            }
        }
        if let Some(folder) = target.parent().filter(|f| *f != Path::new("")) {
            let _ = private::sync_folder(folder); // the folder may not be readable
        }
        Ok(())
    }

    /// Records the progress after the data is on disk. If that fails, some bytes are
    /// downloaded again.
    fn mark(&mut self) {
        self.marked = self.bytes;
        #[cfg(unix)]
        if let Place::Stored(stored) = &self.place {
            let digest = hex(self.hash.clone());
            let marked = self.file.sync_data().and_then(|()| {
                stored.mark(
                    self.bytes,
                    &digest,
                    self.etag.as_deref().unwrap_or_default(),
                )
            });
            if let Err(e) = marked {
                log::debug!("a download cannot be resumed: {e}");
            }
        }
    }

    /// Resumes from the last mark, if the bytes before it are unchanged.
    #[cfg(unix)]
    fn resume(&mut self) -> Option<()> {
        let Place::Stored(stored) = &self.place else {
            return None;
        };
        let (bytes, digest, etag) = stored.read_mark()?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut before = (&self.file).take(bytes);
        let mut seen = 0;
        loop {
            match before.read(&mut buffer).ok()? {
                0 => break,
                n => {
                    hash.update(&buffer[..n]);
                    seen += n as u64;
                }
            }
        }
        if bytes == 0 || seen != bytes || hex(hash.clone()) != digest {
            return None;
        }
        self.file.set_len(bytes).ok()?;
        self.file.seek(SeekFrom::Start(bytes)).ok()?;
        (self.bytes, self.marked) = (bytes, bytes);
        (self.hash, self.etag, self.is_resumed) = (hash, etag, true);
        Some(())
    }
}

/// Copies the file atomically to a target on another file system.
#[cfg(unix)]
fn copy(mut from: File, target: &Path, mode: u32) -> io::Result<()> {
    let folder = target.parent().filter(|f| *f != Path::new(""));
    let mut file = temporary_in(folder.unwrap_or(Path::new(".")))?;
    from.seek(SeekFrom::Start(0))?;
    io::copy(&mut from, file.as_file_mut())?;
    set_mode(file.as_file(), mode)?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    Ok(())
}

fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".download-")
        .suffix(".part")
        .rand_bytes(16)
        .tempfile_in(folder)
}

fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode & 0o777))?;
    #[cfg(not(unix))]
    let _ = (file, mode);
    Ok(())
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
