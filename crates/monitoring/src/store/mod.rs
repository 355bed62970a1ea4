//! Reports, alerts and samples in one crash-safe file.

#![allow(clippy::result_large_err)] // the database's own error

mod file;
mod rows;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};

use self::file::{Fault, guarded, open, restrict, set_aside};
use self::rows::{bytes, keep, parsed, put, time, timed};

use crate::alert::Alert;
use crate::report::Report;

/// All tables have keys and values of bytes: redb's code is compiled once for each pair of types.
pub(crate) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// By end of the window and deployment: so the oldest rows are first.
const REPORTS: Table = Table::new("reports");
/// By deployment and metric.
const ALERTS: Table = Table::new("alerts");
/// By time and event.
const SAMPLES: Table = Table::new("samples");
/// When the process that wrote last was alive.
const MARKS: Table = Table::new("marks");
const ALIVE: &[u8] = b"alive";
/// Times without a connection: their ends by their beginnings.
const OUTAGES: Table = Table::new("outages");

const FILE: &str = "monitoring.redb";

/// How much a store keeps.
///
/// ```
/// let limits = satellite_monitoring::Limits::default();
/// assert_eq!(limits.bytes, 64 * 1024 * 1024);
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    /// The size of the file: beyond it, the oldest quarter is deleted.
    pub bytes: u64,
    /// Older rows are deleted.
    pub age: Duration,
    /// Samples of each deployment: the newest are kept.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: 64 * 1024 * 1024,
            age: Duration::from_secs(30 * 24 * 3600),
            samples: 0,
        }
    }
}

/// What is written together: all of it, or nothing.
///
/// ```
/// let batch = satellite_monitoring::Batch { now_ms: 1_700_000_000_000, ..Default::default() };
/// assert!(batch.reports.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
    /// New reports.
    pub reports: Vec<Report>,
    /// New and changed alerts.
    pub alerts: Vec<Alert>,
    /// New samples.
    pub samples: Vec<Sample>,
    /// Times without a connection: beginning and end. One that goes on is written again with a
    /// later end.
    pub outages: Vec<(u64, u64)>,
}

/// Inputs and outputs of one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The event's id.
    pub event: String,
    /// The deployment's id.
    pub deployment: String,
    /// When the call arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// The response's status.
    pub status: u16,
    /// The request's body.
    pub inputs: String,
    /// The response's body.
    pub outputs: String,
}

/// A store in a folder. Only one process can have it open.
///
/// What was written is on disk when a call returns, and survives a kill at any moment. A file
/// that is damaged is renamed, and a new one begun.
///
/// ```
/// use satellite_monitoring::{Batch, Limits, Report, Store};
///
/// let folder = tempfile::tempdir()?;
/// let mut store = Store::open(folder.path(), Limits::default())?;
/// let report = Report { deployment: "d-1".into(), end_ms: 60_000, ..Report::default() };
/// store.write(&Batch { now_ms: 60_000, reports: vec![report.clone()], ..Batch::default() })?;
/// assert_eq!(store.reports(0)?, [report]);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
    limits: Limits,
}

