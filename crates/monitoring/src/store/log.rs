//! A file of rows: each is a line with its checksum and its JSON. It is appended to, and replaced
//! as a whole now and then. A kill or a power failure loses at most the rows that were being
//! appended.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use satellite_core::private;
use serde::{Deserialize, Serialize};

/// The first line. Another one is another format.
const HEADER: &[u8] = b"satellite-monitoring 1\n";

/// The longest line. A sample's bodies have 64 KiB each, and escapes.
const MAX_LINE: u64 = 2 << 20;

/// The length of a checksum, a space, and the line's end.
const FRAME: usize = 10;

#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// Of whole lines. An interrupted write may have left more.
    length: u64,
}

/// What a pass over the file found.
pub(super) struct Pass {
    length: u64,
    /// The first place that cannot be read.
    pub damage: Option<String>,
}

impl Log {
    /// Opens or creates the file, and calls `each` with its rows. A damaged file is copied to
    /// `….damaged`, and the rows of it that can be read are kept.
    pub(super) fn open<R: for<'a> Deserialize<'a>>(
        path: PathBuf,
        each: &mut dyn FnMut(R),
    ) -> io::Result<Self> {
        let mut log = Log { path, length: 0 };
        // A kill has left it.
        remove(&log.path.with_extension("new"))?;
        if !log.path.try_exists()? {
            log.replace(&mut |_| Ok(()))?;
        }
        let pass = scan(&log.path, each)?;
        log.length = pass.length;
        if let Some(why) = pass.damage {
            let aside = log.path.with_extension("damaged");
            if let Err(error) = fs::copy(&log.path, &aside) {
                remove(&aside)?;
                return Err(error);
            }
            log::error!(
                "{} is damaged ({why}): it was copied to {}, and the rows that can be read are kept",
                log.path.display(),
                aside.display()
            );
            log.retain(&mut |_, _| true)?;
        }
        Ok(log)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends these lines. They are on disk when it returns; after an error there is nothing
    /// of them.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = match private::options().append(true).open(&self.path) {
            // Somebody has removed it.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return self.replace(&mut |file| file.write_all(lines));
            }
            file => file?,
        };
        let found = file.metadata()?.len();
        if found < self.length {
            // Somebody has truncated it; its header and half a line may be gone.
            drop(file);
            self.retain(&mut |_, _| true)?;
            return self.append(lines);
        }
        // What an earlier write has left.
        file.set_len(self.length)?;
        let written = file.write_all(lines).and_then(|()| file.sync_data());
        match written {
            Ok(()) => self.length += lines.len() as u64,
            Err(_) => drop(file.set_len(self.length)),
        }
        written
    }

    /// Replaces the file by the lines for which `keep`, which gets their offsets and texts, is
    /// true.
    pub(super) fn retain(&mut self, keep: &mut dyn FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
        let path = self.path.clone();
        self.replace(&mut |file| {
            let mut written = Ok(());
            lines(&path, &mut |line| {
                if written.is_ok() && keep(line.offset, line.text) {
                    written = file.write_all(line.whole);
                }
            })?;
            written
        })
    }

    /// Replaces the file by the lines that `write` writes, or leaves it as it was.
    fn replace(
        &mut self,
        write: &mut dyn FnMut(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = self.path.with_extension("new");
        remove(&new)?;
        let replaced = self.replace_by(&new, write);
        if replaced.is_err() {
            // It may have taken the last space of the disk.
            remove(&new)?;
        }
        replaced
    }

    fn replace_by(
        &mut self,
        new: &Path,
        write: &mut dyn FnMut(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut file = BufWriter::new(private::options().write(true).create_new(true).open(new)?);
        file.write_all(HEADER)?;
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        let length = file.get_ref().metadata()?.len();
        fs::rename(new, &self.path)?;
        self.length = length;
        private::sync_folder(self.path.parent().unwrap_or(Path::new(".")))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Calls `each` with the rows of a file. Rows that another version has written are left out.
pub(super) fn scan<R: for<'a> Deserialize<'a>>(
    path: &Path,
    each: &mut dyn FnMut(R),
) -> io::Result<Pass> {
    lines(path, &mut |line| {
        if let Ok(row) = serde_json::from_slice(line.text) {
            each(row);
        }
    })
}

/// A line with the right checksum.
struct Line<'a> {
    offset: u64,
    /// With its checksum and its end.
    whole: &'a [u8],
    text: &'a [u8],
}

/// Calls `each` with each line that can be read.
fn lines(path: &Path, each: &mut dyn FnMut(Line<'_>)) -> io::Result<Pass> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let mut pass = Pass {
        length: 0,
        damage: None,
    };
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        (&mut file).take(MAX_LINE).read_until(b'\n', line)
    };
    next(&mut line)?;
    if line != HEADER {
        pass.damage = Some("it does not begin as a monitoring store".to_owned());
        return Ok(pass);
    }
    pass.length = HEADER.len() as u64;
    while next(&mut line)? > 0 {
        let offset = pass.length;
        match text_of(&line) {
            Some(text) => each(Line {
                offset,
                whole: &line,
                text,
            }),
            // The last write was interrupted.
            None if !line.ends_with(b"\n") && (line.len() as u64) < MAX_LINE => break,
            None => {
                let why = || format!("the checksum at byte {offset} is wrong");
                pass.damage.get_or_insert_with(why);
            }
        }
        pass.length += line.len() as u64;
    }
    Ok(pass)
}

/// Adds the line of a row.
pub(super) fn push(lines: &mut Vec<u8>, row: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(row)?;
    if (text.len() + FRAME) as u64 > MAX_LINE {
        log::warn!(
            "a row of {} bytes is too long for the monitoring store",
            text.len()
        );
        return Ok(());
    }
    lines.extend(format!("{:08x} ", crc32fast::hash(&text)).as_bytes());
    lines.extend(text);
    lines.push(b'\n');
    Ok(())
}

/// The text of a line, if its checksum is right.
fn text_of(line: &[u8]) -> Option<&[u8]> {
    let (checksum, text) = line.strip_suffix(b"\n")?.split_at_checked(8)?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    let text = text.strip_prefix(b" ")?;
    (crc32fast::hash(text) == checksum).then_some(text)
}
