//! The files of an artifact: the members of a tar archive, which are read in place, or the files
//! of an unpacked folder. Nothing is extracted, so no name can lead out of a folder.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use tar::EntryType;

use super::Limits;
use crate::failure::{Failure, Result};

/// The files of an artifact by their paths, which are relative and use `/`.
#[derive(Debug)]
pub struct Files {
    source: Source,
    index: BTreeMap<String, Span>,
}

#[derive(Debug)]
enum Source {
    Archive(File),
    Folder(PathBuf),
}

/// Where a file is in the archive; the offset is 0 in a folder.
#[derive(Debug, Clone, Copy)]
struct Span {
    offset: u64,
    bytes: u64,
}

/// The bytes that the headers of one member may have, with its long name.
const MEMBER_HEADER_BYTES: u64 = 1 << 20;

impl Files {
    /// Opens a folder, or an archive that is plain or compressed with gzip or zstd.
    ///
    /// A compressed archive is unpacked into a temporary file without a name.
    pub fn open(path: &Path, limits: &Limits) -> Result<Files> {
        let missing = |e: io::Error| Failure::missing(format_args!("{}: {e}", path.display()));
        if fs::metadata(path).map_err(missing)?.is_dir() {
            return Files::of_folder(path, limits);
        }
        let file = File::open(path).map_err(missing)?;
        Files::of_archive(file, limits).map_err(|failure| failure.within(path.display()))
    }

    /// Reads the members of the archive in `file`.
    pub fn of_archive(file: File, limits: &Limits) -> Result<Files> {
        let mut file = uncompressed(file, limits)?;
        let index = members(&mut file, limits)?;
        Ok(Files {
            source: Source::Archive(file),
            index,
        })
    }

    fn of_folder(folder: &Path, limits: &Limits) -> Result<Files> {
        let mut index = BTreeMap::new();
        let mut left = limits.unpacked_bytes;
        walk(folder, "", limits, &mut left, &mut index)
            .map_err(|failure| failure.within(folder.display()))?;
        Ok(Files {
            source: Source::Folder(folder.to_owned()),
            index,
        })
    }

    /// The paths of all files, sorted by their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The length of a file, if it exists.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        self.index.get(name).map(|span| span.bytes)
    }

    /// The contents of a file of at most `limit` bytes; `None` if it does not exist.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.bytes(name) else {
            return Ok(None);
        };
        if bytes > limit {
            return Err(Failure::invalid(format_args!(
                "{name} has {bytes} bytes; at most {limit} are read"
            )));
        }
        self.read_range(name, 0, bytes).map(Some)
    }

    /// A part of a file.
    pub fn read_range(&self, name: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        let failed = |e: io::Error| Failure::invalid(format_args!("{name} cannot be read: {e}"));
        let span = self
            .index
            .get(name)
            .ok_or_else(|| Failure::invalid(format_args!("{name} does not exist")))?;
        let is_inside = offset
            .checked_add(length)
            .is_some_and(|end| end <= span.bytes);
        let length = usize::try_from(length).ok().filter(|_| is_inside);
        let Some(length) = length else {
            return Err(Failure::invalid(format_args!(
                "{name} has {} bytes, but bytes {offset} and following are needed",
                span.bytes
            )));
        };
        let mut buffer = vec![0; length];
        match &self.source {
            Source::Archive(file) => file.read_exact_at(&mut buffer, span.offset + offset),
            Source::Folder(folder) => File::open(folder.join(name))
                .and_then(|file| file.read_exact_at(&mut buffer, offset)),
        }
        .map_err(failed)?;
        Ok(buffer)
    }
}

/// The same archive without its compression.
fn uncompressed(mut file: File, limits: &Limits) -> Result<File> {
    let failed = |e: io::Error| Failure::invalid(format_args!("cannot be read: {e}"));
    let mut magic = [0; 6];
    let read = file.read_at(&mut magic, 0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    match &magic[..read] {
        [0x1f, 0x8b, ..] => unpack(MultiGzDecoder::new(file), limits),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => unpack(Frames::new(file), limits),
        [b'B', b'Z', b'h', ..] => Err(unreadable("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(unreadable("xz")),
        [b'P', b'K', 3, 4, ..] => Err(Failure::invalid("is a zip file, not a tar archive")),
        _ => Ok(file),
    }
}

fn unreadable(compression: &str) -> Failure {
    Failure::invalid(format_args!(
        "is compressed with {compression}; plain, gzip and zstd archives are read"
    ))
}

fn unpack(mut from: impl Read, limits: &Limits) -> Result<File> {
    let limit = limits.unpacked_bytes;
    let system = |e: io::Error| {
        let text = format!("the unpacked archive cannot be written: {e}");
        Failure::new(crate::failure::Kind::System, text)
    };
    let mut to = tempfile::tempfile().map_err(system)?;
    let mut left = limit;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                let text = format!("the compressed data is damaged: {e}");
                return Err(Failure::invalid(text));
            }
        };
        left = left.checked_sub(read as u64).ok_or_else(|| {
            Failure::invalid(format_args!(
                "unpacks to more than {limit} bytes (LUML_MODEL_UNPACKED_MB)"
            ))
        })?;
        to.write_all(&buffer[..read]).map_err(system)?;
    }
    to.rewind().map_err(system)?;
    Ok(to)
}

/// All frames of a zstd file, one after the other.
struct Frames {
    decoder: Option<StreamingDecoder<File, ruzstd::decoding::FrameDecoder>>,
    file: Option<File>,
}

