//! The log of a model server: a file that the server itself writes to, so that it outlives
//! the satellite.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::masker::Output;

const FILE: &str = "log";
/// The end of the part that was cut off.
const EARLIER: &str = "log.1";

/// A log beyond this size is cut.
const MAX_BYTES: u64 = 1 << 20;

/// How much of the part that is cut off is kept.
const KEPT_BYTES: u64 = 512 << 10;

/// How much of a log is searched for its last lines.
const SEARCHED_BYTES: u64 = 64 << 10;

const LAST_LINES: usize = 30;

/// Opens the log for a model server. It appends, so the file may be cut while it writes.
pub(super) fn open(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.append(true).create(true).mode(0o600);
    options.open(folder.join(FILE))
}

/// Cuts a log that is too long; a few lines that are written meanwhile may be lost.
pub(super) fn limit(folder: &Path) -> io::Result<()> {
    let path = folder.join(FILE);
    let size = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if size <= MAX_BYTES {
        return Ok(());
    }
    let new = folder.join("log.new");
    fs::write(&new, tail(&path, KEPT_BYTES)?)?;
    fs::rename(&new, folder.join(EARLIER))?;
    OpenOptions::new().write(true).open(&path)?.set_len(0)
}

/// The last lines of a log.
pub(super) fn last_lines(folder: &Path) -> Output {
    let read = |name: &str| match tail(&folder.join(name), SEARCHED_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        bytes => bytes,
    };
    let lines = read(EARLIER).and_then(|earlier| Ok([earlier, read(FILE)?].concat()));
    Output::new(match lines {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
        }
        Err(error) => format!("(no logs: {error})"),
    })
}

fn tail(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
    let mut tail = Vec::new();
    file.take(bytes).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::masker::Masker;

    use super::*;

    #[test]
    fn a_log_is_cut_while_its_writer_has_it_open_and_the_last_lines_are_kept() {
        let folder = satellite_sdk::extras::temp_directory().unwrap();
        let folder = folder.path();
        limit(folder).unwrap();
        let mut log = open(folder).unwrap();
        let line = "x".repeat(1023);
        for n in 0..5000 {
            writeln!(log, "{n} {line}").unwrap();
            limit(folder).unwrap();
            let size = |name| fs::metadata(folder.join(name)).map_or(0, |m| m.len());
            assert!(size(FILE) + size(EARLIER) <= MAX_BYTES + KEPT_BYTES + 2048);
        }
        writeln!(log, "the last line").unwrap();
        let lines = Masker::new([], "").mask(last_lines(folder));
        assert!(lines.ends_with("\nthe last line"), "{lines}");
        assert!(
            lines.contains("4999 "),
            "from the part that was cut: {lines}"
        );
    }
}
