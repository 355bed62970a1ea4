//! Reports, alerts and samples in one crash-safe file.

mod log;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

use satellite_core::private::{self, FileLock};
use serde::{Deserialize, Serialize};

use self::log::Log;
use crate::alert::Alert;
use crate::history;
use crate::report::Report;

const FILE: &str = "monitoring.log";
const LOCK: &str = "monitoring.lock";

/// Rows that a batch may have of one kind; then the oldest are dropped.
const BATCH_ROWS: usize = 2000;

/// Bytes of samples that a batch may have; then the oldest are dropped.
const BATCH_BYTES: usize = 4 << 20;

/// How much a store keeps.
///
/// ```
/// let limits = satellite_monitoring::Limits::default();
/// assert_eq!(limits.bytes, 64 * 1024 * 1024);
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    /// The size of the file: beyond it, its oldest reports and samples are deleted, until three
    /// quarters of it are left.
    pub bytes: u64,
    /// Older rows are deleted.
    pub age: Duration,
    /// Samples of each deployment: the newest are kept. The file may have twice as many.
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

/// What is written together.
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

impl Batch {
    /// Adds what is to be written later, if this could not be written yet. Its memory is
    /// bounded: the oldest rows are dropped.
    ///
    /// ```
    /// # use satellite_monitoring::Batch;
    /// let mut waiting = Batch { now_ms: 1, ..Batch::default() };
    /// waiting.extend(Batch { now_ms: 2, outages: vec![(1, 2)], ..Batch::default() });
    /// assert_eq!((waiting.now_ms, waiting.outages), (2, vec![(1, 2)]));
    /// ```
    pub fn extend(&mut self, later: Batch) {
        self.now_ms = self.now_ms.max(later.now_ms);
        self.reports.extend(later.reports);
        self.alerts.extend(later.alerts);
        self.samples.extend(later.samples);
        if !later.outages.is_empty() {
            self.outages = later.outages;
        }
        drop_oldest(&mut self.reports);
        drop_oldest(&mut self.alerts);
        drop_oldest(&mut self.samples);
        let size = |sample: &Sample| sample.inputs.len() + sample.outputs.len();
        let mut bytes: usize = self.samples.iter().map(size).sum();
        self.samples.retain(|sample| {
            let is_kept = bytes <= BATCH_BYTES;
            bytes -= size(sample);
            is_kept
        });
    }
}

fn drop_oldest<T>(rows: &mut Vec<T>) {
    rows.drain(..rows.len().saturating_sub(BATCH_ROWS));
}

/// A row of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant)] // there are few at a time
enum Row<'a> {
    Report(Cow<'a, Report>),
    Alert(Cow<'a, Alert>),
    Sample(Cow<'a, Sample>),
    /// A time without a connection: beginning and end.
    Outage(u64, u64),
    /// When the process that wrote was alive.
    Alive(u64),
}

/// A store in a folder. One process at a time can write it; others can read it meanwhile.
///
/// What was written is on disk when a call returns, and survives a kill at any moment. A file
/// that is damaged is copied, and what can be read of it is kept.
///
/// ```
/// use satellite_monitoring::{Batch, Limits, Report, Store};
///
/// let folder = tempfile::tempdir()?;
/// let mut store = Store::open(folder.path(), Limits::default())?;
/// let report = Report { deployment: "d-1".into(), end_ms: 60_000, ..Report::default() };
/// store.write(&Batch { now_ms: 60_000, reports: vec![report.clone()], ..Batch::default() })?;
/// assert_eq!(Store::read(folder.path(), 0)?.unwrap().reports, [report]);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Store {
    log: Log,
    limits: Limits,
    index: Index,
    _lock: FileLock,
}

/// What is kept in memory of a file.
#[derive(Debug, Default)]
struct Index {
    /// The last state of each, by deployment and metric.
    alerts: BTreeMap<(String, String), Alert>,
    /// Ends by beginnings.
    outages: BTreeMap<u64, u64>,
    alive_ms: Option<u64>,
    oldest_report_ms: Option<u64>,
    /// The newest of each deployment, oldest first.
    reports: BTreeMap<String, VecDeque<Report>>,
    /// How many the file has, by deployment.
    samples: BTreeMap<String, usize>,
}

/// What a store contains.
///
/// ```
/// assert_eq!(satellite_monitoring::Stored::default().alive_ms, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// The reports whose window ends at the time asked for or later, oldest first.
    pub reports: Vec<Report>,
    /// All alerts.
    pub alerts: Vec<Alert>,
    /// The samples since the time asked for, oldest first.
    pub samples: Vec<Sample>,
    /// The outages that ended at the time asked for or later: their beginnings and ends.
    pub outages: Vec<(u64, u64)>,
    /// The time of the last batch; `None` in a new store.
    pub alive_ms: Option<u64>,
}

