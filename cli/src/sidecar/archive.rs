//! A folder as bytes: a gzipped tar that depends only on names, contents and permissions,
//! not on times, owners or the order of the folder.
//!
//! Reading is strict: an archive comes from a store that others can write to. It is checked
//! entirely before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use satellite_sdk::{Error, Result};
use tar::{EntryType, Header};

/// How often a folder is read again that should not change.
const STOPPED_ATTEMPTS: u32 = 5;
/// The sidecar's own files in the folder, which are never part of an archive.
pub const CONTROL: &str = ".satellite";
/// What a new file system begins with.
const VOLUME_OWN: &str = "lost+found";
/// The maximum number of files and folders.
const MAX_ENTRIES: usize = 100_000;
/// A file that changed less than this before it was read may change again without a new
/// timestamp: the clock of file systems ticks every few milliseconds.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// What is archived.
#[derive(Debug, Clone)]
pub struct Scope {
    pub root: PathBuf,
    /// Names directly in it that are left out.
    pub excluded: Vec<PathBuf>,
    /// The maximum size of all files together, in bytes.
    pub limit: u64,
}

/// A folder as bytes.
#[derive(Debug)]
pub struct Archive {
    pub bytes: Vec<u8>,
    pub files: u64,
    /// The size of all files together.
    pub size: u64,
}

/// Names, sizes and times of everything in the folder: changes whenever the folder does.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, Stat>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    kind: Kind,
    mode: u32,
    size: u64,
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link(PathBuf),
}

impl Scope {
    /// The archive of the folder as it is now; `None` when it changed while it was read.
    pub fn pack(&self) -> Result<Option<Archive>> {
        let started = SystemTime::now();
        let before = self.list()?;
        if before.is_newer_than(started - CLOCK_TICK) {
            return Ok(None);
        }
        let packed = match self.pack_listed(&before) {
            Ok(archive) => archive,
            // A file was removed or truncated: the second listing shows it too.
            Err(_) if self.list()? != before => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok((self.list()? == before).then_some(packed))
    }

    /// The archive of the folder of an application that does not run. What others change in it
    /// meanwhile may be archived before or after.
    pub fn pack_stopped(&self) -> Result<Archive> {
        for _ in 0..STOPPED_ATTEMPTS {
            let before = self.list()?;
            let packed = self.pack_listed(&before);
            if self.list()? == before {
                return packed;
            }
        }
        self.pack_listed(&self.list()?)
    }

    /// What is in the folder.
    pub fn list(&self) -> Result<Listing> {
        let mut found = BTreeMap::new();
        self.list_into(Path::new(""), &mut found)?;
        let size: u64 = found.values().map(|stat| stat.size).sum();
        if size > self.limit {
            return Err(Error::new(format_args!(
                "{} is too large to be kept: {size} bytes in {} files, the limit is {} \
                 (--state-limit)",
                self.root.display(),
                found.len(),
                self.limit
            )));
        }
        Ok(Listing(found))
    }

    /// Whether this path in the folder is not the application's, or excluded.
    pub fn leaves_out(&self, path: &Path) -> bool {
        path == Path::new(CONTROL) || path == Path::new(VOLUME_OWN) || {
            self.excluded.iter().any(|excluded| excluded == path)
        }
    }

    fn list_into(&self, folder: &Path, found: &mut BTreeMap<PathBuf, Stat>) -> Result<()> {
        let at = self.root.join(folder);
        for entry in fs::read_dir(&at).map_err(|e| at_path(&at, &e))? {
            let entry = entry.map_err(|e| at_path(&at, &e))?;
            let path = folder.join(entry.file_name());
            if self.leaves_out(&path) {
                continue;
            }
            let at = self.root.join(&path);
            let metadata = match fs::symlink_metadata(&at) {
                Ok(metadata) => metadata,
                // Removed since the folder was read, which the next listing shows.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(at_path(&at, &e)),
            };
            let file_type = metadata.file_type();
            let kind = if file_type.is_dir() {
                Kind::Folder
            } else if file_type.is_file() {
                Kind::File
            } else if file_type.is_symlink() {
                let target = fs::read_link(&at).map_err(|e| at_path(&at, &e))?;
                check_link(&path, &target)?;
                Kind::Link(target)
            } else {
                log::debug!("{} is a socket, a pipe or a device: not kept", at.display());
                continue;
            };
            let is_folder = kind == Kind::Folder;
            let is_file = kind == Kind::File;
            found.insert(path.clone(), Stat::new(kind, &metadata, is_file));
            if found.len() > MAX_ENTRIES {
                return Err(Error::new(format_args!(
                    "{} holds more than {MAX_ENTRIES} files: it cannot be kept",
                    self.root.display()
                )));
            }
            if is_folder {
                self.list_into(&path, found)?;
            }
        }
        Ok(())
    }

    fn pack_listed(&self, listing: &Listing) -> Result<Archive> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let (mut files, mut size) = (0, 0);
        for (path, stat) in &listing.0 {
            let mut header = Header::new_gnu();
            header.set_mode(stat.mode);
            header.set_mtime(0);
            header.set_size(stat.size);
            match &stat.kind {
                Kind::Folder => {
                    header.set_entry_type(EntryType::Directory);
                    tar.append_data(&mut header, path, io::empty())?;
                }
                Kind::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    tar.append_link(&mut header, path, target)?;
                }
                Kind::File => {
                    let at = self.root.join(path);
                    let file = File::open(&at).map_err(|e| at_path(&at, &e))?;
                    let mut content = Vec::new();
                    let read = file.take(stat.size + 1).read_to_end(&mut content);
                    read.map_err(|e| at_path(&at, &e))?;
                    if content.len() as u64 != stat.size {
                        return Err(Error::new("the folder is changing"));
                    }
                    header.set_entry_type(EntryType::Regular);
                    tar.append_data(&mut header, path, content.as_slice())?;
                    files += 1;
                    size += stat.size;
                }
            }
        }
        let bytes = tar.into_inner()?.finish()?;
        Ok(Archive { bytes, files, size })
    }
}

