//! Writes the files of a project, all or none.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::Failure;

/// A file to write.
#[derive(Debug)]
pub struct File {
    /// Relative to the target folder.
    pub path: PathBuf,
    pub text: String,
    pub is_executable: bool,
}

impl File {
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        File {
            path: path.into(),
            text: text.into(),
            is_executable: false,
        }
    }

    #[must_use]
    pub fn executable(mut self) -> Self {
        self.is_executable = true;
        self
    }
}

/// How to write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mode {
    /// Overwrites files with another content.
    pub force: bool,
    /// Says what would be written, and writes nothing.
    pub dry_run: bool,
}

/// Writes the files into `folder`, and prints each with `verb`, such as `Created`. Files
/// with this very content are left alone. If one has another content and `force` is not
/// set, nothing is written.
pub fn write(folder: &Path, files: &[File], mode: Mode, verb: &str) -> Result<(), Failure> {
    let mut plans = Vec::new();
    let mut in_the_way = Vec::new();
    for file in files {
        let path = match folder == Path::new(".") {
            true => file.path.clone(),
            false => folder.join(&file.path),
        };
        let there = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(failed("read", &path, &e)),
        };
        let is_same = there.as_deref() == Some(file.text.as_bytes());
        if there.is_some() && !is_same && !mode.force {
            in_the_way.push(path.display().to_string());
        }
        plans.push((path, file, is_same));
    }
    if !in_the_way.is_empty() {
        let (verb, files) = match in_the_way.len() {
            1 => ("exists", "it"),
            _ => ("exist", "them"),
        };
        return Err(Failure::new(format!(
            "{} already {verb} with another content; nothing was written. Use --force to \
             overwrite {files}",
            in_the_way.join(", ")
        )));
    }
    for (path, file, is_same) in plans {
        let shown = path.display();
        if is_same {
            say(&format!("Unchanged: {shown}"));
        } else if mode.dry_run {
            say(&format!("Would write: {shown} ({} bytes)", file.text.len()));
        } else {
            write_one(&path, file)?;
            say(&format!("{verb}: {shown}"));
        }
    }
    Ok(())
}

/// Writes to stdout; a closed pipe is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

/// A line on stdout; nobody may be reading.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// By rename: a reader never sees half a file, and a full disk leaves the old one.
fn write_one(path: &Path, file: &File) -> Result<(), Failure> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| failed("create", folder, &e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new-{}", std::process::id()));
    let written = fs::write(&new, &file.text)
        .and_then(|()| set_executable(&new, file.is_executable))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&new);
        failed("write", path, &e)
    })
}

#[cfg(unix)]
fn set_executable(path: &Path, is_executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    match is_executable {
        true => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
        false => Ok(()),
    }
}

#[cfg(not(unix))]
fn set_executable(_: &Path, _: bool) -> io::Result<()> {
    Ok(())
}

fn failed(what: &str, path: &Path, e: &io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {e}", path.display()))
}