impl Frames {
    fn new(file: File) -> Self {
        Frames {
            decoder: None,
            file: Some(file),
        }
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                match decoder.read(buffer)? {
                    0 => self.file = self.decoder.take().map(StreamingDecoder::into_inner),
                    read => return Ok(read),
                }
            }
            let Some(mut file) = self.file.take() else {
                return Ok(0);
            };
            let mut next = [0];
            if file.read(&mut next)? == 0 {
                return Ok(0);
            }
            file.seek(SeekFrom::Current(-1))?;
            let decoder = StreamingDecoder::new(file).map_err(io::Error::other)?;
            self.decoder = Some(decoder);
        }
    }
}

/// Finds the files in a tar archive. The last member of a name counts, as everywhere with tar.
fn members(file: &mut File, limits: &Limits) -> Result<BTreeMap<String, Span>> {
    let end = file
        .seek(SeekFrom::End(0))
        .and_then(|end| file.rewind().map(|()| end))
        .map_err(|e| Failure::invalid(format_args!("cannot be read: {e}")))?;
    let budget = Rc::new(Cell::new(MEMBER_HEADER_BYTES));
    let reader = Metered {
        file,
        left: budget.clone(),
    };
    let mut archive = tar::Archive::new(reader);
    let damaged = |e: io::Error| Failure::invalid(format_args!("is not a valid tar archive: {e}"));
    let mut entries = archive.entries_with_seek().map_err(damaged)?;
    let mut index = BTreeMap::new();
    let (mut count, mut total) = (0, 0_u64);
    loop {
        budget.set(MEMBER_HEADER_BYTES);
        let Some(entry) = entries.next() else { break };
        let entry = entry.map_err(damaged)?;
        count += 1;
        if count > limits.entries {
            return Err(Failure::invalid(format_args!(
                "has more than {} members (LUML_MODEL_ENTRIES)",
                limits.entries
            )));
        }
        let path = entry.path_bytes();
        let shown = String::from_utf8_lossy(&path).into_owned();
        let name = member_name(&path)?;
        let what = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => continue,
            EntryType::Regular | EntryType::Continuous => None,
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Link => Some("a hard link"),
            EntryType::Symlink => Some("a symbolic link"),
            EntryType::Char | EntryType::Block => Some("a device"),
            EntryType::Fifo => Some("a pipe"),
            EntryType::GNUSparse => Some("a sparse file"),
            _ => Some("of an unknown kind"),
        };
        if let Some(what) = what {
            return Err(Failure::invalid(format_args!(
                "the member {shown:?} is {what}; an artifact has only files and folders"
            )));
        }
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(bytes).is_none_or(|last| last > end) {
            return Err(Failure::invalid(format_args!(
                "the archive ends within the member {shown:?}"
            )));
        }
        total = total.saturating_add(bytes);
        if total > limits.unpacked_bytes {
            return Err(too_large(limits));
        }
        let Some(name) = name else {
            return Err(Failure::invalid(format_args!(
                "the member {shown:?} has no name"
            )));
        };
        index.insert(name, Span { offset, bytes });
    }
    Ok(index)
}

fn too_large(limits: &Limits) -> Failure {
    Failure::invalid(format_args!(
        "the files have more than {} bytes (LUML_MODEL_UNPACKED_MB)",
        limits.unpacked_bytes
    ))
}

/// The path of a member without `./`; `None` for the root folder itself.
fn member_name(path: &[u8]) -> Result<Option<String>> {
    let refused = |why: &str| {
        let path = String::from_utf8_lossy(path);
        Failure::invalid(format_args!("the member {path:?} {why}"))
    };
    let text = std::str::from_utf8(path).map_err(|_| refused("has a name that is not UTF-8"))?;
    if text.contains('\0') || text.contains('\\') {
        return Err(refused("has a name with a backslash or a NUL"));
    }
    let mut parts = Vec::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::CurDir => {}
            _ => return Err(refused("leaves the folder of the artifact")),
        }
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// Limits how much is read between two members: a long name could be as long as the archive.
struct Metered<'a> {
    file: &'a mut File,
    left: Rc<Cell<u64>>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        if allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the headers of a member are too long"));
        }
        let length = buffer.len().min(allowed);
        let read = self.file.read(&mut buffer[..length])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn walk(
    root: &Path,
    within: &str,
    limits: &Limits,
    left: &mut u64,
    index: &mut BTreeMap<String, Span>,
) -> Result<()> {
    let failed = |e: io::Error| Failure::missing(format_args!("cannot be read: {e}"));
    for entry in fs::read_dir(root.join(within)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let own = entry.file_name();
        let Some(own) = own.to_str() else {
            let text = format!("the file {own:?} has a name that is not UTF-8");
            return Err(Failure::invalid(text));
        };
        let name = match within {
            "" => own.to_owned(),
            within => format!("{within}/{own}"),
        };
        // Does not follow links.
        let data = entry.metadata().map_err(failed)?;
        if data.is_dir() {
            walk(root, &name, limits, left, index)?;
            continue;
        }
        if !data.is_file() {
            return Err(Failure::invalid(format_args!(
                "{name:?} is a link or a device; an artifact has only files and folders"
            )));
        }
        let bytes = data.len();
        *left = left.checked_sub(bytes).ok_or_else(|| too_large(limits))?;
        if index.len() >= limits.entries {
            return Err(Failure::invalid(format_args!(
                "has more than {} files (LUML_MODEL_ENTRIES)",
                limits.entries
            )));
        }
        index.insert(name, Span { offset: 0, bytes });
    }
    Ok(())
}
