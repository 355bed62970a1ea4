//! What an executable is made for, read from its ELF header.

use object::elf::{
    EM_AARCH64, EM_ARM, EM_RISCV, EM_X86_64, FileHeader32, FileHeader64, PT_INTERP,
    SHT_ARM_ATTRIBUTES,
};
use object::read::elf::{AttributeReader, FileHeader, ProgramHeader, SectionHeader};
use object::{FileKind, LittleEndian};

// Tags of the section `.ARM.attributes`.
const CPU_RAW_NAME: u64 = 4;
const CPU_NAME: u64 = 5;
const CPU_ARCH: u64 = 6;
const COMPATIBILITY: u64 = 32;

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
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf32) => of_static::<FileHeader32<LittleEndian>>(bytes),
        Ok(FileKind::Elf64) => of_static::<FileHeader64<LittleEndian>>(bytes),
        _ => Err("is not a Linux executable".into()),
    }
}

fn of_static<H: FileHeader<Endian = LittleEndian>>(bytes: &[u8]) -> Result<Platform, String> {
    let unreadable = |error| format!("is not a Linux executable that can be read: {error}");
    let header = H::parse(bytes).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    let segments = header.program_headers(endian, bytes).map_err(unreadable)?;
    if segments.iter().any(|it| it.p_type(endian) == PT_INTERP) {
        return Err("needs a dynamic linker; build it for a musl target".into());
    }
    let (architecture, variant) = match header.e_machine(endian) {
        EM_X86_64 => ("amd64", None),
        EM_AARCH64 => ("arm64", None),
        EM_ARM => ("arm", Some(arm_variant(header, bytes).map_err(unreadable)?)),
        EM_RISCV => ("riscv64", None),
        other => return Err(format!("is for an unknown processor ({other})")),
    };
    Ok(Platform {
        architecture,
        variant,
    })
}

/// The oldest processor that can run it. The linker records that in a section whose tags and
/// values are those of "Addenda to, and Errata in, the ABI for the Arm Architecture".
fn arm_variant<H: FileHeader<Endian = LittleEndian>>(
    header: &H,
    bytes: &[u8],
) -> object::Result<&'static str> {
    let endian = header.endian()?;
    for section in header.sections(endian, bytes)?.iter() {
        if section.sh_type(endian) != SHT_ARM_ATTRIBUTES {
            continue;
        }
        let mut vendors = section.attributes(endian, bytes)?.subsections()?;
        while let Some(vendor) = vendors.next()? {
            if vendor.vendor() != b"aeabi" {
                continue;
            }
            let mut scopes = vendor.subsubsections();
            while let Some(scope) = scopes.next()? {
                if let Some(variant) = variant_of(scope.attributes())? {
                    return Ok(variant);
                }
            }
        }
    }
    Ok("v7")
}

fn variant_of(mut attributes: AttributeReader<'_>) -> object::Result<Option<&'static str>> {
    while let Some(tag) = attributes.read_tag()? {
        match tag {
            CPU_ARCH => {
                return Ok(Some(match attributes.read_integer()? {
                    0..=5 => "v5",
                    // v6, v6KZ, v6T2, v6K
                    6..=9 => "v6",
                    _ => "v7",
                }));
            }
            CPU_RAW_NAME | CPU_NAME => {
                attributes.read_string()?;
            }
            COMPATIBILITY => {
                attributes.read_integer()?;
                attributes.read_string()?;
            }
            // Above 32 the lowest bit tells the type.
            33.. if tag % 2 == 1 => {
                attributes.read_string()?;
            }
            _ => {
                attributes.read_integer()?;
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// An executable of 64 bits with one segment.
    fn executable(machine: u8, segment: u8) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[18] = machine;
        bytes[20] = 1;
        bytes[32] = 64;
        bytes[52] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = segment;
        bytes
    }

    /// A section `.ARM.attributes` of these attributes in an executable of 32 bits.
    fn arm(attributes: &[u8]) -> Vec<u8> {
        let length = attributes.len() as u8;
        let mut bytes = vec![0; 52 + 80];
        bytes[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
        bytes[18] = 40;
        bytes[20] = 1;
        bytes[32] = 52; // sections; the first one is empty
        bytes[40] = 52;
        bytes[46] = 40;
        bytes[48] = 2;
        bytes[50] = 1; // names; none are read
        bytes[52 + 44] = 3; // SHT_ARM_ATTRIBUTES
        bytes[52 + 47] = 0x70;
        bytes[52 + 56] = 52 + 80;
        bytes[52 + 60] = length + 16;
        bytes.extend(b"A");
        bytes.extend([length + 15, 0, 0, 0]);
        bytes.extend(b"aeabi\0");
        bytes.extend([1, length + 5, 0, 0, 0]);
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn a_static_executable_has_a_platform() {
        let of = |machine| platform(&executable(machine, 1)).unwrap().architecture;
        assert_eq!([of(62), of(183), of(243)], ["amd64", "arm64", "riscv64"]);
    }

    #[test]
    fn the_variant_of_arm_is_the_oldest_processor_that_can_run_it() {
        let of = |attributes: &[u8]| platform(&arm(attributes)).unwrap().variant.unwrap();
        // Tag_conformance, then Tag_CPU_arch: as the linker writes them.
        assert_eq!(of(b"\x432.09\0\x06\x06"), "v6");
        assert_eq!(of(b"\x432.09\0\x06\x0a"), "v7");
        assert_eq!(of(b"\x05ARM1176JZF-S\0\x06\x07"), "v6");
        assert_eq!(of(b"\x20\x01aeabi\0\x06\x04"), "v5");
        assert_eq!(of(b""), "v7", "if it does not say");
    }

    #[test]
    fn anything_else_is_refused() {
        let error = platform(&executable(62, 3)).unwrap_err();
        assert!(error.contains("dynamic linker"), "{error}");
        assert!(platform(&executable(1, 1)).is_err());
        assert!(platform(b"#!/bin/sh").is_err());
        for whole in [executable(62, 1), arm(b"\x06\x06")] {
            for length in 0..whole.len() {
                let _ = platform(&whole[..length]);
            }
        }
    }
}
