//! The compiler messages for common mistakes: programs that do not compile, and the
//! sentence that explains why. Only that sentence is compared, so that another version
//! of rustc can format the rest differently.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use satellite_sdk::extras::temp_directory;

/// Compiles a program whose `main` makes this builder call; the error is rustc's output.
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
    // The library that this test is linked with is in the same folder, together with
    // its dependencies. No other build there is newer.
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
        // Doctests and coverage may pass flags that do not apply here.
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
        .expect("no library beside the test binary")
}

/// Asserts that the program is rejected with exactly this error, and that the output
/// contains all of `words`.
#[track_caller]
fn rejected(items: &str, call: &str, error: &str, words: &[&str]) {
    let output = compile(items, call).expect_err("it compiles");
    let is_error = |line: &str| line.starts_with("error") && line.contains(error);
    assert!(output.lines().any(is_error), "no {error:?} in\n{output}");
    assert_eq!(
        output.matches("\nerror").count() + usize::from(output.starts_with("error")),
        2, // the error, and rustc's "aborting due to"
        "more than one error in\n{output}"
    );
    for word in words {
        assert!(output.contains(word), "no {word:?} in\n{output}");
    }
}

#[test]
fn a_correct_program_compiles() {
    let fine = r#".handler("echo", |task: Task, cx: &Context| done(task.payload))"#;
    assert_eq!(compile("", fine), Ok(()));
}

#[test]
fn a_payload_type_without_deserialize_is_reported() {
    rejected(
        "struct Deploy { id: String }",
        r#".handler("deploy", |task: Task<Deploy>, cx: &Context| done(task.payload.id))"#,
        "the payload type `Deploy` does not implement `serde::Deserialize`",
        &["add `#[derive(serde::Deserialize)]` to `Deploy`"],
    );
}

#[test]
fn a_result_type_without_serialize_is_reported() {
    rejected(
        "struct Answer;",
        r#".handler("ask", |task: Task| Ok::<_, String>(Answer))"#,
        "the result type `Answer` does not implement `serde::Serialize`",
        &["add `#[derive(serde::Serialize)]` to `Answer`"],
    );
}

#[test]
fn an_error_type_without_display_is_reported() {
    rejected(
        "#[derive(Debug)] enum Broken { Disk }",
        r#".handler("read", |task: Task| Err::<(), _>(Broken::Disk))"#,
        "the error type `Broken` does not implement `std::fmt::Display`",
        &["implement `Display` for `Broken`", "satellite_sdk::Failure"],
    );
}

#[test]
fn an_async_function_error_suggests_async_handler() {
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
fn an_async_closure_error_suggests_async_handler() {
    rejected(
        "",
        r#".handler("ask", async |task: Task, cx: &Context| done(1))"#,
        "an async handler must be passed to `Builder::async_handler`",
        &["this handler is async"],
    );
}

#[test]
fn a_context_by_value_error_suggests_a_reference() {
    rejected(
        "",
        r#".handler("ask", |task: Task, cx: Context| done(1))"#,
        "a handler takes the context by reference: `cx: &Context`",
        &["this handler takes the context by value"],
    );
}

#[test]
fn untyped_arguments_error_suggests_types() {
    rejected(
        "",
        r#".handler("ask", |task: Task, cx| done(1))"#,
        "a handler takes the context by reference: `cx: &Context`",
        &["annotate the argument with its type, `&Context`"],
    );
}

#[test]
fn an_ok_without_an_error_type_suggests_done() {
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
fn a_handler_without_a_result_error_shows_the_signature() {
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
fn periodic_work_with_a_return_value_error_shows_the_allowed_types() {
    rejected(
        "",
        r#".every(Duration::from_secs(1), |cx: &Context| 5)"#,
        "this closure returns nothing or a `Result<(), E>`, not `",
        &["`satellite_sdk::done(())` where `?` is used"],
    );
}

#[test]
fn async_handler_payload_errors_are_reported_too() {
    rejected(
        "struct Deploy; fn block_on<F: Future>(f: F) -> F::Output { todo!() }",
        r#".async_handler("deploy", block_on, async |task: Task<Deploy>, cx: Context| done(1))"#,
        "the payload type `Deploy` does not implement `serde::Deserialize`",
        &["add `#[derive(serde::Deserialize)]` to `Deploy`"],
    );
}