impl Store {
    /// Opens the store and verifies all of it, or creates it.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it open; or if the folder cannot be written.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        private::create_folder(folder)?;
        let lock = private::lock(&folder.join(LOCK))?;
        let mut index = Index::default();
        let log = Log::open(folder.join(FILE), &mut |row: Row<'_>| index.add(&row))?;
        Ok(Store {
            log,
            limits,
            index,
            _lock: lock,
        })
    }

    /// Reads the store of a folder, also while another process writes it; `None` if there is
    /// none. Rows that are damaged are left out.
    ///
    /// # Errors
    /// If the disk fails, or the file is no store.
    pub fn read(folder: &Path, since_ms: u64) -> io::Result<Option<Stored>> {
        let path = folder.join(FILE);
        if !path.try_exists()? {
            return Ok(None);
        }
        let mut index = Index::default();
        let mut stored = Stored::default();
        let pass = log::scan(&path, &mut |row: Row<'_>| {
            index.add(&row);
            match row {
                Row::Report(report) if report.end_ms >= since_ms => {
                    stored.reports.push(report.into_owned());
                }
                Row::Sample(sample) if sample.at_ms >= since_ms => {
                    stored.samples.push(sample.into_owned());
                }
                _ => {}
            }
        })?;
        if let (Some(why), None) = (pass.damage, index.alive_ms) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        stored.alive_ms = index.alive_ms;
        stored.outages = index.outages_since(since_ms).collect();
        stored.alerts = index.alerts.into_values().collect();
        Ok(Some(stored))
    }

    /// Appends a batch. After an error nothing of it is written.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let mut rows = Vec::new();
        rows.extend(
            batch
                .reports
                .iter()
                .map(|it| Row::Report(Cow::Borrowed(it))),
        );
        rows.extend(batch.alerts.iter().map(|it| Row::Alert(Cow::Borrowed(it))));
        let mut counts = BTreeMap::<&str, usize>::new();
        let first = rows.len();
        for sample in batch.samples.iter().rev() {
            let count = counts.entry(&sample.deployment).or_default();
            *count += 1;
            if *count <= self.limits.samples {
                rows.push(Row::Sample(Cow::Borrowed(sample)));
            }
        }
        rows[first..].reverse();
        let is_new = |(begin, end): &&(u64, u64)| self.index.outages.get(begin) != Some(end);
        let outages = batch.outages.iter().filter(is_new);
        rows.extend(outages.map(|(begin, end)| Row::Outage(*begin, *end)));
        rows.push(Row::Alive(batch.now_ms));
        let mut lines = Vec::new();
        rows.iter().try_for_each(|row| log::push(&mut lines, row))?;
        self.log.append(&lines)?;
        rows.iter().for_each(|row| self.index.add(row));
        Ok(())
    }

    /// Deletes surplus samples, the oldest rows of a file that is too large, and what is older
    /// than the limit, with an eighth of that time as a margin. That replaces the file; if there
    /// is little to delete, the disk is not touched.
    ///
    /// `now_ms`: `None` deletes nothing for its age, while the clock may be wrong.
    ///
    /// # Errors
    /// If the disk is full or fails; everything is kept then.
    pub fn prune(&mut self, now_ms: Option<u64>) -> io::Result<()> {
        let age = u64::try_from(self.limits.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = now_ms.map_or(0, |now_ms| now_ms.saturating_sub(age));
        let margin = oldest.saturating_sub(age / 8);
        self.index.alerts.retain(|_, it| it.last_seen_ms >= oldest);
        self.index.outages.retain(|_, end| *end >= oldest);
        let is_old = self.index.oldest_report_ms.is_some_and(|at| at < margin);
        let most = self.limits.samples.saturating_mul(2);
        let is_surplus = self.index.samples.values().any(|count| *count > most);
        let is_large = self.log.length() > self.limits.bytes;
        if !(is_old || is_surplus || is_large) {
            return Ok(());
        }
        let first = match is_large {
            true => self.log.length() - self.limits.bytes / 4 * 3,
            false => 0,
        };
        self.rewrite(oldest, first)
    }

    /// The size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.log.length()
    }

    /// All alerts.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.index.alerts.values()
    }

    /// The outages that ended at `since_ms` or later: their beginnings and ends.
    pub fn outages(&self, since_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        self.index.outages_since(since_ms)
    }

    /// The newest reports of each deployment, oldest first. All but the last have only their
    /// [`interval`](Report::interval).
    pub fn newest_reports(&mut self) -> impl Iterator<Item = (&str, &[Report])> {
        let newest = self.index.reports.iter_mut();
        newest.map(|(deployment, reports)| (deployment.as_str(), &*reports.make_contiguous()))
    }

    /// The time of the last batch; `None` in a new store.
    pub fn alive_ms(&self) -> Option<u64> {
        self.index.alive_ms
    }

    /// Keeps the newest samples, and the reports and samples since `oldest_ms` from this offset
    /// on; alerts and outages as they are in memory.
    fn rewrite(&mut self, oldest_ms: u64, first: u64) -> io::Result<()> {
        let old = &self.index;
        let mut surplus = old.samples.clone();
        let most = self.limits.samples;
        surplus
            .values_mut()
            .for_each(|n| *n = n.saturating_sub(most));
        let mut index = Index::default();
        self.log.retain(&mut |offset, text| {
            let Ok(row) = serde_json::from_slice::<Row<'_>>(text) else {
                return false;
            };
            let is_kept = match &row {
                Row::Report(report) => report.end_ms >= oldest_ms && offset >= first,
                Row::Sample(sample) => {
                    let surplus = surplus.get_mut(&sample.deployment);
                    let is_surplus = surplus.is_some_and(|n| {
                        let is_surplus = *n > 0;
                        *n = n.saturating_sub(1);
                        is_surplus
                    });
                    !is_surplus && sample.at_ms >= oldest_ms && offset >= first
                }
                Row::Alert(alert) => old.alerts.get(&key(alert)) == Some(alert),
                Row::Outage(begin, end) => old.outages.get(begin) == Some(end),
                Row::Alive(at) => old.alive_ms == Some(*at),
            };
            if is_kept {
                index.add(&row);
            }
            is_kept
        })?;
        self.index = index;
        Ok(())
    }
}

