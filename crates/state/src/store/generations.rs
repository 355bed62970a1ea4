//! A folder with the last few generations of a document, each in its own file: written to a
//! temporary file, synced, and only then given its name, which must be free.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::super::time;
use satellite_core::http::retry::random_bits;
use satellite_core::private;

const SUFFIX: &str = ".state";
/// Begins the names of temporary files.
const UNFINISHED: &str = "unfinished";

#[derive(Debug)]
pub(super) struct Generations {
    folder: PathBuf,
    keep: usize,
    /// The temporary file of this process alone: a stale holder must not write to it.
    unfinished: PathBuf,
}

impl Generations {
    /// Uses `folder`, created if necessary, readable by its owner only.
    pub(super) fn open(folder: PathBuf, keep: usize) -> io::Result<Self> {
        private::create_folder(&folder)?;
        let unfinished = folder.join(format!("{UNFINISHED}-{:016x}", random_bits()));
        Ok(Generations {
            folder,
            unfinished,
            keep: keep.max(1),
        })
    }

    /// The numbers of the existing generations, the newest first.
    pub(super) fn list(&self) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            found.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    pub(super) fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        fs::read(self.path(number))
    }

    /// Removes what earlier processes left unfinished. Only the holder may.
    pub(super) fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_unfinished = name.to_str().is_some_and(|n| n.starts_with(UNFINISHED));
            if is_unfinished {
                match fs::remove_file(entry.path()) {
                    // Its writer still runs, and is faster.
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    removed => removed?,
                }
            }
        }
        Ok(())
    }

    /// Writes a new generation. On any error the others are unchanged; on a full disk
    /// older ones are removed to make room, never the newest.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if another process has written this generation.
    pub(super) fn write(&self, number: u64, document: &[u8]) -> io::Result<()> {
        let written = self.write_unfinished(document).or_else(|e| {
            match e.kind() == ErrorKind::StorageFull && self.prune(1)? {
                true => self.write_unfinished(document),
                false => Err(e),
            }
        });
        if let Err(e) = written.and_then(|()| self.publish(number)) {
            let _ = fs::remove_file(&self.unfinished);
            return Err(e);
        }
        private::sync_folder(&self.folder)?;
        // The new generation is durable: failing to remove old ones is not an error.
        if let Err(e) = self.prune(self.keep) {
            log::warn!(
                "could not remove old states in {}: {e}",
                self.folder.display()
            );
        }
        Ok(())
    }

    /// Renames a generation, so that it is never used or removed again.
    pub(super) fn move_aside(&self, number: u64) -> io::Result<PathBuf> {
        let mut name = self.path(number).into_os_string();
        name.push(format!(".corrupt-{}", time::for_file_name()));
        let aside = PathBuf::from(name);
        fs::rename(self.path(number), &aside)?;
        private::sync_folder(&self.folder)?;
        Ok(aside)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        // Padded to the length of the largest number, so that names sort as numbers.
        self.folder.join(format!("{number:020}{SUFFIX}"))
    }

    /// Gives the temporary file the name of the generation. A link never replaces a file, as
    /// a rename would: of two processes that both believe they hold the state, one fails.
    fn publish(&self, number: u64) -> io::Result<()> {
        let path = self.path(number);
        match fs::hard_link(&self.unfinished, &path) {
            Ok(()) => {
                // The document is in place: what remains is removed by the next holder.
                let _ = fs::remove_file(&self.unfinished);
                Ok(())
            }
            // A file system without hard links, such as FAT.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Unsupported
                ) =>
            {
                match path.exists() {
                    true => Err(ErrorKind::AlreadyExists.into()),
                    false => fs::rename(&self.unfinished, &path),
                }
            }
            Err(e) => Err(e),
        }
    }

    fn write_unfinished(&self, document: &[u8]) -> io::Result<()> {
        let mut options = private::options();
        options.write(true).create(true).truncate(true);
        let mut file = options.open(&self.unfinished)?;
        file.write_all(document)?;
        file.sync_all()
    }

    /// Removes all but the newest `keep`. True if any were removed.
    fn prune(&self, keep: usize) -> io::Result<bool> {
        let found = self.list()?;
        let old = found.get(keep..).unwrap_or_default();
        for number in old {
            fs::remove_file(self.path(*number))?;
        }
        Ok(!old.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_writers_of_one_generation_the_second_fails_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Generations::open(folder.path().to_owned(), 3).unwrap();
        let (stale, holder) = (open(), open());
        // The stale one was interrupted in the middle of a save.
        stale.write_unfinished(b"stale").unwrap();
        holder.write(7, b"current").unwrap();
        let error = stale.publish(7).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = stale.write(7, b"stale").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(holder.read(7).unwrap(), b"current");
        stale.write_unfinished(b"stale").unwrap();
        holder.remove_unfinished().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
