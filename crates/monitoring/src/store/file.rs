//! The file of the store: opening it, and damage.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::Database;

use super::{ALERTS, MARKS, OUTAGES, REPORTS, SAMPLES};

/// Memory for pages of the file.
const CACHE_BYTES: usize = 1024 * 1024;

/// Why a file cannot be opened.
pub(super) enum Fault {
    Io(io::Error),
    Damaged(String),
}

/// Opens the file, verifies the checksums of all its pages if asked to, and creates the
/// tables of a new file.
pub(super) fn open(path: &Path, verify: bool) -> Result<Database, Fault> {
    // redb panics at some kinds of damage.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let is_new = path.metadata().map_or(true, |file| file.len() == 0);
        let mut database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(redb::Error::from)?;
        if verify {
            database.check_integrity().map_err(redb::Error::from)?;
        }
        // Each commit waits for the disk: an existing file has its tables.
        if is_new {
            let transaction = database.begin_write()?;
            transaction.open_table(REPORTS)?;
            transaction.open_table(ALERTS)?;
            transaction.open_table(SAMPLES)?;
            transaction.open_table(OUTAGES)?;
            transaction.open_table(MARKS)?;
            transaction.commit()?;
        }
        Ok(database)
    }));
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(redb::Error::DatabaseAlreadyOpen)) => Err(Fault::Io(io::Error::new(
            io::ErrorKind::WouldBlock,
            "another process has the monitoring store open",
        ))),
        Ok(Err(redb::Error::Io(error))) if !is_damage(&error) => Err(Fault::Io(error)),
        Ok(Err(error)) => Err(Fault::Damaged(error.to_string())),
        Err(_) => Err(Fault::Damaged("it cannot be read".into())),
    }
}

/// A file that is too short, or that is none.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

/// Damage that is found later, or a bug of the database, must not end the caller's thread.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T, redb::Error>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(redb::Error::Io(error))) => Err(error),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::other("the monitoring store is damaged")),
    }
}

/// Renames the file; an earlier one that was set aside is replaced.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_extension("redb.damaged");
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Samples are the users' data.
#[cfg(unix)]
pub(super) fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
pub(super) fn restrict(_: &Path) -> io::Result<()> {
    Ok(())
}
