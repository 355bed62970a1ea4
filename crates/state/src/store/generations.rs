//! A folder with the last few generations of a document, each in its own file:
//! written to a temporary file, synced, and only then renamed.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::super::time;
use satellite_core::private;

const SUFFIX: &str = ".state";
const UNFINISHED: &str = "unfinished";

#[derive(Debug)]
pub(super) struct Generations {
    folder: PathBuf,
    keep: usize,
}

impl Generations {
    /// Uses `folder`, created if necessary, readable by its owner only.
    pub(super) fn open(folder: PathBuf, keep: usize) -> io::Result<Self> {
        private::create_folder(&folder)?;
        Ok(Generations {
            folder,
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

    /// Writes a new generation. On any error the others are unchanged; on a full disk
    /// older ones are removed to make room, never the newest.
    pub(super) fn write(&self, number: u64, document: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(UNFINISHED);
        let written = self.write_unfinished(&unfinished, document).or_else(|e| {
            match e.kind() == ErrorKind::StorageFull && self.prune(1)? {
                true => self.write_unfinished(&unfinished, document),
                false => Err(e),
            }
        });
        if let Err(e) = written.and_then(|()| fs::rename(&unfinished, self.path(number))) {
            let _ = fs::remove_file(&unfinished);
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

    fn write_unfinished(&self, path: &Path, document: &[u8]) -> io::Result<()> {
        let mut options = private::options();
        options.write(true).create(true).truncate(true);
        let mut file = options.open(path)?;
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
