//! The id with which this satellite labels its containers. It stays the same for the life
//! of the state folder, also when the token is rotated.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The name is part of the state folder's format: earlier versions wrote it too.
const FILE: &str = "owner";

/// Reads the id from the state folder; the first process writes it there. Without a
/// state folder the id is derived from the token.
pub fn load(token: &str, state_dir: Option<&Path>) -> String {
    let from_token = fingerprint(token);
    let Some(folder) = state_dir else {
        return from_token;
    };
    read_or_create(folder, &from_token).unwrap_or_else(|error| {
        let path = folder.join(FILE);
        log::warn!(
            "{}: {error}; using an instance id derived from the token",
            path.display()
        );
        from_token
    })
}

fn read_or_create(folder: &Path, initial: &str) -> io::Result<String> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(id) if is_valid(id.trim()) => Ok(id.trim().to_owned()),
        Ok(_) => Err(io::Error::new(
            ErrorKind::InvalidData,
            "not a valid instance id",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_private(folder)?;
            let new = folder.join("owner.new");
            fs::write(&new, initial)?;
            fs::rename(&new, &path)?;
            Ok(initial.to_owned())
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

fn is_valid(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// FNV-1a, 64 bits. Not a cryptographic hash: the token cannot be guessed.
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
    fn the_id_survives_a_new_token_when_there_is_a_state_folder() {
        let folder = satellite_sdk::extras::temp_directory().unwrap();
        let state = folder.path().join("state");
        let first = load("one", Some(&state));
        assert_eq!(first, load("one", None));
        assert_eq!(first, load("two", Some(&state)));
        assert_ne!(first, load("two", None));
        fs::write(state.join(FILE), "something else").unwrap();
        assert_eq!(load("two", Some(&state)), load("two", None));
    }
}
