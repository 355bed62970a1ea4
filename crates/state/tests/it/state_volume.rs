//! A small volume of its own, to fill up.

use std::path::PathBuf;
use std::process::Command;

pub struct SmallVolume {
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A tmpfs of this size; `None`, with a word of it, where none may be mounted.
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
        told => {
            eprintln!("skipped: no tmpfs can be mounted here: {told:?}");
            None
        }
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
