//! Temporary folders that are removed when dropped.

use std::path::{Path, PathBuf};

use satellite_core::Result;

/// A private temporary folder, removed with its contents when dropped.
#[derive(Debug)]
pub struct TempDirectory(tempfile::TempDir);

/// Creates a folder that only this user can access, in the system's temporary
/// folder (`TMPDIR`).
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
/// If the folder cannot be created.
pub fn temp_directory() -> Result<TempDirectory> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("satellite-");
    #[cfg(unix)]
    folder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    Ok(TempDirectory(folder.tempdir()?))
}

impl TempDirectory {
    /// The path of the folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps the folder on disk and returns its path.
    pub fn keep(self) -> PathBuf {
        self.0.keep()
    }

    /// Removes the folder now and returns the result.
    ///
    /// # Errors
    /// If something in it cannot be removed.
    pub fn close(self) -> Result<()> {
        Ok(self.0.close()?)
    }
}
