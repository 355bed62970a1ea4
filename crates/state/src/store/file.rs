//! States in a folder: on this host, or on a volume that moves between hosts.

use std::fs;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::folder_lock::{self, CANDIDATE, CLAIM, CandidateLog, LOCK};
use super::generations::Generations;
use super::lock::io_error;
use super::{Claim, OpenRequest, Opened, Original, Store, Stored, check_owner, lock};
use crate::document;
use crate::error::{corrupt, fenced, is_corrupt};
use crate::original_locations;
use crate::snapshot::{Content, Snapshot, Stamp};
use satellite_core::private::FileLock;
use satellite_core::{Error, Result};

const DEFAULT_GENERATIONS: usize = 3;

/// States in a folder, one folder in it for each processor:
///
/// ```text
/// orders/00000000000000000042.state       the newest, and the two before it
/// orders/lock                             locked by the process that writes
/// orders/claim                            names the process that asks for the state
/// orders/candidate                        names the process that prepares to take over
/// orders/….state.corrupt-20261121T050000Z moved aside, not used
/// ```
///
/// A process that finds the state held asks for it, and gets it as soon as the holder
/// has saved and released it. If there is no state of this kit yet, a
/// `dory-state-<id>.json` of dory-sdk, the original Python implementation, is imported.
///
/// ```
/// use satellite_state::{App, FileStore};
///
/// let app = App::new().store(FileStore::new("/var/lib/orders").keep(10));
/// # let _ = app;
/// ```
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    keep: usize,
    held: Option<Held>,
    /// Locked from the first peek until this process holds the state.
    candidate: Option<FileLock>,
    candidate_log: CandidateLog,
}

#[derive(Debug)]
struct Held {
    generations: Generations,
    /// Locked as long as it is open; `None` once released.
    lock: Option<FileLock>,
    stamp: Stamp,
}

impl FileStore {
    /// Stores states in `folder`, which is created when the store is opened.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        FileStore {
            folder: folder.into(),
            keep: DEFAULT_GENERATIONS,
            held: None,
            candidate: None,
            candidate_log: CandidateLog::default(),
        }
    }

    /// How many generations are kept: three by default, at least one.
    #[must_use]
    pub fn keep(mut self, generations: usize) -> Self {
        self.keep = generations;
        self
    }

    fn held(&mut self) -> Result<&mut Held> {
        self.held
            .as_mut()
            .ok_or_else(|| Error::new("the store was not opened"))
    }

    fn read(&self, generations: &Generations, processor: &str) -> Result<Opened> {
        let mut opened = Opened::default();
        let mut damaged = Vec::new();
        for number in generations.list()? {
            let read = generations.read(number).map_err(Error::from);
            match read.and_then(|document| Snapshot::from_document(&document)) {
                Ok(snapshot) => {
                    check_owner(&snapshot.stamp, processor)?;
                    opened.snapshot = Some(snapshot);
                    break;
                }
                Err(e) if is_corrupt(&e) => damaged.push((number, e)),
                Err(e) => return Err(e),
            }
        }
        for (number, error) in damaged {
            // If there is no older generation, the damaged one stays in place: a store does
            // not decide to start with the default state.
            let became = match &opened.snapshot {
                Some(older) => format!(
                    "moved to {}, generation {} is used",
                    generations.move_aside(number)?.display(),
                    older.stamp.generation
                ),
                None => "no older generation is available".to_owned(),
            };
            opened.failures.push(corrupt(format_args!(
                "generation {number} in {}: {error}; {became}",
                generations.folder().display()
            )));
        }
        Ok(opened)
    }
}

impl Store for FileStore {
    fn peek(&mut self, request: &OpenRequest<'_>) -> Result<Option<Opened>> {
        let folder = self.folder.join(request.processor());
        let generations =
            Generations::open(folder.clone(), self.keep).map_err(|e| io_error(&folder, e))?;
        let lock = folder.join(LOCK);
        if lock::try_lock(&lock)
            .map_err(|e| io_error(&lock, e))?
            .is_some()
        {
            return Ok(None);
        }
        // Only the holder moves damaged generations aside; it may remove old ones now.
        let newest = folder_lock::newest(&generations)?;
        if let Some(snapshot) = &newest {
            check_owner(&snapshot.stamp, request.processor())?;
        }
        if folder_lock::is_older(request, newest.as_ref()) {
            return Ok(None);
        }
        if self.candidate.is_none() {
            self.candidate = folder_lock::lock_as(&folder.join(CANDIDATE), &request.candidate())?;
        }
        Ok(Some(Opened {
            snapshot: newest,
            failures: Vec::new(),
        }))
    }

