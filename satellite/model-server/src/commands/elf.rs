//! What an executable is made for, read from its ELF header.

/// A processor, with the names that container images use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    pub architecture: &'static str,
    pub variant: Option<&'static str>,
}

/// The platform of a static Linux executable.
///
/// # Errors
/// Says why the file cannot be the only one of an image.
pub fn platform(bytes: &[u8]) -> Result<Platform, String> {
    let truncated = || "is truncated".to_owned();
    if bytes.get(..4) != Some(b"\x7fELF") {
        return Err("is not a Linux executable".into());
    }
    let wide = match bytes.get(4) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err(truncated()),
    };
    let platform = |architecture, variant| Platform {
        architecture,
        variant,
    };
    let machine = number(bytes, 18, 2).ok_or_else(truncated)?;
    let platform = match machine {
        62 => platform("amd64", None),
        183 => platform("arm64", None),
        40 => platform("arm", Some("v7")),
        243 => platform("riscv64", None),
        other => return Err(format!("is for an unknown processor ({other})")),
    };
    let (table, size, count) = match wide {
        true => (number(bytes, 32, 8), number(bytes, 54, 2), number(bytes, 56, 2)),
        false => (number(bytes, 28, 4), number(bytes, 42, 2), number(bytes, 44, 2)),
    };
    let (table, size, count) = (
        table.ok_or_else(truncated)?,
        size.ok_or_else(truncated)?,
        count.ok_or_else(truncated)?,
    );
    for at in 0..count {
        let offset = usize::try_from(table + at * size).map_err(|_| truncated())?;
        // PT_INTERP names the dynamic linker.
        if number(bytes, offset, 4).ok_or_else(truncated)? == 3 {
            return Err("needs a dynamic linker; build it for a musl target".into());
        }
    }
    Ok(platform)
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(length)?)?;
    let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    Some(part.iter().rev().fold(0, add))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header(machine: u8, segment: u8) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..5].copy_from_slice(b"\x7fELF\x02");
        bytes[18] = machine;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = segment;
        bytes
    }

    #[test]
    fn a_static_executable_has_a_platform() {
        assert_eq!(platform(&header(62, 1)).unwrap().architecture, "amd64");
        assert_eq!(platform(&header(183, 1)).unwrap().architecture, "arm64");
        assert_eq!(platform(&header(40, 1)).unwrap().variant, Some("v7"));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(platform(&header(62, 3)).unwrap_err().contains("dynamic linker"));
        assert!(platform(&header(1, 1)).is_err());
        assert!(platform(b"#!/bin/sh").is_err());
        for length in 0..header(62, 1).len() {
            let _ = platform(&header(62, 1)[..length]);
        }
    }
}