impl Store {
    /// Opens the store and verifies all of it, or creates it. A damaged file is set aside.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it open; or if the folder cannot be written.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        Self::open_with(folder, limits, true)
    }

    /// The same without verifying pages that are not used: quick, whatever the size.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn reopen(folder: &Path, limits: Limits) -> io::Result<Self> {
        Self::open_with(folder, limits, false)
    }

    /// Opens a store to read it; `None` if there is none.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it open; or if it is damaged.
    pub fn existing(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.try_exists()? {
            return Ok(None);
        }
        match open(&path, false) {
            Ok(database) => Ok(Some(Store {
                database,
                path,
                limits: Limits::default(),
            })),
            Err(Fault::Io(error)) => Err(error),
            Err(Fault::Damaged(why)) => Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }

    fn open_with(folder: &Path, limits: Limits, verify: bool) -> io::Result<Self> {
        let path = folder.join(FILE);
        let database = match open(&path, verify) {
            Ok(database) => database,
            Err(Fault::Io(error)) => return Err(error),
            Err(Fault::Damaged(why)) => {
                let aside = set_aside(&path)?;
                log::error!(
                    "{} is damaged ({why}): it was renamed to {}, and a new one begins",
                    path.display(),
                    aside.display()
                );
                open(&path, false).map_err(|fault| match fault {
                    Fault::Io(error) => error,
                    Fault::Damaged(why) => io::Error::other(why),
                })?
            }
        };
        restrict(&path)?;
        Ok(Store {
            database,
            path,
            limits,
        })
    }

    /// Writes a batch in one transaction.
    ///
    /// # Errors
    /// If the disk is full or fails; nothing is written then.
    pub fn write(&mut self, batch: &Batch) -> io::Result<()> {
        self.transaction(|transaction| {
            for report in &batch.reports {
                let key = timed(report.end_ms, &report.deployment);
                put(transaction, REPORTS, &key, &bytes(report))?;
            }
            for alert in &batch.alerts {
                let key = format!("{}\0{}", alert.deployment, alert.metric);
                put(transaction, ALERTS, key.as_bytes(), &bytes(alert))?;
            }
            for sample in &batch.samples {
                let key = timed(sample.at_ms, &sample.event);
                put(transaction, SAMPLES, &key, &bytes(sample))?;
            }
            for (begin, end) in &batch.outages {
                let (begin, end) = (begin.to_be_bytes(), end.to_be_bytes());
                put(transaction, OUTAGES, &begin, &end)?;
            }
            put(transaction, MARKS, ALIVE, &batch.now_ms.to_be_bytes())?;
            Ok(())
        })
    }

    /// Deletes what is older than the limits, and the oldest rows of a file that is too large.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn prune(&mut self, now_ms: u64) -> io::Result<()> {
        let age = u64::try_from(self.limits.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = now_ms.saturating_sub(age);
        let most = self.limits.samples;
        self.transaction(|transaction| {
            keep(transaction, REPORTS, &mut |key, _| time(key) >= oldest)?;
            keep(transaction, OUTAGES, &mut |_, end| time(end) >= oldest)?;
            let is_new = |alert: Alert| alert.last_seen_ms >= oldest;
            keep(transaction, ALERTS, &mut |_, alert| {
                parsed(alert).is_some_and(is_new)
            })?;
            let mut kept = std::collections::BTreeMap::<String, usize>::new();
            let mut surplus = Vec::new();
            {
                let samples = transaction.open_table(SAMPLES)?;
                for row in samples.iter()?.rev() {
                    let (key, value) = row?;
                    let sample = parsed::<Sample>(value.value());
                    let deployment = sample.map(|sample| sample.deployment);
                    let count = kept.entry(deployment.unwrap_or_default()).or_default();
                    *count += 1;
                    if *count > most || time(key.value()) < oldest {
                        surplus.push(key.value().to_vec());
                    }
                }
            }
            keep(transaction, SAMPLES, &mut |key, _| {
                !surplus.iter().any(|one| one == key)
            })?;
            Ok(())
        })?;
        if self.size()? > self.limits.bytes {
            self.shrink()?;
        }
        Ok(())
    }

    /// The size of the file in bytes.
    ///
    /// # Errors
    /// If the file is gone.
    pub fn size(&self) -> io::Result<u64> {
        fs::metadata(&self.path).map(|file| file.len())
    }

    /// The reports whose window ends at `since_ms` or later, oldest first.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn reports(&self, since_ms: u64) -> io::Result<Vec<Report>> {
        self.rows(REPORTS, &since_ms.to_be_bytes())
    }

    /// All alerts.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn alerts(&self) -> io::Result<Vec<Alert>> {
        self.rows(ALERTS, &[])
    }

    /// All samples, oldest first.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn samples(&self) -> io::Result<Vec<Sample>> {
        self.rows(SAMPLES, &[])
    }

    /// The outages that ended at `since_ms` or later: their beginnings and ends.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn outages(&self, since_ms: u64) -> io::Result<Vec<(u64, u64)>> {
        self.read(|transaction| {
            let table = transaction.open_table(OUTAGES)?;
            let mut found = Vec::new();
            for row in table.iter()? {
                let (begin, end) = row?;
                let (begin, end) = (time(begin.value()), time(end.value()));
                if end >= since_ms {
                    found.push((begin, end));
                }
            }
            Ok(found)
        })
    }

    /// The time of the last batch; `None` in a new store.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn last_alive(&self) -> io::Result<Option<u64>> {
        self.read(|transaction| {
            let table = transaction.open_table(MARKS)?;
            Ok(table.get(ALIVE)?.map(|at| time(at.value())))
        })
    }

    /// Deletes the oldest quarter of the rows, and returns the space to the file system.
    fn shrink(&mut self) -> io::Result<()> {
        self.transaction(|transaction| {
            for table in [REPORTS, SAMPLES] {
                let rows = transaction.open_table(table)?.len()?;
                let mut left = rows.div_ceil(4);
                keep(transaction, table, &mut |_, _| {
                    let is_kept = left == 0;
                    left = left.saturating_sub(1);
                    is_kept
                })?;
            }
            Ok(())
        })?;
        self.database.compact().map(drop).map_err(io::Error::other)
    }

    /// The rows of a table from this key on.
    fn rows<T: for<'a> Deserialize<'a>>(&self, table: Table, from: &[u8]) -> io::Result<Vec<T>> {
        self.read(|transaction| {
            let table = transaction.open_table(table)?;
            let mut found = Vec::new();
            for row in table.range::<&[u8]>(from..)? {
                found.extend(parsed(row?.1.value()));
            }
            Ok(found)
        })
    }

    fn transaction(
        &mut self,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> io::Result<()> {
        let run = || {
            let transaction = self.database.begin_write()?;
            write(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        guarded(run)
    }

    /// A process that was killed at its start may have left a file without tables.
    fn read<T: Default>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> io::Result<T> {
        guarded(|| match read(&self.database.begin_read()?) {
            Err(redb::Error::TableDoesNotExist(_)) => Ok(T::default()),
            read => read,
        })
    }
}
