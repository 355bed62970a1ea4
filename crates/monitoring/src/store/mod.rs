//! Reports, alerts and samples in one crash-safe file.

mod file;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use self::file::{Fault, guarded, open, restrict, set_aside};

use crate::alert::Alert;
use crate::report::Report;

/// By end of the window and deployment: so the oldest rows are first.
const REPORTS: TableDefinition<'static, (u64, &str), &[u8]> = TableDefinition::new("reports");
/// By deployment and metric.
const ALERTS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("alerts");
/// By time and event.
const SAMPLES: TableDefinition<'static, (u64, &str), &[u8]> = TableDefinition::new("samples");
/// When the process that wrote last was alive.
const MARKS: TableDefinition<'static, &str, u64> = TableDefinition::new("marks");
const ALIVE: &str = "alive";
/// Times without a connection: their ends by their beginnings.
const OUTAGES: TableDefinition<'static, u64, u64> = TableDefinition::new("outages");

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
            let mut table = transaction.open_table(REPORTS)?;
            for report in &batch.reports {
                let key = (report.end_ms, report.deployment.as_str());
                table.insert(key, bytes(report).as_slice())?;
            }
            let mut table = transaction.open_table(ALERTS)?;
            for alert in &batch.alerts {
                let key = (alert.deployment.as_str(), alert.metric.as_str());
                table.insert(key, bytes(alert).as_slice())?;
            }
            let mut table = transaction.open_table(SAMPLES)?;
            for sample in &batch.samples {
                let key = (sample.at_ms, sample.event.as_str());
                table.insert(key, bytes(sample).as_slice())?;
            }
            let mut table = transaction.open_table(OUTAGES)?;
            for (begin, end) in &batch.outages {
                table.insert(begin, end)?;
            }
            transaction.open_table(MARKS)?.insert(ALIVE, batch.now_ms)?;
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
            let mut reports = transaction.open_table(REPORTS)?;
            reports.retain(|(end, _), _| end >= oldest)?;
            let mut outages = transaction.open_table(OUTAGES)?;
            outages.retain(|_, end| end >= oldest)?;
            let mut alerts = transaction.open_table(ALERTS)?;
            let is_new = |alert: Alert| alert.last_seen_ms >= oldest;
            alerts.retain(|_, alert| parsed(alert).is_some_and(is_new))?;
            let mut samples = transaction.open_table(SAMPLES)?;
            let mut kept = std::collections::BTreeMap::<String, usize>::new();
            let mut surplus = Vec::new();
            for row in samples.iter()?.rev() {
                let (key, value) = row?;
                let (at, event) = key.value();
                let deployment = parsed::<Sample>(value.value()).map(|sample| sample.deployment);
                let count = kept.entry(deployment.unwrap_or_default()).or_default();
                *count += 1;
                if *count > most || at < oldest {
                    surplus.push((at, event.to_owned()));
                }
            }
            for (at, event) in &surplus {
                samples.remove((*at, event.as_str()))?;
            }
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
        self.read(|transaction| {
            let table = transaction.open_table(REPORTS)?;
            let rows = table.range((since_ms, "")..)?;
            rows.map(|row| Ok(parsed(row?.1.value())))
                .filter_map(Result::transpose)
                .collect()
        })
    }

    /// All alerts.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn alerts(&self) -> io::Result<Vec<Alert>> {
        self.read(|transaction| {
            let table = transaction.open_table(ALERTS)?;
            let rows = table.iter()?;
            rows.map(|row| Ok(parsed(row?.1.value())))
                .filter_map(Result::transpose)
                .collect()
        })
    }

    /// All samples, oldest first.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn samples(&self) -> io::Result<Vec<Sample>> {
        self.read(|transaction| {
            let table = transaction.open_table(SAMPLES)?;
            let rows = table.iter()?;
            rows.map(|row| Ok(parsed(row?.1.value())))
                .filter_map(Result::transpose)
                .collect()
        })
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
                if end.value() >= since_ms {
                    found.push((begin.value(), end.value()));
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
            Ok(table.get(ALIVE)?.map(|at| at.value()))
        })
    }

    /// Deletes the oldest quarter of the rows, and returns the space to the file system.
    fn shrink(&mut self) -> io::Result<()> {
        self.transaction(|transaction| {
            let mut reports = transaction.open_table(REPORTS)?;
            let mut left = redb::ReadableTableMetadata::len(&reports)?.div_ceil(4);
            reports.retain(|_, _| {
                left = left.saturating_sub(1);
                left == 0
            })?;
            let mut samples = transaction.open_table(SAMPLES)?;
            let mut left = redb::ReadableTableMetadata::len(&samples)?.div_ceil(4);
            samples.retain(|_, _| {
                left = left.saturating_sub(1);
                left == 0
            })?;
            Ok(())
        })?;
        self.database.compact().map(drop).map_err(io::Error::other)
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

/// Numbers, texts and lists can always be written.
fn bytes(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).unwrap_or_default()
}

/// `None` if another version wrote the row.
fn parsed<T: for<'a> Deserialize<'a>>(row: &[u8]) -> Option<T> {
    serde_json::from_slice(row).ok()
}
