//! Files from presigned URLs.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use satellite_core::http::{Backoff, FileAgent, Part};
use satellite_core::{Error, Result};

/// Fetches the file at `url` to `path`: [`Download`] with its defaults.
///
/// ```no_run
/// # let url = "https://files.example/model.bin?signature=s";
/// let file = satellite_sdk::extras::download_file(url, "/var/lib/models/model.bin")?;
/// println!("{} bytes, sha256 {}", file.bytes, file.sha256);
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
///
/// # Errors
/// As [`Download::to`].
pub fn download_file(url: &str, path: impl AsRef<Path>) -> Result<Downloaded> {
    Download::new(url).to(path)
}

/// A file to be fetched.
///
/// ```no_run
/// use satellite_sdk::extras::Download;
///
/// # let url = "https://files.example/model.bin?signature=s";
/// Download::new(url)
///     .sha256("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
///     .on_progress(|p| eprint!("\r{} of {:?} bytes", p.bytes, p.total))
///     .to("model.bin")?;
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
#[must_use = "nothing is fetched before `.to(path)`"]
pub struct Download<'a> {
    url: &'a str,
    sha256: Option<String>,
    on_progress: Box<dyn FnMut(Progress) + 'a>,
    attempts: u32,
    max_wait: Duration,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes on this host so far.
    pub bytes: u64,
    /// Bytes of the whole file, where the server says it.
    pub total: Option<u64>,
}

/// A file that has arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl<'a> Download<'a> {
    /// The file at `url`, which may be presigned: its query is never shown.
    pub fn new(url: &'a str) -> Self {
        Download {
            url,
            sha256: None,
            on_progress: Box::new(|_| {}),
            attempts: 5,
            max_wait: Duration::from_secs(30),
        }
    }

    /// What the file must hash to: 64 hexadecimal digits.
    pub fn sha256(mut self, digits: impl Into<String>) -> Self {
        self.sha256 = Some(digits.into().to_ascii_lowercase());
        self
    }

    /// Called for each piece that arrives; after a start from the beginning
    /// `bytes` falls back.
    pub fn on_progress(mut self, see: impl FnMut(Progress) + 'a) -> Self {
        self.on_progress = Box::new(see);
        self
    }

    /// Gives up after so many attempts in a row that brought nothing new (5).
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The longest wait between two attempts (30 s).
    pub fn max_wait(mut self, max: Duration) -> Self {
        self.max_wait = max;
        self
    }

    /// Fetches it to `path`. The file is written beside it as `….part`, goes on
    /// where it broke off if the server can do that, and takes its name only
    /// when it is whole, of the right length and hash, and on disk. A file that
    /// was at `path` before stays until then.
    ///
    /// # Errors
    /// When the server refuses; when nothing new came for all attempts; when
    /// the length or the hash is wrong; when the disk is full.
    pub fn to(mut self, path: impl AsRef<Path>) -> Result<Downloaded> {
        let path = path.as_ref();
        let part_path = part_path(path)?;
        let fetched = self
            .fetch(&part_path)
            .and_then(|partial| self.check(partial, path, &part_path));
        if fetched.is_err() {
            let _ = fs::remove_file(&part_path); // nobody would resume it
        }
        fetched
    }

    fn fetch(&mut self, part_path: &Path) -> Result<Partial> {
        let agent = FileAgent::new();
        let mut partial = Partial::create(part_path)?;
        let mut backoff = Backoff::new(self.max_wait);
        let mut fruitless = 0;
        loop {
            let before = partial.bytes;
            let broke = match self.fetch_on(&agent, &mut partial) {
                Ok(()) => return Ok(partial),
                Err(e) if e.is_retryable() => e,
                // The file changed, or the range is not to be had: all anew.
                Err(e) if e.status() == Some(416) && partial.bytes > 0 => {
                    partial.restart()?;
                    e
                }
                Err(e) => return Err(e),
            };
            match partial.bytes > before {
                true => {
                    fruitless = 0;
                    backoff.succeeded();
                }
                false => fruitless += 1,
            }
            if fruitless >= self.attempts {
                return Err(broke);
            }
            let wait = backoff.failed(broke.retry_after());
            log::info!("{broke}; going on in {wait:.1?}");
            thread::sleep(wait);
        }
    }

    /// Fetches what is missing, to the end or to the next break.
    fn fetch_on(&mut self, agent: &FileAgent, partial: &mut Partial) -> Result<()> {
        // Without a name for the version there is no telling that the rest
        // belongs to the same file, unless a hash will tell.
        let resumable = partial.etag.is_some() || self.sha256.is_some();
        let from = if resumable { partial.bytes } else { 0 };
        let mut part = agent.get(self.url, from, partial.etag.as_deref())?;
        if part.from != partial.bytes {
            partial.restart()?;
        }
        partial.etag = part.etag.take();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match part.read(self.url, &mut buffer)? {
                0 => return partial.check_length(self.url, &part),
                n => partial.write(&buffer[..n])?,
            }
            (self.on_progress)(Progress {
                bytes: partial.bytes,
                total: part.total,
            });
        }
    }

    fn check(&self, partial: Partial, path: &Path, part_path: &Path) -> Result<Downloaded> {
        let bytes = partial.bytes;
        let sha256 = partial.finish()?;
        match &self.sha256 {
            Some(expected) if *expected != sha256 => Err(Error::new(format_args!(
                "{}: the file that came has sha256 {sha256}, expected {expected}",
                path.display()
            ))),
            _ => {
                fs::rename(part_path, path)?;
                Ok(Downloaded {
                    path: path.to_owned(),
                    bytes,
                    sha256,
                })
            }
        }
    }
}

impl fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.url.split(['?', '#']).next();
        f.debug_tuple("Download").field(&address).finish()
    }
}

/// What is on disk of a file, hashed on the way.
struct Partial {
    file: File,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
    etag: Option<String>,
}

impl Partial {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)
            .map_err(|e| Error::new(format_args!("cannot write {}: {e}", path.display())))?;
        Ok(Partial {
            file,
            path: path.to_owned(),
            hash: Sha256::new(),
            bytes: 0,
            etag: None,
        })
    }

    fn restart(&mut self) -> Result<()> {
        *self = Partial::create(&self.path)?;
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.file
            .write_all(piece)
            .map_err(|e| Error::new(format_args!("cannot write {}: {e}", self.path.display())))?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn check_length(&self, url: &str, part: &Part) -> Result<()> {
        match part.total {
            Some(total) if total != self.bytes => Err(FileAgent::cut_short(url, self.bytes, total)),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<String> {
        self.file.sync_all()?;
        let digest = self.hash.finalize();
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn part_path(path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(format_args!("{} names no file", path.display())))?;
    let mut part = name.to_owned();
    part.push(".part");
    Ok(path.with_file_name(part))
}
