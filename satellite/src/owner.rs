//! What this satellite marks its containers with: the same for as long as its state
//! folder lives, whatever becomes of its token.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

const FILE: &str = "owner";

/// The mark in the state folder; the first process writes it there. Without a
/// folder it follows the token.
pub fn mark(token: &str, state_dir: Option<&Path>) -> String {
    let of_token = fingerprint(token);
    let Some(folder) = state_dir else {
        return of_token;
    };
    kept(folder, &of_token).unwrap_or_else(|error| {
        let place = folder.join(FILE);
        log::warn!("{}: {error}; the mark follows the token", place.display());
        of_token
    })
}

fn kept(folder: &Path, first: &str) -> io::Result<String> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(mark) if is_mark(mark.trim()) => Ok(mark.trim().to_owned()),
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidData, "not a mark")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_private(folder)?;
            let new = folder.join("owner.new");
            fs::write(&new, first)?;
            fs::rename(&new, &path)?;
            Ok(first.to_owned())
        }
        Err(error) => Err(error),
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn is_mark(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// FNV-1a, 64 bits, of a secret that cannot be guessed.
fn fingerprint(token: &str) -> String {
    let hash = token.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_outlives_the_token_where_there_is_a_folder() {
        let folder = satellite_sdk::extras::temp_directory().unwrap();
        let state = folder.path().join("state");
        let first = mark("one", Some(&state));
        assert_eq!(first, mark("one", None));
        assert_eq!(first, mark("two", Some(&state)));
        assert_ne!(first, mark("two", None));
        fs::write(state.join(FILE), "something else").unwrap();
        assert_eq!(mark("two", Some(&state)), mark("two", None));
    }
}
