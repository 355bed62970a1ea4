//! Downloads of files from presigned URLs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use super::partial::Partial;
use satellite_core::client::Cancel;
use satellite_core::http::{Backoff, FileAgent, Part};
use satellite_core::{Error, Result};

/// Downloads the file at `url` to `path`: [`Download`] with default options.
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

/// Downloads a file.
///
/// ```no_run
/// use satellite_sdk::extras::Download;
///
/// # let url = "https://files.example/model.bin?signature=s";
/// Download::new(url)
///     .sha256("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
///     .max_bytes(8 << 30)
///     .on_progress(|p| eprint!("\r{} of {:?} bytes", p.bytes, p.total))
///     .to("model.bin")?;
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
#[must_use = "nothing is downloaded before `.to(path)`"]
pub struct Download<'a> {
    url: &'a str,
    sha256: Option<String>,
    on_progress: Box<dyn FnMut(Progress) + 'a>,
    attempts: u32,
    max_wait: Duration,
    max_bytes: u64,
    mode: u32,
    cancel: Cancel,
    #[cfg_attr(not(unix), expect(dead_code))]
    state_dir: Option<PathBuf>,
}

/// The progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes downloaded so far.
    pub bytes: u64,
    /// Bytes of the whole file, if the server sends the length.
    pub total: Option<u64>,
}

