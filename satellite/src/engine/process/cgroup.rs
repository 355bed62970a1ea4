//! Limits of memory and processors, by cgroups (version 2) that are delegated to this
//! satellite.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The group of the satellite itself: with its controllers enabled for subgroups, a group
/// may contain no process.
const OWN: &str = "satellite";

const MOUNT: &str = "/sys/fs/cgroup";

/// A period of `cpu.max`, in microseconds.
const PERIOD: f64 = 100_000.0;

/// A folder in which this satellite may create groups.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Prepares the satellite's own group, if systemd has delegated it: the satellite moves
    /// into a subgroup.
    ///
    /// # Errors
    /// Why there can be no limits.
    pub fn open() -> Result<Self, String> {
        if !Path::new(MOUNT).join("cgroup.controllers").exists() {
            return Err("this host does not use cgroup version 2".into());
        }
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = Path::new(MOUNT).join(own.unwrap_or_default());
        // A satellite that was started again there is already in the subgroup.
        let folder = match own.ends_with(OWN) {
            true => own.parent().map(Path::to_owned).unwrap_or_default(),
            false => own,
        };
        // systemd's mark. Without it, groups here would interfere with systemd.
        let mut value = [0; 1];
        match rustix::fs::getxattr(&folder, "user.delegate", &mut value) {
            Ok(1) if value == *b"1" => {}
            _ => return Err("no cgroup is delegated to it (systemd: Delegate=yes)".into()),
        }
        let group = Cgroup { folder };
        group.enable().map_err(|error| {
            format!(
                "the cgroup {} cannot be used: {error}",
                group.folder.display()
            )
        })?;
        Ok(group)
    }

    fn enable(&self) -> io::Result<()> {
        let own = self.folder.join(OWN);
        make(&own)?;
        fs::write(own.join("cgroup.procs"), "0")?;
        fs::write(self.folder.join("cgroup.subtree_control"), "+memory +cpu")
    }

    /// Creates a group with these limits, without a process.
    pub fn create(
        &self,
        name: &str,
        memory: Option<u64>,
        processors: Option<f64>,
    ) -> io::Result<PathBuf> {
        let group = self.folder.join(name);
        make(&group)?;
        if let Some(bytes) = memory {
            fs::write(group.join("memory.max"), bytes.to_string())?;
            // A limit that swapping would bypass. A kernel without swap has no such file.
            let _ = fs::write(group.join("memory.swap.max"), "0");
            fs::write(group.join("memory.oom.group"), "1")?;
        }
        if let Some(processors) = processors {
            let quota = (processors * PERIOD).round().max(1000.0);
            fs::write(group.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        }
        Ok(group)
    }
}

/// Moves a process into a group.
pub(super) fn add(group: &Path, pid: u32) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Kills all processes of a group and removes it.
pub(super) fn remove(group: &Path) -> io::Result<()> {
    let _ = fs::write(group.join("cgroup.kill"), "1");
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // Its processes have not ended yet.
            Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
    }
}

/// The bytes of a limit such as `512m`, as container engines read it.
pub(super) fn bytes(limit: &str) -> Option<u64> {
    let digits = limit.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match limit[digits.len()..].bytes().next() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        _ => 0,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_container_engines_read_them() {
        for (limit, expected) in [
            ("64", Some(64)),
            ("64b", Some(64)),
            ("64k", Some(64 << 10)),
            ("64MB", Some(64 << 20)),
            ("2g", Some(2 << 30)),
            ("999999999999999g", None),
            ("g", None),
        ] {
            assert_eq!(bytes(limit), expected, "{limit}");
        }
    }
}
