//! The tokens of Basilica: refresh and storage in a file.

use std::sync::Barrier;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use satellite_basilica::BasilicaClient;
use satellite_basilica::MockBasilica;
use satellite_core::Variables;

use serde_json::json;

use crate::basilica::count;
use crate::recorder;

#[test]
fn a_rejected_token_is_refreshed_once_for_sixteen_threads() {
    let mock = MockBasilica::start();
    let basilica = mock.renewing().build().unwrap();
    mock.end_token();
    let start = Barrier::new(16);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                start.wait();
                assert_eq!(basilica.executors().list_available().unwrap().len(), 3);
            });
        }
    });
    assert_eq!(mock.renewals(), 1);
    assert_eq!(count(&mock, "POST", "/oauth/token"), 1);
    mock.end_token(); // the refresh token was rotated: the next renewal shows the new one
    basilica.executors().list_available().unwrap();
    assert_eq!(mock.renewals(), 2);
}

#[test]
fn an_api_key_is_never_refreshed_and_an_expired_session_is_unauthorized() {
    let mock = MockBasilica::start();
    let key = mock.renewing().token("basilica_unknown").build().unwrap();
    assert!(
        key.executors()
            .list_available()
            .unwrap_err()
            .is_unauthorized()
    );
    let alone = mock.builder().token(mock.access_token()).build().unwrap();
    mock.end_token();
    assert!(
        alone
            .executors()
            .list_available()
            .unwrap_err()
            .is_unauthorized()
    );
    assert_eq!(count(&mock, "POST", "/oauth/token"), 0);

    let token = mock.refresh_token();
    let basilica = mock.renewing().build().unwrap();
    mock.end_session();
    let error = basilica.executors().list_available().unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert_eq!(error.server_type(), Some("invalid_grant"));
    assert!(!format!("{error:?} {basilica:?}").contains(&token));
    assert_eq!(count(&mock, "POST", "/oauth/token"), 1);
}

#[test]
fn without_an_access_token_the_first_call_starts_with_a_refresh() {
    let mock = MockBasilica::start();
    let basilica = mock.renewing().token("").build().unwrap();
    basilica.executors().list_available().unwrap();
    assert_eq!(mock.renewals(), 1);
    assert_eq!(
        count(&mock, "GET", "/executors"),
        1,
        "no call was made without a token"
    );
}

#[test]
fn a_token_file_is_private_replaced_by_rename_and_shared() {
    let mock = MockBasilica::start();
    let directory = tempdir();
    let path = directory.join("token.json");
    let client = || mock.renewing().token_file(&path).build().unwrap();
    let first = client();
    mock.end_token();
    first.executors().list_available().unwrap();
    assert_eq!(mock.renewals(), 1);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["access_token"], mock.access_token());
    assert_eq!(kept["refresh_token"], mock.refresh_token());
    assert!(kept["expires_at"].as_u64().unwrap() > 1_700_000_000);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let before = std::fs::metadata(&path).unwrap();
        assert_eq!(before.permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let second = client();
        mock.end_token();
        second.executors().list_available().unwrap();
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!(after.permissions().mode() & 0o777, 0o600);
        assert_ne!(before.ino(), after.ino(), "the file was replaced");
    }
    // The first client uses the tokens that the second has refreshed.
    let renewals = mock.renewals();
    first.executors().list_available().unwrap();
    assert_eq!(mock.renewals(), renewals);
    // Without a file and a refresh token the client cannot be built.
    let error = BasilicaClient::builder()
        .variables(Variables::from_lookup(|_| None))
        .url(mock.url())
        .auth0(mock.url(), "x")
        .token_file(directory.join("none"))
        .build()
        .unwrap_err();
    assert!(error.is_settings(), "{error}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_stored_token_is_refreshed_before_it_expires() {
    let mock = MockBasilica::start();
    let directory = tempdir();
    let path = directory.join("token.json");
    let keep = |expires_at: u64| {
        let kept = json!({
            "access_token": mock.access_token(),
            "refresh_token": mock.refresh_token(),
            "expires_at": expires_at,
        });
        std::fs::write(&path, kept.to_string()).unwrap();
        let client = mock.renewing().token_file(&path).build().unwrap();
        client.executors().list_available().unwrap();
        mock.renewals()
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(keep(now + 3600), 0);
    assert_eq!(keep(now + 30), 1);
    assert_eq!(keep(u64::MAX), 1);
    assert_eq!(count(&mock, "GET", "/executors"), 3, "none was refused");

    std::fs::write(&path, r#"{"access_token": "hush", "refresh_token": 7}"#).unwrap();
    let error = mock.renewing().token_file(&path).build().unwrap_err();
    assert!(error.to_string().contains("token.json"), "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn no_token_is_in_a_log_line() {
    recorder::record();
    let mock = MockBasilica::start();
    let basilica = mock.renewing().build().unwrap();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        tokens.extend([mock.access_token(), mock.refresh_token()]);
        mock.end_token();
        basilica.executors().list_available().unwrap();
    }
    mock.end_session();
    mock.end_token();
    tokens.extend([mock.access_token(), mock.refresh_token()]);
    assert!(basilica.executors().list_available().is_err());
    let lines = recorder::lines();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("refreshed the access token"))
    );
    for line in &lines {
        assert!(!tokens.iter().any(|token| line.contains(token)), "{line}");
    }
}

#[test]
fn clients_that_share_a_token_file_refresh_once() {
    let mock = MockBasilica::start();
    let directory = tempdir();
    let path = directory.join("token.json");
    mock.end_token();
    let maker = mock.renewing().token_file(&path).build().unwrap();
    maker.executors().list_available().unwrap();
    mock.end_token();
    let clients: Vec<_> = (0..8)
        .map(|_| mock.renewing().token_file(&path).build().unwrap())
        .collect();
    let start = &Barrier::new(8);
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || {
                start.wait();
                client.executors().list_available().unwrap();
            });
        }
    });
    assert_eq!(mock.renewals(), 2);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_client_is_built_from_the_environment() {
    let environment = |name: &str| match name {
        "BASILICA_API_URL" => Some("http://127.0.0.1:9/".to_owned()),
        "BASILICA_API_VERSION" => Some("deployments".to_owned()),
        "BASILICA_REFRESH_TOKEN" => Some("v1.secret".to_owned()),
        "BASILICA_AUTH0_ISSUER" => Some("https://login.example.com/".to_owned()),
        "BASILICA_AUTH0_CLIENT_ID" => Some("id".to_owned()),
        _ => None,
    };
    let from = |lookup: fn(&str) -> Option<String>| {
        BasilicaClient::builder()
            .variables(Variables::from_lookup(lookup))
            .build()
    };
    assert_eq!(from(environment).unwrap().url(), "http://127.0.0.1:9");
    let error = from(|name| match name {
        "BASILICA_API_VERSION" => Some("latest".to_owned()),
        "BASILICA_TOKEN_FILE" => Some("/nowhere".to_owned()),
        "BASILICA_AUTH0_DOMAIN" => Some("http://login.example.com".to_owned()),
        _ => None,
    });
    let text = error.unwrap_err().to_string();
    for name in [
        "API_VERSION",
        "AUTH0_CLIENT_ID",
        "AUTH0_DOMAIN: expected https",
    ] {
        assert!(text.contains(name), "{text}");
    }
}

fn tempdir() -> std::path::PathBuf {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let path = std::env::temp_dir().join(format!("basilica-{}-{nanos:x}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}
