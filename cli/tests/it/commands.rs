//! The table of commands in docs/commands.md, and the commands that the binary has.

use std::path::{Path, PathBuf};

use crate::command::Folder;

/// The commands that the specifications promise, as they write them.
const PROMISED: &str = "
init my-app --image my-app:latest
generate rbac --name my-app
generate deployment --name my-app --image my-app:latest
generate all --name my-app --image my-app:latest
validate
sky launch | sky exec | sky status | sky logs | sky queue | sky cancel | sky stop | sky start
sky down | sky autostop | sky cost | sky check
basilica deploy | basilica list | basilica status | basilica logs -f | basilica stop
basilica nodes
faas execute script --env alpine-fast
faas execute script.py --env python-ai --timeout 60
faas env list
faas env create my-env --base rust:latest --cache aggressive
faas env get my-env | faas env delete my-env
faas snapshot create --execution-id abc123 --name checkpoint-1
faas snapshot restore checkpoint-1 --branch 5
faas snapshot list | faas snapshot delete checkpoint-1
";

/// All commands that do something, such as `sky launch`; found by reading the help.
pub fn all() -> Vec<String> {
    let mut found = Vec::new();
    collect(&Folder::new(), &[], &mut found);
    found
}

fn collect(folder: &Folder, path: &[&str], found: &mut Vec<String>) {
    let help = folder.done(&[path, &["--help"]].concat()).stdout;
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        found.push(path.join(" "));
        return;
    };
    let names = list.lines().take_while(|line| !line.is_empty());
    // A description that continues on the next line is indented further.
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        if name != "help" {
            collect(folder, &[path, &[name]].concat(), found);
        }
    }
}

#[test]
fn every_command_is_in_the_table_with_tests_that_exist() {
    let rows = rows();
    let commands = all();
    assert!(commands.len() > 30, "{commands:?}");
    for command in &commands {
        let is_of = |row: &&Row| is_or_begins(&row.command, command);
        let row = rows.iter().find(is_of);
        let row = row.unwrap_or_else(|| panic!("{command} is not in docs/commands.md"));
        let word = command.rsplit(' ').next().unwrap();
        let runs = |test: &String| source(test).contains(word);
        assert!(row.tests.iter().any(runs), "{command}: no test names it");
    }
    for row in rows.iter().filter(|row| row.command != "COMMAND --help") {
        let is_real = commands.iter().any(|c| is_or_begins(&row.command, c));
        assert!(is_real, "there is no command {}", row.command);
    }
    for test in rows.iter().flat_map(|row| &row.tests) {
        let name = test.split_once("::").unwrap().1;
        let is_test = source(test).contains(&format!("#[test]\nfn {name}("));
        assert!(is_test, "there is no test {test}");
    }
}

#[test]
fn every_command_of_the_specifications_is_accepted_as_it_is_written() {
    let folder = Folder::new();
    let rows = rows();
    for line in PROMISED.lines().flat_map(|line| line.split(" | ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        folder.done(&[&words[..], &["--help"]].concat());
        let is_in_table = |row: &Row| is_or_begins(line, row.command.trim_end_matches(" NAME"));
        assert!(rows.iter().any(is_in_table), "{line} is not in the table");
    }
}

/// Whether a line is a command, or that command with arguments.
fn is_or_begins(line: &str, command: &str) -> bool {
    let rest = line.strip_prefix(command);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

struct Row {
    command: String,
    /// Such as `sky::status_…`.
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(repository().join("docs/commands.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let cells: Vec<_> = line.split(" | ").collect();
        let tests = quoted(cells.last().unwrap());
        Row {
            command: quoted(cells[0]).remove(0),
            tests: tests.into_iter().filter(|t| t.contains("::")).collect(),
        }
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.iter().all(|row| !row.tests.is_empty()), "{text}");
    rows
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The file with a test.
fn source(test: &str) -> String {
    let module = test.split_once("::").unwrap().0;
    let path = repository().join(format!("cli/tests/it/{module}.rs"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{test}: {}: {e}", path.display()))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
