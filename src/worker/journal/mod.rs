//! A write-ahead journal for the next process: which tasks were claimed, which
//! handlers started, which results are not delivered yet.
//!
//! | line | on the disk before |
//! |---|---|
//! | `claiming` | the claim is sent |
//! | `begun` | the handler runs |
//! | `finished`, with the result | the report is sent |
//! | `over` | not synced: if it is lost, the same report is sent once more |
//!
//! The token is not stored: a process with a new token continues where one with the
//! old token ended. The folder belongs to a satellite, not to a token.
//!
//! A failing disk does not stop the work: the failure is logged, `/readyz` shows it,
//! and the next write retries together with all lines that are still needed.

mod file;
mod record;

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::worker::kill_point::kill_point;
use crate::worker::metrics;
use crate::worker::problems;
use crate::worker::report::Report;
use file::JournalFile;
pub(super) use file::check_folder;
use record::Record;
use satellite_core::{Error, Result};
use satellite_health::Health;

/// Above this size in bytes the file is compacted, if at least half of it is obsolete.
const COMPACT_ABOVE: u64 = 1024 * 1024;

/// The most bytes of lines that are still needed; a result beyond this limit is kept
/// in memory only.
const LIMIT: u64 = 64 * 1024 * 1024;

/// Does nothing without a state folder.
#[derive(Default)]
pub(super) struct Journal {
    file: Option<JournalFile>,
    /// One for each task that is not over, ordered by the last line about it.
    entries: Vec<Entry>,
    /// The file may end with a partial line: it must be rewritten.
    is_broken: bool,
    health: Option<Health>,
}

struct Entry {
    task: String,
    progress: Progress,
    /// The last line about it.
    line: Vec<u8>,
}

/// How far a task has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Claiming,
    Begun,
    Finished,
}

