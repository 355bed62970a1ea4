#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixListener;
use std::sync::OnceLock;
use std::thread;

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;

const LIMIT: u64 = 1024 * 1024;

fn scope(root: &Path) -> Scope {
    Scope {
        root: root.to_owned(),
        excluded: Vec::new(),
        limit: LIMIT,
    }
}

/// Waits until the timestamps of the files are old enough.
fn packed(scope: &Scope) -> Archive {
    loop {
        match scope.pack().unwrap() {
            Some(archive) => return archive,
            None => thread::sleep(CLOCK_TICK),
        }
    }
}

fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/data"), b"content").unwrap();
    fs::write(at("empty"), b"").unwrap();
    fs::write(at(&format!("a/{}", "long".repeat(50))), b"long name").unwrap();
    fs::write(at("tool"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(at("tool"), Permissions::from_mode(0o755)).unwrap();
    symlink("../a/b/data", at("a/link")).unwrap_or_default();
    fs::create_dir(at(CONTROL)).unwrap();
    fs::write(at(".satellite/run.json"), b"own").unwrap();
    folder
}

#[test]
fn a_folder_is_the_same_after_packing_and_unpacking() {
    let first = folder();
    let archive = packed(&scope(first.path()));
    assert_eq!((archive.files, archive.size), (4, 26));
    let second = tempdir().unwrap();
    let unpacked = Unpacked::read(&archive.bytes, LIMIT).unwrap();
    assert_eq!(unpacked.files(), 4);
    unpacked.write(second.path()).unwrap();
    let at = |name: &str| second.path().join(name);
    assert_eq!(fs::read(at("a/b/data")).unwrap(), b"content");
    assert_eq!(fs::read(at("a/link")).unwrap(), b"content");
    assert_eq!(fs::metadata(at("tool")).unwrap().mode() & 0o777, 0o755);
    assert!(!at(CONTROL).exists());
    // The same bytes, although times, owners and inodes differ.
    assert_eq!(packed(&scope(second.path())).bytes, archive.bytes);
}

#[test]
fn a_folder_that_changes_while_it_is_read_is_not_packed() {
    let folder = folder();
    fs::write(folder.path().join("new"), b"now").unwrap();
    assert!(scope(folder.path()).pack().unwrap().is_none(), "just now");
    let archive = packed(&scope(folder.path()));
    let before = scope(folder.path()).list().unwrap();
    fs::write(folder.path().join("new"), b"NOW").unwrap();
    assert_ne!(scope(folder.path()).list().unwrap(), before);
    assert_ne!(packed(&scope(folder.path())).bytes, archive.bytes);
}

#[test]
fn sockets_and_excluded_paths_are_left_out_and_links_to_elsewhere_are_rejected() {
    let folder = folder();
    let before = packed(&scope(folder.path()));
    let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    fs::create_dir(folder.path().join("cache")).unwrap();
    fs::write(folder.path().join("cache/file"), b"x").unwrap();
    let mut scope = scope(folder.path());
    scope.excluded.push("cache".into());
    assert_eq!(packed(&scope).bytes, before.bytes);
    symlink("/etc/passwd", folder.path().join("out")).unwrap();
    let error = scope.pack().unwrap_err().to_string();
    assert!(error.contains("points out of the folder"), "{error}");
    scope.excluded.push("out".into());
    packed(&scope);
}

#[test]
fn a_folder_over_the_limit_is_rejected_with_its_size() {
    let folder = folder();
    let mut scope = scope(folder.path());
    scope.limit = 25;
    let error = scope.pack().unwrap_err().to_string();
    assert!(error.contains("26 bytes"), "{error}");
    assert!(error.contains("the limit is 25 (--state-limit)"), "{error}");
}

/// An archive with one entry, whose name is written without the checks of the library.
fn hostile(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    archive_of(&[(name, kind, link, content)])
}

fn archive_of(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, link, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o4777);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn hostile_entries_are_refused_before_anything_is_written() {
    use EntryType as T;
    for (name, kind, link) in [
        ("../evil", T::Regular, ""),
        ("/etc/cron.d/evil", T::Regular, ""),
        ("a/../../evil", T::Regular, ""),
        ("./evil", T::Regular, ""),
        ("missing/evil", T::Regular, ""),
        (".satellite/run.json", T::Regular, ""),
        (".satellite", T::Directory, ""),
        ("link", T::Symlink, "/etc"),
        ("link", T::Symlink, "../out"),
        ("link", T::Symlink, "a/../../out"),
        ("link", T::Symlink, ".satellite/lock"),
        ("hard", T::Link, "/etc/passwd"),
        ("device", T::Block, ""),
        ("device", T::Char, ""),
        ("pipe", T::Fifo, ""),
        ("sparse", T::GNUSparse, ""),
    ] {
        let error = Unpacked::read(&hostile(name, kind, link, b""), LIMIT);
        let error = error.expect_err(name).to_string();
        assert!(
            error.contains("refused") || error.contains("damaged"),
            "{error}"
        );
    }
    // Through a link, and twice.
    let through = [
        ("a", T::Directory, "", &b""[..]),
        ("l", T::Symlink, "a", b""),
        ("l/evil", T::Regular, "", b"x"),
    ];
    assert!(Unpacked::read(&archive_of(&through), LIMIT).is_err());
    let twice = [
        ("a", T::Regular, "", &b"1"[..]),
        ("a", T::Regular, "", b"2"),
    ];
    assert!(Unpacked::read(&archive_of(&twice), LIMIT).is_err());
    let behind = [
        ("d", T::Directory, "", &b""[..]),
        ("d/s", T::Symlink, "..", b""),
        ("e", T::Symlink, "d/s/..", b""),
    ];
    assert!(Unpacked::read(&archive_of(&behind), LIMIT).is_err());
}

#[test]
fn a_bomb_is_refused_and_special_permissions_are_dropped() {
    let zeros = vec![0; 2 * LIMIT as usize];
    let bomb = hostile("bomb", EntryType::Regular, "", &zeros);
    assert!(bomb.len() < 20_000);
    let error = Unpacked::read(&bomb, LIMIT).unwrap_err().to_string();
    assert!(error.contains("exceeds the limit"), "{error}");

    let folder = tempdir().unwrap();
    let program = hostile("program", EntryType::Regular, "", b"x");
    let unpacked = Unpacked::read(&program, LIMIT).unwrap();
    unpacked.write(folder.path()).unwrap();
    let mode = fs::metadata(folder.path().join("program")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o777);
}

#[test]
fn a_damaged_archive_is_an_error() {
    let archive = packed(&scope(folder().path())).bytes;
    for cut in [0, 1, 10, archive.len() / 2, archive.len() - 9] {
        assert!(Unpacked::read(&archive[..cut], LIMIT).is_err(), "{cut}");
    }
    assert!(Unpacked::read(b"nonsense", LIMIT).is_err());
}

/// A tar with each kind of entry, uncompressed.
fn plain_tar() -> Vec<u8> {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(made_plain_tar).clone()
}

fn made_plain_tar() -> Vec<u8> {
    let archive = packed(&scope(folder().path())).bytes;
    let mut tar = Vec::new();
    GzDecoder::new(archive.as_slice())
        .read_to_end(&mut tar)
        .unwrap();
    tar
}

/// With the checksums of all headers corrected, so that the changes are seen.
fn resealed(mut tar: Vec<u8>) -> Vec<u8> {
    for block in tar.chunks_exact_mut(512) {
        let is_header = block[257..262] == *b"ustar";
        if is_header {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&tar).unwrap();
    gz.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_changed_archive_writes_nothing_outside_of_the_folder(
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(b"./\\\0\xffx012345".to_vec())),
            1..20,
        ),
    ) {
        let mut tar = plain_tar();
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        let Ok(unpacked) = Unpacked::read(&resealed(tar), LIMIT) else { return Ok(()) };
        let outer = tempdir().unwrap();
        let root = outer.path().join("a/root");
        fs::create_dir_all(&root).unwrap();
        let _ = unpacked.write(&root); // a file may be in the way of another
        let names = |path: &Path| {
            let entries = fs::read_dir(path).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        prop_assert_eq!(names(outer.path()), ["a"]);
        prop_assert_eq!(names(&outer.path().join("a")), ["root"]);
        prop_assert!(!root.join(CONTROL).exists());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Unpacked::read(&bytes, LIMIT).is_err());
    }
}
