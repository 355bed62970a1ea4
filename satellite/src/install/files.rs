//! The files of an installation: each is replaced atomically, so that none is ever partly written,
//! and is on the disk before the next one changes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::Result;
use super::options::{Failure, Options};

/// The system below a root folder.
pub struct Files {
    root: PathBuf,
    dry_run: bool,
    changed: bool,
    is_quiet: bool,
    is_root_user: bool,
}

impl Files {
    /// # Errors
    /// The root folder does not exist, or the user may not change this system.
    pub fn new(options: &Options) -> Result<Self> {
        let root = options.root.clone();
        let is_root_user = rustix::process::geteuid().is_root();
        if !root.as_os_str().is_empty() && !root.is_dir() {
            return Err(Failure::usage(format_args!(
                "--root {}: not a folder",
                root.display()
            )));
        }
        let files = Files {
            root,
            dry_run: options.dry_run,
            changed: false,
            is_quiet: false,
            is_root_user,
        };
        if files.is_own_system() && !is_root_user && !options.dry_run {
            return Err(Failure::not_permitted("must be run as root"));
        }
        Ok(files)
    }

    /// Does not print what it does.
    pub fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether a file was written or removed.
    pub fn have_changed(&self) -> bool {
        self.changed
    }

    /// Whether it is this host, with systemd running.
    pub fn is_running_system(&self) -> bool {
        self.is_own_system() && Path::new("/run/systemd/system").is_dir()
    }

    fn is_own_system(&self) -> bool {
        self.root.as_os_str().is_empty() || self.root == Path::new("/")
    }

    /// The place of an absolute path of the system.
    pub fn place(&self, path: &str) -> PathBuf {
        match self.is_own_system() {
            true => PathBuf::from(path),
            false => self.root.join(path.trim_start_matches('/')),
        }
    }

    pub fn exists(&self, path: &str) -> bool {
        self.place(path).symlink_metadata().is_ok()
    }

    pub fn contains(&self, path: &str, text: &str) -> bool {
        fs::read_to_string(self.place(path)).is_ok_and(|contents| contents.contains(text))
    }

    /// Writes the file, unless it is the same already.
    pub fn put(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
        let place = self.place(path);
        if self.is_same(&place, mode, contents) {
            self.print("unchanged:", path);
            return Ok(());
        }
        if !self.dry_run {
            self.replace(&place, mode, contents)
                .map_err(|e| Failure::io(place.display(), "write", &e))?;
        }
        self.changed = true;
        self.print("installed", path);
        Ok(())
    }

    fn is_same(&self, place: &Path, mode: u32, contents: &[u8]) -> bool {
        let Ok(found) = place.symlink_metadata() else {
            return false;
        };
        found.is_file()
            && found.mode() & 0o7777 == mode
            && (!self.is_root_user || (found.uid(), found.gid()) == (0, 0))
            && found.len() == contents.len() as u64
            && fs::read(place).is_ok_and(|bytes| bytes == contents)
    }

    fn replace(&self, place: &Path, mode: u32, contents: &[u8]) -> std::io::Result<()> {
        let folder = place.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let mut new = place.as_os_str().to_owned();
        new.push(".tmp");
        let new = PathBuf::from(new);
        remove_file(&new)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(contents)?;
        if self.is_root_user {
            chown(&new, Some(0), Some(0))?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, place)?;
        sync(folder)
    }

    /// Renames a file over another one.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.place(from), self.place(to));
        fs::rename(&from, &to)
            .and_then(|()| sync(to.parent().unwrap_or(Path::new("/"))))
            .map_err(|e| Failure::io(to.display(), "replace", &e))
    }

    /// Creates a symbolic link at `link` to `target`.
    pub fn link(&mut self, target: &str, link: &str) -> Result<()> {
        let place = self.place(link);
        if fs::read_link(&place).is_ok_and(|found| found == Path::new(target)) {
            self.print("unchanged:", link);
            return Ok(());
        }
        if !self.dry_run {
            let folder = place.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder)
                .and_then(|()| remove_file(&place))
                .and_then(|()| symlink(target, &place))
                .and_then(|()| sync(folder))
                .map_err(|e| Failure::io(place.display(), "create", &e))?;
        }
        self.changed = true;
        self.print("installed", link);
        Ok(())
    }

    /// Removes the file, if it exists.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        if !self.exists(path) {
            return Ok(());
        }
        let place = self.place(path);
        if !self.dry_run {
            remove_file(&place).map_err(|e| Failure::io(place.display(), "remove", &e))?;
        }
        self.changed = true;
        self.print("removed", path);
        Ok(())
    }

    /// Removes the folder with all that is in it, or a link to one.
    pub fn remove_folder(&mut self, path: &str) -> Result<()> {
        let place = self.place(path);
        let Ok(found) = place.symlink_metadata() else {
            return Ok(());
        };
        if !self.dry_run {
            let removed = match found.is_dir() {
                true => fs::remove_dir_all(&place),
                false => remove_file(&place),
            };
            removed.map_err(|e| Failure::io(place.display(), "remove", &e))?;
        }
        self.changed = true;
        self.print("removed", path);
        Ok(())
    }

    fn print(&self, action: &str, path: &str) {
        if !self.is_quiet {
            let planned = if self.dry_run { "would be " } else { "" };
            println!("{planned}{action} {path}");
        }
    }
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes renames and removals in the folder survive a power failure.
fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
