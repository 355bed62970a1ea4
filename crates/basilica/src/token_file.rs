//! The file that stores the tokens: readable only by its owner, replaced by rename,
//! refreshed by one process at a time.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;

use satellite_core::http::{Grant, Secret};
use satellite_core::private::{self, FileLock};
use satellite_core::{Error, Result};

pub(super) struct TokenFile {
    path: PathBuf,
}

/// The contents of the file.
#[derive(Deserialize)]
pub(super) struct StoredTokens {
    access_token: Secret,
    refresh_token: Secret,
    /// Unix timestamp in seconds.
    #[serde(default)]
    expires_at: Option<u64>,
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        TokenFile { path }
    }

    /// `None` if the file does not exist.
    pub(super) fn read(&self) -> Result<Option<StoredTokens>> {
        let bytes = match fs::read(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|e| self.error(e))?,
        };
        // The error does not quote the contents: they may hold a token.
        let stored = serde_json::from_slice(&bytes)
            .map_err(|e| self.error(format_args!("invalid token data at line {}", e.line())))?;
        Ok(Some(stored))
    }

    /// An exclusive lock among processes, held until it is dropped.
    pub(super) fn lock(&self, within: Duration) -> Result<FileLock> {
        let path = self.beside("lock");
        let begun = Instant::now();
        loop {
            match private::lock(&path) {
                Ok(lock) => return Ok(lock),
                Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(self.error(e)),
                Err(_) if begun.elapsed() >= within => {
                    return Err(self.error("another process has held its lock for too long"));
                }
                // The lock holder waits for a server. A file lock has to be polled.
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Replaces the contents atomically. The caller holds the lock.
    pub(super) fn write(&self, grant: &Grant) -> Result<()> {
        let left = |at: Instant| at.saturating_duration_since(Instant::now()).as_secs();
        let document = json!({
            "access_token": grant.token.expose(),
            "refresh_token": grant.refresh.expose(),
            "expires_at": grant.expires.map(|at| unix_now() + left(at)),
        });
        let new = self.beside("new");
        let written = || {
            // Never write into a file that someone else created in order to read it.
            match fs::remove_file(&new) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = private::options().write(true).create_new(true).open(&new)?;
            file.write_all(document.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        written().map_err(|e| self.error(e))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format_args!(
            "the token file {}: {what}",
            self.path.display()
        ))
    }
}

impl StoredTokens {
    pub(super) fn token(&self) -> &Secret {
        &self.access_token
    }

    pub(super) fn tokens(self) -> (Secret, Secret) {
        (self.access_token, self.refresh_token)
    }

    /// `None` if unknown.
    pub(super) fn expires_in(&self) -> Option<Duration> {
        let left = self.expires_at?.saturating_sub(unix_now());
        // Treat a date too far in the future as unknown.
        (left < u64::from(u32::MAX)).then(|| Duration::from_secs(left))
    }

    pub(super) fn has_expired(&self) -> bool {
        self.expires_in() == Some(Duration::ZERO)
    }
}

/// The current Unix timestamp in seconds.
fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
