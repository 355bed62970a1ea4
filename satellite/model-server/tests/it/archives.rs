//! Artifacts as they arrive: compressed, damaged, hostile.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tar::{Builder, EntryType, Header};

use crate::program::{model, ran};

/// Checks an artifact with these bytes: the exit code and the log.
fn checked(bytes: &[u8], variables: &[(&str, &str)]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.fnnx");
    fs::write(&path, bytes).unwrap();
    checked_path(&path, variables)
}

fn checked_path(path: &Path, variables: &[(&str, &str)]) -> (i32, String) {
    let output = ran(&["check", path.to_str().unwrap()], variables);
    let log = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), log)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// A valid artifact with one more member before the others.
fn with_member(kind: EntryType, name: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    if !link.is_empty() {
        header.set_link_name_literal(link).unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(fs::read(model("external.fnnx")).unwrap());
    bytes
}

#[test]
fn an_artifact_may_be_compressed_or_a_folder() {
    let plain = fs::read(model("external.fnnx")).unwrap();
    let mut twice = zstd(&plain[..plain.len() / 2]);
    twice.extend(zstd(&plain[plain.len() / 2..]));
    for bytes in [plain.clone(), gzip(&plain), zstd(&plain), twice] {
        assert_eq!(checked(&bytes, &[]), (0, String::new()));
    }
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(plain.as_slice())
        .unpack(folder.path())
        .unwrap();
    assert_eq!(checked_path(folder.path(), &[]), (0, String::new()));
    // As `tar -c .` names them.
    let mut builder = Builder::new(Vec::new());
    builder.append_dir_all(".", folder.path()).unwrap();
    assert_eq!(checked(&builder.into_inner().unwrap(), &[]).0, 0);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let (code, log) = checked_path(folder.path(), &[]);
    assert!(code == 65 && log.contains("is a link or a device"), "{log}");
}

#[test]
fn members_that_no_artifact_has_are_refused() {
    for (kind, name, link, expected) in [
        (EntryType::Regular, "../evil", "", "leaves the folder"),
        (EntryType::Regular, "a/../../evil", "", "leaves the folder"),
        (EntryType::Regular, "/etc/passwd", "", "leaves the folder"),
        (EntryType::Directory, "..", "", "leaves the folder"),
        (EntryType::Regular, "a\\b", "", "backslash"),
        (
            EntryType::Symlink,
            "ops.json",
            "/etc/passwd",
            "is a symbolic link",
        ),
        (
            EntryType::Link,
            "ops.json",
            "manifest.json",
            "is a hard link",
        ),
        (EntryType::Char, "null", "", "is a device"),
        (EntryType::Block, "disk", "", "is a device"),
        (EntryType::Fifo, "pipe", "", "is a pipe"),
        (EntryType::new(b'Z'), "strange", "", "of an unknown kind"),
    ] {
        let (code, log) = checked(&with_member(kind, name, link, b""), &[]);
        assert!(code == 65 && log.contains(expected), "{name}: {code} {log}");
    }
    let (code, _) = checked(&with_member(EntryType::Regular, "more", "", b"data"), &[]);
    assert_eq!(code, 0, "other files do no harm");
}

#[test]
fn files_that_are_no_artifact_are_refused() {
    let valid = fs::read(model("external.fnnx")).unwrap();
    let truncated = gzip(&valid);
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(valid.as_slice())
        .unpack(folder.path())
        .unwrap();
    let mut inside = Builder::new(Vec::new());
    inside.append_dir_all("model", folder.path()).unwrap();
    for (bytes, expected) in [
        (b"".to_vec(), "there is no manifest.json"),
        (b"hello".repeat(200), "is not a valid tar archive"),
        (b"PK\x03\x04....".to_vec(), "is a zip file"),
        (b"BZh91AY".to_vec(), "is compressed with bzip2"),
        (b"\xfd7zXZ\0....".to_vec(), "is compressed with xz"),
        (
            truncated[..truncated.len() / 2].to_vec(),
            "the compressed data is damaged",
        ),
        (
            zstd(&valid)[..100].to_vec(),
            "the compressed data is damaged",
        ),
        (valid[..700].to_vec(), "manifest.json"),
        (
            inside.into_inner().unwrap(),
            "at the root of the artifact, only model/manifest.json",
        ),
    ] {
        let (code, log) = checked(&bytes, &[]);
        assert!(
            code == 65 && log.contains(expected),
            "{expected}: {code} {log}"
        );
    }
}

#[test]
fn an_archive_has_limits() {
    let bomb = vec![0; 3 << 20];
    let limit = [("LUML_MODEL_UNPACKED_MB", "1")];
    for bytes in [gzip(&bomb), zstd(&bomb)] {
        assert!(bytes.len() < 1 << 16, "{}", bytes.len());
        let (code, log) = checked(&bytes, &limit);
        assert!(
            code == 65 && log.contains("unpacks to more than 1048576 bytes"),
            "{log}"
        );
    }
    let large = with_member(EntryType::Regular, "large", "", &bomb);
    let (code, log) = checked(&large, &limit);
    assert!(
        code == 65 && log.contains("have more than 1048576 bytes"),
        "{log}"
    );
    let (code, log) = checked(
        &fs::read(model("external.fnnx")).unwrap(),
        &[("LUML_MODEL_ENTRIES", "3")],
    );
    assert!(code == 65 && log.contains("more than 3 members"), "{log}");
    // A name as long as the archive.
    let name = vec![b'a'; 2 << 20];
    let long = with_member(EntryType::GNULongName, "././@LongLink", "", &name);
    let (code, log) = checked(&long, &[]);
    assert!(code == 65 && log.contains("too long"), "{log}");
}
