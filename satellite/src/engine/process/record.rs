//! The record of a model server in the state folder. It contains no variable: they may be
//! secrets.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use miniserde::{Deserialize, Serialize, json};

use super::identity::Identity;

pub(super) const FILE: &str = "record";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub program: String,
    pub restart_policy: String,
    pub memory_limit: Option<String>,
    pub cpu_limit: Option<String>,
    pub created: String,
    pub started: String,
    /// The port on loopback.
    pub port: u16,
    /// Its process; `None` if it does not run.
    pub process: Option<Identity>,
    /// The folder of its cgroup.
    pub cgroup: Option<String>,
    pub restarts: u64,
    /// `None` until it has ended for the first time.
    pub exit_code: Option<i64>,
}

impl Record {
    /// Reads the record in a folder; `None` if there is none.
    pub fn load(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => json::from_str(&text)
                .map(Some)
                .map_err(|_| io::Error::new(ErrorKind::InvalidData, "not a valid record")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the record so that it survives a power failure: the next process restarts
    /// the model from it.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join("record.new");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(json::to_string(self).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    }
}

/// The time since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The time as text, such as `2026-11-21T09:30:00.000000000Z`: sorts chronologically.
pub(super) fn utc(time: Duration) -> String {
    let seconds = time.as_secs();
    // Howard Hinnant's `civil_from_days`: years that begin in March end with the leap day.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let nanos = time.subsec_nanos();
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), expected);
        }
    }
}
