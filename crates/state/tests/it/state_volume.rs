//! A small volume that a test can fill up.

use std::path::PathBuf;
use std::process::Command;

pub struct SmallVolume {
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A tmpfs of this size; prints a message and returns `None` if it cannot be mounted.
pub fn small_volume(size: &str) -> Option<SmallVolume> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
        .arg(&path)
        .output();
    match mounted {
        Ok(output) if output.status.success() => Some(SmallVolume {
            path,
            _folder: folder,
        }),
        result => {
            eprintln!("skipped: no tmpfs can be mounted here: {result:?}");
            None
        }
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