    fn give_up(&mut self, request: &OpenRequest<'_>, why: &str) -> Result<()> {
        if let Some(mut file) = self.candidate.take() {
            let text = format!("{}\n{why}", request.candidate());
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn history(&mut self, _: &str, processor: &str) -> Result<Vec<Stored>> {
        let folder = self.folder.join(processor);
        if !folder.try_exists().map_err(|e| io_error(&folder, e))? {
            return Ok(Vec::new());
        }
        let generations =
            Generations::open(folder.clone(), self.keep).map_err(|e| io_error(&folder, e))?;
        let mut found = Vec::new();
        for number in generations.list().map_err(|e| io_error(&folder, e))? {
            match generations.read(number) {
                Ok(document) => {
                    let place = generations.path(number).display().to_string();
                    found.push(Stored::read(place, &document));
                }
                // Its holder has removed it in the meantime.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(io_error(&folder, e)),
            }
        }
        Ok(found)
    }

    fn open(&mut self, request: &OpenRequest<'_>) -> Result<Opened> {
        request.lease_validity.unlimited(); // the system releases the lock when the process ends
        let folder = self.folder.join(request.processor());
        let generations =
            Generations::open(folder.clone(), self.keep).map_err(|e| io_error(&folder, e))?;
        let lock = folder_lock::take_lock(&folder, &generations, request, &mut self.candidate)?;
        if self.candidate.take().is_some() {
            let _ = fs::remove_file(folder.join(CANDIDATE));
        }
        generations
            .remove_unfinished()
            .map_err(|e| io_error(&folder, e))?;
        let opened = self.read(&generations, request.processor())?;
        let before = opened.snapshot.as_ref().map(|snapshot| &snapshot.stamp);
        let before = before.cloned().unwrap_or_default();
        let (holder, epoch) = (request.holder(), before.epoch + 1);
        self.held = Some(Held {
            lock: Some(lock),
            stamp: Stamp {
                // Greater than the damaged ones as well: a file name is never reused.
                generation: generations.list()?.first().copied().unwrap_or(0),
                ..before.succeeded_by(request.processor(), holder, request.revision, epoch)
            },
            generations,
        });
        Ok(opened)
    }

    fn save(&mut self, content: &Content) -> Result<u64> {
        let held = self.held()?;
        held.save(held.stamp.next(), content)
    }

    fn release(&mut self, last: &Content) -> Result<u64> {
        let held = self.held()?;
        let generation = held.save(held.stamp.next().released(), last)?;
        held.lock = None;
        Ok(generation)
    }

    fn release_lease(&mut self) -> Result<()> {
        if let Some(held) = &mut self.held {
            held.lock = None;
        }
        Ok(())
    }

    fn renew(&mut self) -> Result<Option<Claim>> {
        let held = self.held()?;
        let folder = held.generations.folder().to_owned();
        held.check_fence(&folder)?;
        self.candidate_log.observe(&folder)?;
        let path = folder.join(CLAIM);
        if !path.exists()
            || lock::try_lock(&path)
                .map_err(|e| io_error(&path, e))?
                .is_some()
        {
            return Ok(None); // the process that asked has ended
        }
        let by = fs::read_to_string(&path).unwrap_or_default();
        Ok(Some(Claim { by }))
    }

    fn move_aside(&mut self) -> Result<String> {
        let generations = &self.held()?.generations;
        let mut names = Vec::new();
        for number in generations.list()? {
            names.push(generations.move_aside(number)?.display().to_string());
        }
        Ok(names.join(", "))
    }

    fn read_original(&mut self, _: &str, id: &str) -> Result<Option<Original>> {
        let path = self.folder.join(original_locations::file_name(id));
        let found = original_locations::read_file(&path);
        let document = found.map_err(|e| Error::new(format_args!("{}: {e}", path.display())))?;
        Ok(document.map(|document| Original {
            place: path.display().to_string(),
            document,
        }))
    }

    fn is_free(&mut self) -> Result<bool> {
        let folder = self.held()?.generations.folder();
        Ok(lock::try_lock(&folder.join(LOCK))?.is_some())
    }
}

impl Held {
    fn save(&mut self, stamp: Stamp, content: &Content) -> Result<u64> {
        let folder = self.generations.folder().to_owned();
        self.check_fence(&folder)?;
        let number = stamp.generation;
        self.generations
            .write(number, &document::document(&stamp, content))
            .map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => self.overtaken(number),
                _ => io_error(&folder, e),
            })?;
        self.stamp.generation = number;
        Ok(number)
    }

    /// Checks that the lock file is still in place, and that no other process has written
    /// since, which can happen on a volume whose locks do not work across hosts.
    fn check_fence(&self, folder: &Path) -> Result<()> {
        let lock = (self.lock.as_ref()).ok_or_else(|| fenced("the state was released"))?;
        if !lock::is_file_at(lock, &folder.join(LOCK)).unwrap_or(false) {
            return Err(fenced(format_args!(
                "the state in {} was removed by another process; it is not created again",
                folder.display()
            )));
        }
        match self.generations.list()?.first() {
            Some(newest) if *newest > self.stamp.generation => Err(self.overtaken(*newest)),
            _ => Ok(()),
        }
    }

    fn overtaken(&self, newest: u64) -> Error {
        fenced(format_args!(
            "another process wrote generation {newest} in {}, this process wrote {}",
            self.generations.folder().display(),
            self.stamp.generation
        ))
    }
}
