//! `satellite sky`: settings, secrets, and what a terminal shows.

use satellite_serve::Response;
use serde_json::{Value, json};

use crate::program::{DEADLINE, Program};
use crate::sky::{clusters, failed, sky};
use crate::skypilot_server::Fake;

#[test]
fn a_token_comes_from_the_environment_or_a_file_and_is_never_printed() {
    let fake = Fake::start();
    fake.returns("/status", clusters());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("sky-token");
    std::fs::write(&path, "sky_hush-file\n").unwrap();
    let path = path.to_str().unwrap();
    let with_file = || sky(&fake, &["status", "--json", "--token-file", path]);
    let with_variable =
        || sky(&fake, &["status"]).env("SKYPILOT_SERVICE_ACCOUNT_TOKEN", "sky_hush");
    let piped = || sky(&fake, &["status", "--token-file", "-"]).input("sky_hush-pipe\n");
    with_file().ok();
    with_variable().ok();
    piped().ok();
    let sent = fake.calls("POST /status");
    let tokens: Vec<_> = sent
        .iter()
        .map(|s| s.headers["authorization"].as_str())
        .collect();
    assert_eq!(
        tokens,
        [
            "Bearer sky_hush-file",
            "Bearer sky_hush",
            "Bearer sky_hush-pipe"
        ]
    );

    for call in [with_file(), with_variable(), piped()] {
        fake.once("POST /status", || {
            Response::json(401, r#"{"detail": "Invalid token"}"#)
        });
        let ended = call.run();
        failed(&ended, 77, "Invalid token");
        assert!(
            ended
                .stderr
                .contains(&format!("POST /status at {}", fake.url())),
            "{ended:?}"
        );
        assert!(!format!("{ended:?}").contains("hush"), "{ended:?}");
    }
    // Neither are the secrets of a task that the server has on record.
    assert!(!sky(&fake, &["status"]).json().to_string().contains("hush"));
    failed(
        &sky(&fake, &["status", "--token-file", "none"]).run(),
        1,
        "cannot read none",
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn wrong_settings_and_arguments_have_their_own_exit_codes() {
    let fake = Fake::start();
    let wrong = sky(&fake, &["status"]).env("SKYPILOT_API_SERVER_URL", "ftp://example.com");
    failed(&wrong.run(), 78, "SKYPILOT_API_SERVER_URL: expected");
    failed(&sky(&fake, &["statsu"]).run(), 2, "'status'");
    failed(&sky(&fake, &["status", "--jsn"]).run(), 2, "--json");
    let gone = Program::new(&["sky", "status", "--url", "http://127.0.0.1:1"]).run();
    failed(&gone, 1, "POST /status at http://127.0.0.1:1: ");
    assert!(!gone.stderr.contains("panicked"), "{gone:?}");
}

#[test]
fn a_call_ends_at_the_time_limit_of_the_environment() {
    let fake = Fake::start();
    let wrong = sky(&fake, &["status"]).env("SKYPILOT_REQUEST_TIMEOUT", "soon");
    failed(
        &wrong.run(),
        78,
        "SKYPILOT_REQUEST_TIMEOUT: expected a time",
    );
    let (_keep, silent) = std::sync::mpsc::channel::<()>();
    let silent = std::sync::Mutex::new(silent);
    fake.once("GET /api/get", move || {
        let _ = silent.lock().unwrap().recv_timeout(DEADLINE / 4);
        Response::new(200)
    });
    let late = sky(&fake, &["status"]).env("SKYPILOT_REQUEST_TIMEOUT", "500ms");
    failed(&late.run(), 1, "GET /api/get");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_message() {
    let fake = Fake::start();
    fake.ends("/status", "SUCCEEDED", clusters(), Value::Null, 0);
    let running = sky(&fake, &["status"]).start();
    assert_eq!(running.without_reader(), Some(141));
}

#[test]
fn the_help_names_exit_codes_and_variables() {
    let help = Program::new(&["sky", "--help"]).ok();
    assert!(
        help.contains("Exit codes:") && help.contains("SKYPILOT_API_SERVER_URL"),
        "{help}"
    );
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let fake = Fake::start();
    fake.returns("/status", clusters());
    let (shown, code) = sky(&fake, &["status"]).env("TERM", "xterm").on_terminal();
    assert!(shown.contains("\u{1b}[1mNAME"), "{shown:?}");
    assert_eq!(code, Some(0));
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (shown, _) = sky(&fake, &["status"]).env(name, value).on_terminal();
        assert!(
            shown.contains("NAME") && !shown.contains('\u{1b}'),
            "{name}: {shown:?}"
        );
    }
    let (shown, _) = sky(&fake, &["status"]).env("NO_COLOR", "").on_terminal();
    assert!(
        shown.contains("\u{1b}[1m"),
        "an empty NO_COLOR counts as unset: {shown:?}"
    );
    fake.returns("/status", json!([]));
    let (shown, code) = sky(&fake, &["status", "nobody"]).on_terminal();
    assert!(shown.contains("\u{1b}[1;31merror\u{1b}[0m"), "{shown:?}");
    assert_eq!(code, Some(1));
}

#[test]
fn progress_is_shown_only_on_a_terminal() {
    let fake = Fake::start();
    let (shown, code) = sky(&fake, &["stop", "mine", "--yes"]).on_terminal();
    assert!(shown.contains("waiting for the server"), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[Kmine stopped\n"), "{shown:?}");
    assert_eq!(code, Some(0));
    let ended = sky(&fake, &["stop", "mine", "--yes"]).run();
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("mine stopped\n", "")
    );
}
