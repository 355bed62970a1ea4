//! The lock of a folder: its holder, the process that claims it, and the candidate that
//! prepares to take over.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::generations::Generations;
use super::lock::io_error;
use super::{OpenRequest, lock};
use crate::snapshot::{Snapshot, pod_of};
use satellite_core::Result;
use satellite_core::private::FileLock;

pub(super) const LOCK: &str = "lock";
pub(super) const CLAIM: &str = "claim";
pub(super) const CANDIDATE: &str = "candidate";
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Waits for the lock, and asks its holder to release it. The claim file is locked as
/// well, so that no holder hands over to a process that has ended. A process that is
/// older than the last writer does not ask, and waits for those that do.
pub(super) fn take_lock(
    folder: &Path,
    generations: &Generations,
    request: &OpenRequest<'_>,
    candidate: &mut Option<FileLock>,
) -> Result<FileLock> {
    let (path, claim) = (folder.join(LOCK), folder.join(CLAIM));
    let mut asking = None;
    let mut rank = Rank::default();
    loop {
        let mut is_older = rank.is_older(generations, request)?;
        if let Some(lock) = lock_as(&path, request.holder())? {
            is_older = rank.is_older(generations, request)?; // there is no writer any more
            if !is_older || !is_wanted(folder)? {
                if asking.is_some() {
                    let _ = fs::remove_file(&claim); // the next claim uses a new file
                }
                return Ok(lock);
            }
        }
        let holder = fs::read_to_string(&path).unwrap_or_default();
        let reason = match is_older {
            true => {
                (asking, *candidate) = (None, None);
                format!("waiting for {holder} to end, which is newer and is not asked")
            }
            false => {
                request.check_prepared()?;
                if asking.is_none() {
                    asking = lock_as(&claim, request.holder())?;
                    log::info!("the state is held by {holder}; requesting a handover");
                }
                format!("waiting for {holder} to hand its state over")
            }
        };
        request.wait(LOCK_POLL_INTERVAL, &reason)?;
    }
}

/// Whether this process is older than the last writer, determined once for each
/// generation.
#[derive(Default)]
struct Rank(Option<(u64, bool)>);

impl Rank {
    fn is_older(&mut self, generations: &Generations, request: &OpenRequest<'_>) -> Result<bool> {
        let number = generations.list()?.first().copied().unwrap_or(0);
        match self.0 {
            Some((seen, is_older)) if seen == number => Ok(is_older),
            _ => {
                let is_older = is_older(request, newest(generations)?.as_ref());
                self.0 = Some((number, is_older));
                Ok(is_older)
            }
        }
    }
}

/// Whether another process asks for the state, or prepares to take over.
fn is_wanted(folder: &Path) -> Result<bool> {
    for name in [CLAIM, CANDIDATE] {
        let path = folder.join(name);
        if path.exists()
            && lock::try_lock(&path)
                .map_err(|e| io_error(&path, e))?
                .is_none()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn is_older(request: &OpenRequest<'_>, newest: Option<&Snapshot>) -> bool {
    let pod = pod_of(request.holder());
    newest.is_some_and(|snapshot| snapshot.stamp.is_newer_than(pod, request.revision))
}

/// The newest state that can be read, regardless of its holder.
pub(super) fn newest(generations: &Generations) -> Result<Option<Snapshot>> {
    for number in generations.list()? {
        match generations.read(number) {
            Ok(document) => match Snapshot::from_document(&document) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(_) => continue,
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(None)
}

/// Locks the file, and writes the name of the holder to it.
pub(super) fn lock_as(path: &Path, holder: &str) -> Result<Option<FileLock>> {
    let Some(mut file) = lock::try_lock(path).map_err(|e| io_error(path, e))? else {
        return Ok(None);
    };
    // Only the lock matters: the name may be missing when the disk is full.
    let _ = file
        .set_len(0)
        .and_then(|()| file.write_all(holder.as_bytes()));
    Ok(Some(file))
}

/// Logs what happens to a process that prepares to take over.
#[derive(Debug, Default)]
pub(super) struct CandidateLog(String);

impl CandidateLog {
    /// Logs which process prepares to take over, and whether it ended before it did.
    pub(super) fn observe(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join(CANDIDATE);
        if !path.exists() {
            self.0.clear(); // it has taken over, or there was none
            return Ok(());
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.is_empty() {
            return Ok(()); // created a moment ago: not locked yet, or its name is not written
        }
        let ended = lock::try_lock(&path).map_err(|e| io_error(&path, e))?;
        let (name, why) = text.split_once('\n').unwrap_or((&text, ""));
        match ended {
            None if self.0 != name => {
                log::info!("{name} is preparing to take over the state");
                name.clone_into(&mut self.0);
            }
            None => {}
            Some(_) => {
                let why = match why {
                    "" => "it ended before it was ready",
                    why => why,
                };
                log::warn!("{name} failed to take over: {why}; this process continues");
                let _ = fs::remove_file(&path);
                self.0.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_has_not_written_its_name_is_not_taken_for_one_that_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CANDIDATE);
        fs::File::create(&path).unwrap();
        let mut log = CandidateLog::default();
        log.observe(folder.path()).unwrap();
        assert!(path.exists(), "it still belongs to the candidate");

        let candidate = lock_as(&path, "revision 8 in pod b").unwrap();
        log.observe(folder.path()).unwrap();
        assert_eq!(log.0, "revision 8 in pod b");
        drop(candidate);
        log.observe(folder.path()).unwrap();
        assert!(!path.exists(), "it ended");
    }
}
