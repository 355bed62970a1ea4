#![allow(clippy::unwrap_used)]

use tempfile::{TempDir, tempdir};

use super::*;

const LIMIT: u64 = 1024 * 1024;

fn folder(root: &TempDir) -> AppFolder {
    AppFolder::lock(Scope {
        root: root.path().to_owned(),
        excluded: vec!["cache".into()],
        limit: LIMIT,
    })
    .unwrap()
}

fn put(root: &TempDir, name: &str, text: &str) {
    fs::write(root.path().join(name), text).unwrap();
}

fn text(root: &TempDir, name: &str) -> Option<String> {
    fs::read_to_string(root.path().join(name)).ok()
}

/// The state of a folder with these files.
fn state(run: &str, files: &[(&str, &str)]) -> FolderState {
    let root = tempdir().unwrap();
    for (name, content) in files {
        put(&root, name, content);
    }
    let mut state = FolderState {
        run: run.to_owned(),
        ..FolderState::default()
    };
    state.set_archive(&folder(&root).scope().pack_stopped().unwrap());
    state
}

fn aside_of(root: &TempDir, restored: &Restored) -> TempDirLike {
    let Restored::Replaced { aside: Some(aside) } = restored else {
        panic!("{restored:?}")
    };
    assert!(aside.starts_with(root.path().join(CONTROL)));
    TempDirLike(aside.clone())
}

struct TempDirLike(PathBuf);

impl TempDirLike {
    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }
}

#[test]
fn the_first_folder_is_used_as_it_is() {
    let root = tempdir().unwrap();
    put(&root, "a", "1");
    let restored = folder(&root).restore(&FolderState::default()).unwrap();
    assert_eq!(restored, Restored::First);
    assert_eq!(text(&root, "a").as_deref(), Some("1"));
}

#[test]
fn the_folder_of_the_stored_run_continues_and_any_other_is_replaced() {
    let root = tempdir().unwrap();
    put(&root, "a", "newer");
    put(&root, "cache", "kept");
    let stored = state("run-1", &[("a", "older")]);
    folder(&root).begin("run-1").unwrap();
    assert!(!folder(&root).is_stale(&stored).unwrap());
    assert_eq!(folder(&root).restore(&stored).unwrap(), Restored::Continued);
    assert_eq!(text(&root, "a").as_deref(), Some("newer"));

    let stored = state("run-2", &[("b", "stored")]);
    assert!(folder(&root).is_stale(&stored).unwrap());
    let restored = folder(&root).restore(&stored).unwrap();
    assert_eq!(text(&root, "a"), None);
    assert_eq!(text(&root, "b").as_deref(), Some("stored"));
    assert_eq!(text(&root, "cache").as_deref(), Some("kept"), "excluded");
    let aside = aside_of(&root, &restored);
    assert_eq!(aside.text("a").as_deref(), Some("newer"));
    assert_eq!(aside.text("cache"), None);
}

#[test]
fn a_state_that_belongs_to_no_run_replaces_the_folder() {
    let root = tempdir().unwrap();
    put(&root, "a", "local");
    folder(&root).begin("").unwrap();
    folder(&root).restore(&state("", &[("a", "put")])).unwrap();
    assert_eq!(text(&root, "a").as_deref(), Some("put"));
}

#[test]
fn a_replacement_that_was_killed_at_any_step_is_completed_and_loses_nothing() {
    let stored = state("run-2", &[("a", "stored a"), ("b", "stored b")]);
    // While the previous content was moved: one file is, one is not.
    let root = tempdir().unwrap();
    put(&root, "x", "mine x");
    put(&root, "y", "mine y");
    let first = folder(&root);
    let step = Step::MovingTo("replaced-1".to_owned());
    let marker = |step| Marker {
        run: String::new(),
        replacing: Some(step),
    };
    first.write_marker(&marker(step)).unwrap();
    fs::create_dir(root.path().join(".satellite/replaced-1")).unwrap();
    let (from, to) = (
        root.path().join("x"),
        root.path().join(".satellite/replaced-1/x"),
    );
    fs::rename(from, to).unwrap();
    drop(first);
    let restored = folder(&root).restore(&stored).unwrap();
    let aside = aside_of(&root, &restored);
    assert_eq!(aside.text("x").as_deref(), Some("mine x"));
    assert_eq!(aside.text("y").as_deref(), Some("mine y"));
    assert_eq!(text(&root, "a").as_deref(), Some("stored a"));

    // While the archive was written, and after that but before the run began: the same state,
    // or a newer one, replaces what was written, and the previous content stays aside.
    for newer in ["newer 1", "newer 2"] {
        put(&root, "b", "half");
        let newest = state("run-3", &[("a", newer)]);
        let restored = folder(&root).restore(&newest).unwrap();
        let aside = aside_of(&root, &restored);
        assert_eq!(aside.text("y").as_deref(), Some("mine y"));
        assert_eq!(text(&root, "a").as_deref(), Some(newer));
        assert_eq!(text(&root, "b"), None);
    }

    // The stored state has disappeared: which content is right is for people to decide.
    let error = folder(&root).restore(&FolderState::default()).unwrap_err();
    assert!(error.to_string().contains("replaced-1"), "{error}");

    // Only the last replaced content is kept.
    folder(&root).begin("run-3").unwrap();
    let restored = folder(&root)
        .restore(&state("run-4", &[("a", "last")]))
        .unwrap();
    assert_eq!(
        aside_of(&root, &restored).text("a").as_deref(),
        Some("newer 2")
    );
    assert!(!root.path().join(".satellite/replaced-1").exists());
}

#[test]
fn a_folder_with_a_hostile_or_damaged_archive_stays_as_it_is() {
    let root = tempdir().unwrap();
    put(&root, "a", "mine");
    for archive in ["nonsense!", "bm9uc2Vuc2U="] {
        let stored = FolderState {
            archive: archive.to_owned(),
            ..FolderState::default()
        };
        let error = folder(&root).restore(&stored).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert_eq!(text(&root, "a").as_deref(), Some("mine"));
    }
}

#[test]
fn a_folder_is_used_by_one_sidecar() {
    let root = tempdir().unwrap();
    let _first = folder(&root);
    let scope = _first.scope().clone();
    let error = AppFolder::lock(scope).unwrap_err();
    assert!(error.to_string().contains("another sidecar"), "{error}");
}