/// A completely downloaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// Its path.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl<'a> Download<'a> {
    /// A download of the file at `url`, which may be presigned: its query is never logged.
    pub fn new(url: &'a str) -> Self {
        Download {
            url,
            sha256: None,
            on_progress: Box::new(|_| {}),
            attempts: 5,
            max_wait: Duration::from_secs(30),
            max_bytes: u64::MAX,
            mode: 0o600,
            cancel: Cancel::new(),
            state_dir: None,
        }
    }

    /// Sets the expected SHA-256 of the file: 64 hexadecimal digits.
    pub fn sha256(mut self, digits: impl Into<String>) -> Self {
        self.sha256 = Some(digits.into().to_ascii_lowercase());
        self
    }

    /// Ends the download from another thread: at the next bytes, or during the wait before a
    /// retry. The error then is [`is_stopped`](Error::is_stopped).
    ///
    /// ```
    /// use satellite_sdk::{compute::Cancel, extras::Download};
    ///
    /// let cancel = Cancel::new();
    /// cancel.cancel();
    /// let download = Download::new("http://127.0.0.1:1/file").cancelled_by(&cancel);
    /// let path = std::env::temp_dir().join("a-file-that-is-never-downloaded");
    /// assert!(download.to(path).unwrap_err().is_stopped());
    /// ```
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Sets a callback for each piece that arrives. If the download restarts from the
    /// beginning, `bytes` decreases.
    pub fn on_progress(mut self, callback: impl FnMut(Progress) + 'a) -> Self {
        self.on_progress = Box::new(callback);
        self
    }

    /// Fails after this many consecutive attempts without progress. Default: 5.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the longest delay between two attempts. Default: 30 s.
    pub fn max_wait(mut self, max: Duration) -> Self {
        self.max_wait = max;
        self
    }

    /// Sets the size limit of the file in bytes. Default: no limit. A larger file is an
    /// error, and nothing of it stays on disk.
    pub fn max_bytes(mut self, limit: u64) -> Self {
        self.max_bytes = limit;
        self
    }

    /// Sets the permissions of the file on Unix. Default: 0600, only this user. Use 0644
    /// for a model that a container of another user reads.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Keeps the partial file in this state folder if the download fails or the process
    /// is killed. The next call with the same URL (without its query, since a signature
    /// changes), target and hash resumes it within a week. Without a folder each call
    /// starts from the beginning.
    ///
    /// ```no_run
    /// use satellite_sdk::extras::Download;
    /// use satellite_sdk::{Builder, Context, Task, done};
    ///
    /// Builder::new().handler("fetch", |task: Task, cx: &Context| {
    ///     let url = task.payload["url"].as_str().ok_or("no url")?;
    ///     let file = Download::new(url).resume_in(cx.state_dir()).to("/srv/model.bin")?;
    ///     done(file.sha256)
    /// });
    /// ```
    ///
    /// Partial files are in its subfolder `downloads`, which only this user can access.
    /// Only on Unix; on other systems nothing is kept.
    pub fn resume_in(mut self, state_dir: Option<&Path>) -> Self {
        self.state_dir = state_dir.map(Path::to_owned);
        self
    }

    /// Downloads the file to `path`. Until it is complete, verified (length and hash)
    /// and on disk, its bytes are in a file that only this user can read, with an
    /// unpredictable name: next to `path`, or in the folder set by
    /// [`resume_in`](Self::resume_in). A lost connection is resumed if the server
    /// supports it.
    ///
    /// An existing file at `path` stays until then. A symbolic or hard link there is
    /// replaced, and its target is not changed.
    ///
    /// # Errors
    /// If the server responds with an error; if all attempts make no progress; if the
    /// length or the hash is wrong; if the file is larger than
    /// [`max_bytes`](Self::max_bytes); if the disk is full.
    pub fn to(mut self, path: impl AsRef<Path>) -> Result<Downloaded> {
        let path = path.as_ref();
        if path.file_name().is_none() {
            return Err(Error::new(format_args!(
                "{} is not a file path",
                path.display()
            )));
        }
        let mut partial = self.begin(path)?;
        match self.fetch_whole(&mut partial, path) {
            Ok(sha256) => {
                let bytes = partial.bytes();
                partial
                    .finish(path, self.mode)
                    .map_err(|e| cannot_write(path, &e))?;
                Ok(Downloaded {
                    path: path.to_owned(),
                    bytes,
                    sha256,
                })
            }
            Err(e) => {
                // The next call may have a new URL if the signature has expired (403).
                match e.is_retryable() || matches!(e.status(), Some(401 | 403)) {
                    true => partial.keep(),
                    false => partial.discard(),
                }
                Err(e)
            }
        }
    }

    fn begin(&self, path: &Path) -> Result<Partial> {
        #[cfg(unix)]
        if let Some(state_dir) = &self.state_dir {
            let target = std::path::absolute(path)?;
            let address = self.url.split(['?', '#']).next().unwrap_or(self.url);
            let sha256 = self.sha256.as_deref().unwrap_or_default();
            let identity = [
                target.as_os_str().as_encoded_bytes(),
                address.as_bytes(),
                sha256.as_bytes(),
            ];
            match Partial::stored(state_dir, &identity) {
                Ok(Some(partial)) => return Ok(partial),
                Ok(None) => log::info!(
                    "{} is already being downloaded by another call",
                    path.display()
                ),
                Err(e) => log::warn!("{}: the download cannot be resumed: {e}", path.display()),
            }
        }
        Partial::temporary(path)
    }

    /// Downloads until the file is complete, and returns its hash.
    fn fetch_whole(&mut self, partial: &mut Partial, path: &Path) -> Result<String> {
        loop {
            // An earlier call may have ended after the last byte and before the rename.
            let is_complete =
                partial.bytes() > 0 && self.sha256.as_ref() == Some(&partial.sha256());
            if !is_complete {
                self.fetch(partial, path)?;
            }
            self.check_size(partial.bytes(), true)?;
            let sha256 = partial.sha256();
            match &self.sha256 {
                Some(expected) if *expected != sha256 => {
                    // The partial file may be from another version.
                    if partial.is_resumed {
                        log::info!(
                            "{}: the hash does not match; downloading it again",
                            path.display()
                        );
                        partial.restart().map_err(|e| cannot_write(path, &e))?;
                        continue;
                    }
                    return Err(Error::new(format_args!(
                        "{}: the downloaded file has sha256 {sha256}, expected {expected}",
                        path.display()
                    )));
                }
                _ => return Ok(sha256),
            }
        }
    }

    fn fetch(&mut self, partial: &mut Partial, path: &Path) -> Result<()> {
        let agent = FileAgent::default();
        let mut backoff = Backoff::new(self.max_wait);
        let mut failed_attempts = 0;
        loop {
            self.check_cancelled()?;
            let before = partial.bytes();
            let error = match self.fetch_rest(&agent, partial, path) {
                Ok(()) => return Ok(()),
                Err(e) if e.is_retryable() => e,
                // The file changed, or the server does not have the range: start over.
                Err(e) if e.status() == Some(416) && partial.bytes() > 0 => {
                    partial.restart().map_err(|e| cannot_write(path, &e))?;
                    e
                }
                Err(e) => return Err(e),
            };
            match partial.bytes() > before {
                true => {
                    failed_attempts = 0;
                    backoff.succeeded();
                }
                false => failed_attempts += 1,
            }
            if failed_attempts >= self.attempts {
                return Err(error);
            }
            let wait = backoff.failed(error.retry_after());
            log::info!("{error}; resuming in {wait:.1?}");
            self.pause(wait)?;
        }
    }

    /// Downloads the missing part until the end or the next interruption.
    fn fetch_rest(&mut self, agent: &FileAgent, partial: &mut Partial, path: &Path) -> Result<()> {
        // Without an ETag only the hash can verify that the rest belongs to the same
        // version of the file.
        let resumable = partial.etag.is_some() || self.sha256.is_some();
        let from = if resumable { partial.bytes() } else { 0 };
        let mut part = agent.get(self.url, from, partial.etag.as_deref())?;
        if let Some(total) = part.total {
            self.check_size(total, true)?;
        }
        if part.from != partial.bytes() {
            partial.restart().map_err(|e| cannot_write(path, &e))?;
        }
        partial.etag = part.etag.take();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.check_cancelled()?;
            match part.read(self.url, &mut buffer)? {
                0 => return self.check_length(partial, &part),
                n => {
                    self.check_size(partial.bytes() + n as u64, false)?;
                    partial
                        .write(&buffer[..n])
                        .map_err(|e| cannot_write(path, &e))?;
                }
            }
            (self.on_progress)(Progress {
                bytes: partial.bytes(),
                total: part.total,
            });
        }
    }

    /// Waits before a retry.
    fn pause(&self, wait: Duration) -> Result<()> {
        let end = Instant::now() + wait;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.check_cancelled()?;
            thread::sleep(left.min(Duration::from_millis(20)));
        }
        self.check_cancelled()
    }

    fn check_cancelled(&self) -> Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(Error::stopped()),
            false => Ok(()),
        }
    }

    fn check_length(&self, partial: &Partial, part: &Part) -> Result<()> {
        match part.total {
            Some(total) if total != partial.bytes() => {
                Err(FileAgent::cut_short(self.url, partial.bytes(), total))
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, bytes: u64, is_whole: bool) -> Result<()> {
        match bytes > self.max_bytes {
            true => Err(FileAgent::too_large(
                self.url,
                bytes,
                is_whole,
                self.max_bytes,
            )),
            false => Ok(()),
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::new(format_args!("cannot write {}: {error}", path.display()))
}

impl fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.url.split(['?', '#']).next();
        f.debug_tuple("Download").field(&address).finish()
    }
}
