//! Help, suggestions, completions and man pages: all from one definition.

use std::process::Command;

use crate::command::{Folder, ended};
use crate::commands;

#[test]
fn each_command_has_examples_in_its_help() {
    let folder = Folder::new();
    for command in commands::all() {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = folder.done(&words).stdout;
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_default();
        assert!(
            examples.contains(&format!("satellite {command}")),
            "{command}: {help}"
        );
    }
    let help = folder.done(&["--help"]).stdout;
    assert!(help.contains("Exit codes: 0 "), "{help}");
    let version = folder.done(&["--version"]).stdout;
    assert_eq!(
        version,
        format!("satellite {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_misspelt_command_option_or_value_gets_a_suggestion() {
    let folder = Folder::new();
    for (arguments, meant) in [
        (["genrate", "all", "a", ""], "'generate'"),
        (["generate", "deplyment", "a", ""], "'deployment'"),
        (
            ["generate", "all", "a", "--helth-port=1"],
            "'--health-port'",
        ),
        (["generate", "all", "a", "--store=s33"], "s3"),
    ] {
        let arguments = arguments.map(str::trim);
        let given: Vec<_> = arguments.into_iter().filter(|a| !a.is_empty()).collect();
        let end = folder.run(&given);
        assert_eq!(end.code, 2, "{end:?}");
        let tip = end.stderr.lines().find(|line| line.contains("tip:"));
        assert!(tip.is_some_and(|tip| tip.contains(meant)), "{end:?}");
    }
    let end = folder.run(&[]);
    assert_eq!(end.code, 2, "{end:?}");
    assert!(end.stderr.contains("Usage: satellite <COMMAND>"), "{end:?}");
}

#[test]
fn bash_completes_commands_options_and_values() {
    let folder = Folder::new();
    let script = folder.done(&["completions", "bash"]).stdout;
    folder.write("satellite.bash", &script);
    for (words, expected) in [
        ("satellite gen", "generate"),
        ("satellite generate dep", "deployment"),
        (
            "satellite generate all my-app --storage",
            "--storage-size --storage-class",
        ),
        (
            "satellite generate all my-app --store ",
            "configmap pvc s3 none",
        ),
    ] {
        let count = words.matches(' ').count();
        let last = words.rsplit(' ').next().unwrap();
        let before = words.rsplit(' ').nth(1).unwrap();
        // As bash calls it.
        let test = format!(
            "source ./satellite.bash; COMP_WORDS=({words}); COMP_CWORD={count}; \
             _satellite satellite '{last}' '{before}'; echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = Command::new("bash");
        let end = ended(bash.args(["-c", &test]).current_dir(folder.path()), "");
        assert_eq!(end.stdout.trim(), expected, "{words}: {end:?}");
    }
}

/// A shell that is not installed cannot check its script.
#[test]
fn the_scripts_of_the_other_shells_are_valid() {
    let folder = Folder::new();
    for (shell, must_have) in [
        ("zsh", "#compdef satellite"),
        ("fish", "complete -c satellite"),
    ] {
        let script = folder.done(&["completions", shell]).stdout;
        assert!(script.contains(must_have), "{shell}");
        assert!(script.contains("storage-class"), "{shell}");
        folder.write("script", &script);
        let check = Command::new(shell)
            .args(["-n", "script"])
            .current_dir(folder.path())
            .output();
        match check {
            Err(_) => println!("skipped: {shell} is not installed"),
            Ok(check) => assert!(check.status.success(), "{shell}: {check:?}"),
        }
    }
}

#[test]
fn each_command_has_a_man_page() {
    let folder = Folder::new();
    let page = folder.done(&["man"]).stdout;
    assert!(page.contains(".TH satellite 1"), "{page}");
    folder.done(&["man", "--output", "man1"]);
    let files = folder.files();
    for command in commands::all() {
        let file = format!("man1/satellite-{}.1", command.replace(' ', "-"));
        assert!(files.contains(&file), "{files:?}");
        assert!(folder.read(&file).contains("Examples:"), "{command}");
    }
    // A second run replaces them.
    folder.done(&["man", "--output", "man1"]);
}
