//! What the next process has to know: which tasks were claimed, whose handlers
//! began, which results have not arrived.
//!
//! | line | on the disk before |
//! |---|---|
//! | `claiming` | the claim is sent |
//! | `begun` | the handler runs |
//! | `finished`, with the result | the report is sent |
//! | `over` | nothing waits for it: lost, the same report is sent once more |
//!
//! The token is not in it: a process with a new one goes on where one with the old
//! one ended. The folder belongs to a satellite, not to a token.
//!
//! A disk that fails stops no work: it is said aloud, `/readyz` shows it, and the
//! next line is tried together with all that is still of use.

mod file;
mod record;

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::worker::figures;
use crate::worker::outbox::Report;
use crate::worker::step::step;
use file::JournalFile;
pub(super) use file::check_folder;
use record::Record;
use satellite_core::{Error, Result};
use satellite_health::{self as health, Health};

/// Longer than this it is written anew, if half of it is of no more use.
const COMFORTABLE: u64 = 1024 * 1024;

/// What is of use is never longer than this; a result that would make it so is
/// kept in memory alone.
const LIMIT: u64 = 64 * 1024 * 1024;

/// Does nothing where there is no folder for it.
#[derive(Default)]
pub(super) struct Journal {
    file: Option<JournalFile>,
    /// One for each task that is not over, in the order of their beginnings.
    entries: Vec<Entry>,
    /// The file may end in a part of a line: only writing it anew mends it.
    is_broken: bool,
    health: Option<Health>,
}

struct Entry {
    task: String,
    reached: Reached,
    /// The last line about it.
    line: Vec<u8>,
}

/// How far a task had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    Claiming,
    Begun,
    Finished,
}

impl Journal {
    /// Opens the journal in `folder`, and gives the results that are to be sent.
    ///
    /// # Errors
    /// When another process has it. Whatever else is wrong is warned of, and the
    /// satellite goes without.
    pub(super) fn open(folder: &Path, health: Health) -> Result<(Self, Vec<Report>)> {
        let place = folder.display();
        let (file, bytes) = match JournalFile::open(folder) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return Err(Error::new(format_args!(
                    "another process of this satellite is at work: it has locked {place}"
                )));
            }
            Err(e) => {
                let lack = format!("no journal in {place}: {e}; a kill may lose results");
                health.warning(health::JOURNAL, lack);
                health.metrics().add(&figures::JOURNAL_LACKS, &[], 1);
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
        // Asked for again, it is in there already.
        if self.reached(task_id).is_none() {
            self.note(Reached::Claiming, &Record::Claiming(task_id.into()));
        }
    }

    pub(super) fn begun(&mut self, task_id: &str) {
        self.note(Reached::Begun, &Record::Begun(task_id.into()));
    }

    pub(super) fn finished(&mut self, report: &Report) {
        self.note(Reached::Finished, &Record::finished(report));
    }

    /// The platform has taken the report, or the task is none of ours.
    pub(super) fn over(&mut self, task_id: &str) {
        if !self.forget(task_id) {
            return;
        }
        let line = Record::Over(task_id.into()).line();
        let written = line.map_err(io::Error::from).and_then(|l| self.append(&l));
        self.told(written);
    }

    pub(super) fn reached(&self, task_id: &str) -> Option<Reached> {
        let entry = self.entries.iter().find(|entry| entry.task == task_id);
        entry.map(|entry| entry.reached)
    }

    /// The tasks that an earlier process claimed and did not finish.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let unfinished = |entry: &&Entry| entry.reached != Reached::Finished;
        let entries = self.entries.iter().filter(unfinished);
        entries.map(|entry| entry.task.clone()).collect()
    }

    /// Takes in what was found: the results that have not arrived.
    fn read(&mut self, bytes: &[u8]) -> Vec<Report> {
        let mut reports: Vec<Report> = Vec::new();
        let mut damaged = 0;
        // A last line without its end is a part of one.
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let record = line.strip_suffix(b"\n").and_then(Record::parse);
            let Some(record) = record else {
                damaged += 1;
                continue;
            };
            // The last line of a task counts: one between that cannot be read may
            // have said that an earlier run was over.
            reports.retain(|report| report.task_id != record.task());
            let reached = match &record {
                Record::Claiming(_) => Reached::Claiming,
                Record::Begun(_) => Reached::Begun,
                Record::Finished(_) => Reached::Finished,
                Record::Over(task) => {
                    self.forget(task);
                    continue;
                }
            };
            reports.extend(record.report());
            self.keep(record.task(), reached, line.to_vec());
        }
        if damaged > 0 {
            self.set_aside(bytes, damaged);
        }
        if !reports.is_empty() {
            log::warn!("{} results of an earlier process wait", reports.len());
        }
        reports
    }

    fn set_aside(&mut self, bytes: &[u8], damaged: usize) {
        let Some(file) = &self.file else { return };
        let place = file.folder().display();
        match file.set_aside(bytes) {
            Ok(kept) => log::error!(
                "{damaged} lines of the journal in {place} cannot be read, the rest of it is of use; \
                 as found it is kept in {}",
                kept.display()
            ),
            Err(e) => {
                log::error!("{damaged} lines of the journal in {place} cannot be read ({e})")
            }
        }
        let written = self.rewrite();
        self.told(written);
    }

    fn note(&mut self, reached: Reached, record: &Record<'_>) {
        if self.file.is_none() {
            return;
        }
        let task = record.task();
        let written = record.line().map_err(io::Error::from).and_then(|line| {
            if self.useful() + line.len() as u64 > LIMIT {
                log::warn!("no room in the journal for task {task}: a kill may lose its result");
                return Ok(());
            }
            step("journal");
            let written = self.append(&line);
            self.keep(task, reached, line);
            written?;
            step("journal written");
            self.file.as_ref().map_or(Ok(()), JournalFile::sync)
        });
        self.told(written);
        step("journal on the disk");
    }

    fn keep(&mut self, task: &str, reached: Reached, line: Vec<u8>) {
        self.forget(task);
        let task = task.to_owned();
        self.entries.push(Entry {
            task,
            reached,
            line,
        });
    }

    /// Whether there was anything to forget.
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
        if self.is_broken || file.len() > COMFORTABLE.max(2 * useful) {
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

    fn told(&mut self, written: io::Result<()>) {
        let was_broken = std::mem::replace(&mut self.is_broken, written.is_err());
        let (Some(file), Some(health)) = (&self.file, &self.health) else {
            return;
        };
        let place = file.folder().display();
        match written {
            Err(e) => {
                let lack = format!("the journal in {place}: {e}; a kill may lose results");
                health.warning(health::JOURNAL, lack);
                health.metrics().add(&figures::JOURNAL_LACKS, &[], 1);
            }
            Ok(()) if was_broken => health.clear(health::JOURNAL),
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