impl Listing {
    /// The size of all files together.
    pub fn size(&self) -> u64 {
        self.0.values().map(|stat| stat.size).sum()
    }

    fn is_newer_than(&self, limit: SystemTime) -> bool {
        let limit = limit.duration_since(SystemTime::UNIX_EPOCH);
        let limit = limit.unwrap_or_default();
        let limit = (limit.as_secs() as i64, i64::from(limit.subsec_nanos()));
        self.0.values().any(|stat| stat.changed > limit)
    }
}

impl Stat {
    fn new(kind: Kind, metadata: &fs::Metadata, is_file: bool) -> Self {
        Stat {
            kind,
            mode: metadata.mode() & 0o777,
            size: if is_file { metadata.size() } else { 0 },
            inode: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An archive that was read and is safe to write to a folder.
#[derive(Debug)]
pub struct Unpacked {
    entries: Vec<(PathBuf, Item)>,
}

#[derive(Debug)]
enum Item {
    Folder { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: PathBuf },
}

impl Unpacked {
    /// Reads an archive of at most `limit` bytes of content.
    ///
    /// # Errors
    /// It is damaged or too large, or it has an entry that could write or point outside of
    /// the folder, or that is not a file, a folder or a link.
    pub fn read(archive: &[u8], limit: u64) -> Result<Self> {
        // The headers and the padding of the entries count as well.
        let most = limit.saturating_add(2048 * MAX_ENTRIES as u64);
        let mut tar = tar::Archive::new(GzDecoder::new(archive).take(most));
        let mut read = Unpacked {
            entries: Vec::new(),
        };
        let (mut size, mut seen, mut folders) = (0, BTreeSet::new(), BTreeSet::new());
        folders.insert(PathBuf::new());
        let damaged = |e: io::Error| Error::new(format_args!("the archive is damaged: {e}"));
        for entry in tar.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let path = entry.path().map_err(damaged)?.into_owned();
            let refused = |why: &str| {
                Err(Error::new(format_args!(
                    "the archive has an entry that is refused: {path:?} {why}"
                )))
            };
            if !is_plain(&path) {
                return refused("is not a path within the folder");
            }
            if path.starts_with(CONTROL) {
                return refused("is reserved for the sidecar");
            }
            if !path.parent().is_some_and(|parent| folders.contains(parent)) {
                return refused("is not in a folder of the archive");
            }
            if !seen.insert(path.clone()) {
                return refused("is there twice");
            }
            if seen.len() > MAX_ENTRIES {
                return refused("is one too many");
            }
            let mode = entry.header().mode().map_err(damaged)? & 0o777;
            let item = match entry.header().entry_type() {
                EntryType::Directory => {
                    folders.insert(path.clone());
                    Item::Folder { mode }
                }
                EntryType::Symlink => {
                    let target = entry.link_name().map_err(damaged)?;
                    let target = target.map(|target| target.into_owned());
                    let Some(target) = target.filter(|target| check_link(&path, target).is_ok())
                    else {
                        return refused("is a link out of the folder");
                    };
                    Item::Link { target }
                }
                EntryType::Regular => {
                    size += entry.size();
                    if size > limit {
                        return refused("exceeds the limit of the content (--state-limit)");
                    }
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content).map_err(damaged)?;
                    Item::File { mode, content }
                }
                _ => return refused("is neither a file nor a folder nor a link"),
            };
            read.entries.push((path, item));
        }
        // The checksum is at the very end.
        io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(damaged)?;
        Ok(read)
    }

    pub fn files(&self) -> usize {
        let is_file = |(_, item): &&(PathBuf, Item)| matches!(item, Item::File { .. });
        self.entries.iter().filter(is_file).count()
    }

    /// Writes everything to `root`, which holds none of it.
    pub fn write(&self, root: &Path) -> Result<()> {
        for (path, item) in &self.entries {
            let at = root.join(path);
            let written = match item {
                Item::Folder { .. } => DirBuilder::new().mode(0o700).create(&at),
                Item::Link { target } => symlink(target, &at),
                Item::File { mode, content } => {
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).mode(*mode);
                    options.open(&at).and_then(|mut file| {
                        file.write_all(content)?;
                        file.set_permissions(Permissions::from_mode(*mode))
                    })
                }
            };
            written.map_err(|e| at_path(&at, &e))?;
        }
        // Last, since a folder may be read-only.
        for (path, item) in self.entries.iter().rev() {
            if let Item::Folder { mode } = item {
                let at = root.join(path);
                fs::set_permissions(&at, Permissions::from_mode(*mode))
                    .map_err(|e| at_path(&at, &e))?;
            }
        }
        Ok(())
    }
}

/// Whether it consists of plain names only.
fn is_plain(path: &Path) -> bool {
    let mut components = path.components().peekable();
    components.peek().is_some() && components.all(|c| matches!(c, Component::Normal(_)))
}

/// Rejects a link that may lead out of the folder. `..` is allowed only at the beginning: the
/// folders above a link are no links themselves, but those in its target may be.
fn check_link(path: &Path, target: &Path) -> Result<()> {
    let mut depth = path.components().count() - 1;
    let mut is_below = false;
    for component in target.components() {
        match component {
            Component::ParentDir if !is_below && depth > 0 => depth -= 1,
            Component::CurDir => {}
            Component::Normal(name) if name != OsStr::new(CONTROL) => is_below = true,
            _ => {
                return Err(Error::new(format_args!(
                    "the link {path:?} points out of the folder, to {target:?}: it cannot be \
                     kept; leave it out with --exclude"
                )));
            }
        }
    }
    Ok(())
}

pub fn at_path(path: &Path, error: &io::Error) -> Error {
    Error::new(format_args!("{}: {error}", path.display()))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