impl Index {
    fn add(&mut self, row: &Row<'_>) {
        match row {
            Row::Report(report) => {
                let oldest = self.oldest_report_ms.unwrap_or(u64::MAX);
                self.oldest_report_ms = Some(oldest.min(report.end_ms));
                let newest = self.reports.entry(report.deployment.clone()).or_default();
                // Of the earlier ones only the interval is needed.
                if let Some(last) = newest.back_mut() {
                    *last = Report {
                        interval: last.interval,
                        ..Report::default()
                    };
                }
                newest.push_back(report.clone().into_owned());
                if newest.len() > history::LENGTH {
                    newest.pop_front();
                }
            }
            Row::Alert(alert) => {
                self.alerts.insert(key(alert), alert.clone().into_owned());
            }
            Row::Sample(sample) => {
                *self.samples.entry(sample.deployment.clone()).or_default() += 1;
            }
            Row::Outage(begin, end) => {
                self.outages.insert(*begin, *end);
            }
            Row::Alive(at) => self.alive_ms = Some(*at),
        }
    }

    fn outages_since(&self, since_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let outages = self.outages.iter().map(|(begin, end)| (*begin, *end));
        outages.filter(move |(_, end)| *end >= since_ms)
    }
}

fn key(alert: &Alert) -> (String, String) {
    (alert.deployment.clone(), alert.metric.clone())
}
