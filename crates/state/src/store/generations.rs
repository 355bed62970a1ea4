//! A folder with the last few generations of a document, each in a file of its
//! own: written beside the others, made safe, and only then given its name.

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
    /// In `folder`, made if need be, readable by its owner only.
    pub(super) fn open(folder: PathBuf, keep: usize) -> io::Result<Self> {
        private::create_folder(&folder)?;
        Ok(Generations {
            folder,
            keep: keep.max(1),
        })
    }

    /// The numbers of those that are there, the newest first.
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

    /// Writes one more. Whatever goes wrong, the others are as they were; on a
    /// full disk the older ones make room, never the newest.
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
        // The new one is safe: what is left of the old ones is a matter of tidiness.
        if let Err(e) = self.prune(self.keep) {
            log::warn!("old states stay in {}: {e}", self.folder.display());
        }
        Ok(())
    }

    /// Gives a generation another name, under which it is left alone for good.
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

    fn path(&self, number: u64) -> PathBuf {
        // As many digits as the largest has, so that names sort as numbers do.
        self.folder.join(format!("{number:020}{SUFFIX}"))
    }

    fn write_unfinished(&self, path: &Path, document: &[u8]) -> io::Result<()> {
        let mut options = private::options();
        options.write(true).create(true).truncate(true);
        let mut file = options.open(path)?;
        file.write_all(document)?;
        file.sync_all()
    }

    /// Removes all but the newest `keep`. True if there was something to remove.
    fn prune(&self, keep: usize) -> io::Result<bool> {
        let found = self.list()?;
        let old = found.get(keep..).unwrap_or_default();
        for number in old {
            fs::remove_file(self.path(*number))?;
        }
        Ok(!old.is_empty())
    }
}