impl Journal {
    /// Opens the journal in `folder` and returns the results to deliver.
    ///
    /// # Errors
    /// When another process has locked it. Any other error is logged as a warning, and
    /// the satellite runs without a journal.
    pub(super) fn open(folder: &Path, health: Health) -> Result<(Self, Vec<Report>)> {
        let place = folder.display();
        let (file, bytes) = match JournalFile::open(folder) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return Err(Error::new(format_args!(
                    "another process of this satellite is running: it has locked {place}"
                )));
            }
            Err(e) => {
                let problem = format!(
                    "no journal in {place}: {e}; results are lost if the process is killed"
                );
                health.warning(problems::JOURNAL, problem);
                health.metrics().add(&metrics::JOURNAL_FAILURES, &[], 1);
                return Ok(Default::default());
            }
            Ok(opened) => opened,
        };
        let mut journal = Journal {
            file: Some(file),
            health: Some(health),
            ..Journal::default()
        };
        let reports = journal.read(&bytes);
        Ok((journal, reports))
    }

    pub(super) fn claiming(&mut self, task_id: &str) {
        // When a claim is retried, the line is there already.
        if self.progress(task_id).is_none() {
            self.note(Progress::Claiming, &Record::Claiming(task_id.into()));
        }
    }

    pub(super) fn begun(&mut self, task_id: &str) {
        self.note(Progress::Begun, &Record::Begun(task_id.into()));
    }

    pub(super) fn finished(&mut self, report: &Report) {
        self.note(Progress::Finished, &Record::finished(report));
    }

    /// The platform has accepted the report, or the task is not ours.
    pub(super) fn over(&mut self, task_id: &str) {
        if !self.forget(task_id) {
            return;
        }
        let line = Record::Over(task_id.into()).line();
        let written = line.map_err(io::Error::from).and_then(|l| self.append(&l));
        self.update_health(written);
    }

    pub(super) fn progress(&self, task_id: &str) -> Option<Progress> {
        let entry = self.entries.iter().find(|entry| entry.task == task_id);
        entry.map(|entry| entry.progress)
    }

    /// The tasks that an earlier process claimed but did not finish.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let unfinished = |entry: &&Entry| entry.progress != Progress::Finished;
        let entries = self.entries.iter().filter(unfinished);
        entries.map(|entry| entry.task.clone()).collect()
    }

    /// Reads the file's contents and returns the results that are not delivered yet.
    fn read(&mut self, bytes: &[u8]) -> Vec<Report> {
        let mut reports: Vec<Report> = Vec::new();
        let mut damaged = 0;
        // A last line without a line feed is incomplete.
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let record = line.strip_suffix(b"\n").and_then(Record::parse);
            let Some(record) = record else {
                damaged += 1;
                continue;
            };
            // The last line of a task counts: an unreadable line in between may have
            // said that an earlier run was over.
            reports.retain(|report| report.task_id != record.task());
            let progress = match &record {
                Record::Claiming(_) => Progress::Claiming,
                Record::Begun(_) => Progress::Begun,
                Record::Finished(_) => Progress::Finished,
                Record::Over(task) => {
                    self.forget(task);
                    continue;
                }
            };
            reports.extend(record.report());
            self.keep(record.task(), progress, line.to_vec());
        }
        if damaged > 0 {
            self.save_damaged(bytes, damaged);
        }
        if !reports.is_empty() {
            log::warn!(
                "{} results of an earlier process are undelivered",
                reports.len()
            );
        }
        reports
    }

    fn save_damaged(&mut self, bytes: &[u8], damaged: usize) {
        let Some(file) = &self.file else { return };
        let place = file.folder().display();
        match file.save_damaged(bytes) {
            Ok(kept) => log::error!(
                "{damaged} lines of the journal in {place} are damaged and ignored; \
                 a copy of the original is in {}",
                kept.display()
            ),
            Err(e) => {
                log::error!(
                    "{damaged} lines of the journal in {place} are damaged and ignored; \
                     saving a copy of the original failed: {e}"
                )
            }
        }
        let written = self.rewrite();
        self.update_health(written);
    }

    fn note(&mut self, progress: Progress, record: &Record<'_>) {
        if self.file.is_none() {
            return;
        }
        let task = record.task();
        let written = record.line().map_err(io::Error::from).and_then(|line| {
            if self.useful() + line.len() as u64 > LIMIT {
                log::warn!(
                    "the journal is full: the result of task {task} is lost if the process is killed"
                );
                return Ok(());
            }
            kill_point("journal");
            let written = self.append(&line);
            self.keep(task, progress, line);
            written?;
            kill_point("journal written");
            self.file.as_ref().map_or(Ok(()), JournalFile::sync)
        });
        self.update_health(written);
        kill_point("journal on the disk");
    }

    fn keep(&mut self, task: &str, progress: Progress, line: Vec<u8>) {
        self.forget(task);
        let task = task.to_owned();
        self.entries.push(Entry {
            task,
            progress,
            line,
        });
    }

    /// Removes the entry of a task. Returns whether there was one.
    fn forget(&mut self, task: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.task != task);
        self.entries.len() < before
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let useful = self.useful();
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if self.is_broken || file.len() > COMPACT_ABOVE.max(2 * useful) {
            self.rewrite()?;
        }
        match &mut self.file {
            Some(file) => file.append(line),
            None => Ok(()),
        }
    }

    fn useful(&self) -> u64 {
        let lines = self.entries.iter().map(|entry| entry.line.len() as u64);
        lines.sum()
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let lines = self.entries.iter().map(|entry| entry.line.as_slice());
        match &mut self.file {
            Some(file) => file.rewrite(lines),
            None => Ok(()),
        }
    }

    fn update_health(&mut self, written: io::Result<()>) {
        let was_broken = std::mem::replace(&mut self.is_broken, written.is_err());
        let (Some(file), Some(health)) = (&self.file, &self.health) else {
            return;
        };
        let place = file.folder().display();
        match written {
            Err(e) => {
                let problem = format!(
                    "cannot write the journal in {place}: {e}; \
                     results are lost if the process is killed"
                );
                health.warning(problems::JOURNAL, problem);
                health.metrics().add(&metrics::JOURNAL_FAILURES, &[], 1);
            }
            Ok(()) if was_broken => health.clear(problems::JOURNAL),
            Ok(()) => {}
        }
    }
}

#[cfg(fuzzing)]
pub(crate) fn read(bytes: &[u8]) -> (Vec<Report>, Vec<u8>) {
    let mut journal = Journal::default();
    let reports = journal.read(bytes);
    let kept = journal.entries.into_iter().flat_map(|entry| entry.line);
    (reports, kept.collect())
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.file.as_ref().map(JournalFile::folder);
        f.debug_tuple("Journal").field(&folder).finish()
    }
}
