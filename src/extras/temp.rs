//! Folders that clean up after themselves.

use std::path::{Path, PathBuf};

use satellite_core::Result;

/// A folder of one's own, removed with all that is in it when dropped.
#[derive(Debug)]
pub struct TempDirectory(tempfile::TempDir);

/// Makes a folder that only this user may enter, in the system's place for
/// such (`TMPDIR`).
///
/// ```
/// let folder = satellite_sdk::extras::temp_directory()?;
/// std::fs::write(folder.path().join("model.bin"), b"weights")?;
/// let path = folder.path().to_owned();
/// drop(folder);
/// assert!(!path.exists());
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
///
/// # Errors
/// Where the system does not let it.
pub fn temp_directory() -> Result<TempDirectory> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("satellite-");
    #[cfg(unix)]
    folder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    Ok(TempDirectory(folder.tempdir()?))
}

impl TempDirectory {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps the folder; it is the caller's from now on.
    pub fn keep(self) -> PathBuf {
        self.0.keep()
    }

    /// Removes it now, and says whether that went well.
    ///
    /// # Errors
    /// Where something in it cannot be removed.
    pub fn close(self) -> Result<()> {
        Ok(self.0.close()?)
    }
}
