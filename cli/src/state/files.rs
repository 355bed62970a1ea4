//! Where a state comes from and goes to: files, stdin and stdout.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use satellite_sdk::{Error, Result};
use serde_json::value::RawValue;

/// The JSON in a file; `-` is stdin.
pub fn read_json(file: &Path) -> Result<Vec<u8>> {
    let shown = file.display();
    let mut bytes = Vec::new();
    let read = match file == Path::new("-") {
        true => {
            if io::stdin().is_terminal() {
                eprintln!("reading the state from the terminal, until Ctrl-D");
            }
            io::stdin().lock().read_to_end(&mut bytes).map(drop)
        }
        false => std::fs::read(file).map(|read| bytes = read),
    };
    read.map_err(|e| Error::new(format_args!("{shown}: {e}")))?;
    serde_json::from_slice::<&RawValue>(&bytes)
        .map_err(|e| Error::new(format_args!("{shown} is not JSON: {e}")))?;
    Ok(bytes.trim_ascii().to_vec())
}

/// Replaces the file entirely or not at all; only this user can read it.
pub fn write_file(path: &Path, text: &str) -> Result<()> {
    use std::fs::OpenOptions;

    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&unfinished).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    });
    written.map_err(|e| {
        let _ = std::fs::remove_file(&unfinished);
        Error::new(format_args!("{}: {e}", path.display()))
    })
}

/// To stdout, with a line end.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match written {
        // The reader has seen enough, as with `| head`.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Error::new(format_args!("stdout: {e}"))),
    }
}
