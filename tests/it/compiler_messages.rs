//! What rustc says about common mistakes: programs that do not compile, and the
//! sentence by which their author learns why. Only that sentence is compared, so
//! that another version of rustc may lay out the rest as it likes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use satellite_sdk::extras::temp_directory;

/// What rustc prints about a program in whose `main` this builder is called.
fn compile(items: &str, call: &str) -> Result<(), String> {
    let folder = temp_directory().unwrap();
    let source = folder.path().join("mistake.rs");
    let program = format!(
        "#![allow(unused)]\n\
         use satellite_sdk::{{Builder, Context, Failure, Task, done}};\n\
         use std::time::Duration;\n\
         {items}\n\
         fn main() {{\n    Builder::new()\n        {call};\n}}\n"
    );
    fs::write(&source, program).unwrap();
    // The library that this test was linked with, and all that it needs, are
    // beside it. It is at least as new as any other there.
    let test = std::env::current_exe().unwrap();
    let libraries = test.parent().unwrap();
    let mut library = std::ffi::OsString::from("satellite_sdk=");
    library.push(newest_library(libraries));
    let mut search = std::ffi::OsString::from("dependency=");
    search.push(libraries);
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2024", "--emit=metadata", "--out-dir"])
        .arg(folder.path())
        .arg(&source)
        .arg("--extern")
        .arg(library)
        .arg("-L")
        .arg(search)
        // Doctests and coverage may pass flags that do not fit here.
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

fn newest_library(folder: &Path) -> PathBuf {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("libsatellite_sdk-") && name.ends_with(".rlib")
        })
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
        .expect("this test is linked with the library")
}

/// The program is rejected with this sentence as the error, and with these words
/// somewhere in what is said about it.
#[track_caller]
fn rejected(items: &str, call: &str, error: &str, words: &[&str]) {
    let said = compile(items, call).expect_err("it compiles");
    let is_error = |line: &str| line.starts_with("error") && line.contains(error);
    assert!(said.lines().any(is_error), "no {error:?} in\n{said}");
    assert_eq!(
        said.matches("\nerror").count() + usize::from(said.starts_with("error")),
        2, // the one, and rustc's "aborting due to"
        "more than one error in\n{said}"
    );
    for word in words {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
}

#[test]
fn a_program_without_mistakes_compiles() {
    let fine = r#".handler("echo", |task: Task, cx: &Context| done(task.payload))"#;
    assert_eq!(compile("", fine), Ok(()));
}

#[test]
fn a_payload_that_cannot_be_read_is_named() {
    rejected(
        "struct Deploy { id: String }",
        r#".handler("deploy", |task: Task<Deploy>, cx: &Context| done(task.payload.id))"#,
        "the payload type `Deploy` does not implement `serde::Deserialize`",
        &["add `#[derive(serde::Deserialize)]` to `Deploy`"],
    );
}

#[test]
fn a_result_that_cannot_be_written_is_named() {
    rejected(
        "struct Answer;",
        r#".handler("ask", |task: Task| Ok::<_, String>(Answer))"#,
        "the result type `Answer` does not implement `serde::Serialize`",
        &["add `#[derive(serde::Serialize)]` to `Answer`"],
    );
}

#[test]
fn an_error_without_a_text_is_named() {
    rejected(
        "#[derive(Debug)] enum Broken { Disk }",
        r#".handler("read", |task: Task| Err::<(), _>(Broken::Disk))"#,
        "the error type `Broken` does not implement `std::fmt::Display`",
        &["implement `Display` for `Broken`", "satellite_sdk::Failure"],
    );
}

#[test]
fn an_async_function_is_sent_to_async_handler() {
    for arguments in [
        "task: Task",
        "task: Task, cx: Context",
        "task: Task, cx: &Context",
    ] {
        rejected(
            &format!("async fn ask({arguments}) -> Result<u8, String> {{ Ok(1) }}"),
            r#".handler("ask", ask)"#,
            "an async handler must be passed to `Builder::async_handler`",
            &["`.async_handler(task_type, block_on, handler)`"],
        );
    }
}

#[test]
fn an_async_closure_is_sent_to_async_handler() {
    rejected(
        "",
        r#".handler("ask", async |task: Task, cx: &Context| done(1))"#,
        "an async handler must be passed to `Builder::async_handler`",
        &["this handler is async"],
    );
}

#[test]
fn a_context_by_value_is_told_to_be_a_reference() {
    rejected(
        "",
        r#".handler("ask", |task: Task, cx: Context| done(1))"#,
        "a handler takes the context by reference: `cx: &Context`",
        &["this handler takes the context by value"],
    );
}

#[test]
fn arguments_without_types_are_told_to_have_them() {
    rejected(
        "",
        r#".handler("ask", |task: Task, cx| done(1))"#,
        "a handler takes the context by reference: `cx: &Context`",
        &["annotate the argument with its type, `&Context`"],
    );
}

#[test]
fn an_ok_without_an_error_type_is_sent_to_done() {
    for call in [
        r#".handler("ask", |task: Task| Ok(1))"#,
        r#".handler("ask", |task: Task, cx: &Context| Ok(1))"#,
        r#".every(Duration::from_secs(1), |cx: &Context| Ok(()))"#,
    ] {
        let hint = "`Ok(..)` alone does not name its error type: use `done(..)`";
        rejected("", call, "type annotations needed", &[hint]);
    }
}

#[test]
fn a_handler_that_returns_no_result_is_told_what_a_handler_is() {
    for call in [
        r#".handler("ask", |task: Task| 5)"#,
        r#".handler("ask", |task: Task, cx: &Context| { println!("{}", task.id); })"#,
        r#".handler("ask", || done(1))"#,
        r#".handler("ask", |cx: &Context, task: Task| done(1))"#,
    ] {
        let error = "a handler is `|task: Task<P>, cx: &Context| -> Result<R, E>`";
        rejected(
            "",
            call,
            error,
            &["`done(())` where there is nothing to report"],
        );
    }
}

#[test]
fn periodic_work_that_returns_a_value_is_told_what_it_may_return() {
    rejected(
        "",
        r#".every(Duration::from_secs(1), |cx: &Context| 5)"#,
        "this closure returns nothing or a `Result<(), E>`, not `",
        &["`satellite_sdk::done(())` where `?` is used"],
    );
}

#[test]
fn an_async_handlers_payload_and_error_are_named_as_well() {
    rejected(
        "struct Deploy; fn block_on<F: Future>(f: F) -> F::Output { todo!() }",
        r#".async_handler("deploy", block_on, async |task: Task<Deploy>, cx: Context| done(1))"#,
        "the payload type `Deploy` does not implement `serde::Deserialize`",
        &["add `#[derive(serde::Deserialize)]` to `Deploy`"],
    );
}
