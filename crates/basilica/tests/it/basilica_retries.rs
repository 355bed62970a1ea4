//! Lost responses, retries, and the choice between the two APIs.

use satellite_basilica::MockBasilica;
use satellite_basilica::{ApiVersion, DeploymentConfig, PortMapping};
use satellite_core::ManualClock;
use satellite_serve::testing::Fault;

use crate::basilica::{config, count, quick};

#[test]
fn a_create_with_a_lost_response_is_sent_once_and_found() {
    for version in [ApiVersion::Rentals, ApiVersion::Deployments] {
        let mock = MockBasilica::speaking(version);
        let basilica = quick(&mock);
        let config = match version {
            ApiVersion::Rentals => config().build().unwrap(),
            _ => DeploymentConfig::builder()
                .image("nginx")
                .ports([PortMapping::tcp(80, 80)])
                .build()
                .unwrap(),
        };
        assert!(basilica.deployments().matching(&config).unwrap().is_empty());
        mock.fault("POST", "", Fault::DoneButNoAnswer);
        let error = basilica.deployments().deploy(&config).unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
        assert_eq!(count(&mock, "POST", ""), 1);
        let found = basilica.deployments().matching(&config).unwrap();
        assert_eq!(found.len(), 1);
        basilica.deployments().stop(&found[0].id).unwrap();
    }
}

#[test]
fn a_stop_with_a_lost_response_succeeds() {
    let mock = MockBasilica::start();
    let basilica = quick(&mock);
    let made = basilica
        .deployments()
        .deploy(&config().build().unwrap())
        .unwrap();
    mock.fault("DELETE", "", Fault::DoneButNoAnswer);
    basilica.deployments().stop(&made.id).unwrap();
    assert_eq!(count(&mock, "DELETE", ""), 2);
    assert!(
        basilica
            .deployments()
            .stop(&made.id)
            .unwrap_err()
            .is_not_found()
    );
}

#[test]
fn status_operation_and_body_determine_what_is_retried() {
    let mock = MockBasilica::start();
    let basilica = quick(&mock);
    // A failure behind the gateway: the outcome is unknown.
    let config = config().executor_id("executor-9").build().unwrap();
    let error = basilica.deployments().deploy(&config).unwrap_err();
    assert_eq!(error.server_type(), Some("BASILICA_API_OTHER_ERROR"));
    assert_eq!((error.status(), count(&mock, "POST", "")), (Some(500), 1));
    // A failure to fetch the keys is marked as final but is over soon.
    let short = mock.builder().max_retries(2).clock(ManualClock::default());
    let short = short.token(mock.access_token()).build().unwrap();
    mock.lose_keys(true);
    let error = short.executors().list_available().unwrap_err();
    assert!(error.is_retryable() && !error.is_unauthorized(), "{error}");
    assert_eq!(count(&mock, "GET", "/executors"), 3);
    assert!(
        short
            .deployments()
            .deploy(&config)
            .unwrap_err()
            .is_retryable()
    );
    // A 503 with the gateway's own error: nothing was done.
    assert_eq!(count(&mock, "POST", ""), 1 + 3);
    assert_eq!(
        short.health().unwrap().total_validators,
        2,
        "without a token"
    );
    assert!(
        mock.requests()
            .iter()
            .filter(|r| r.path == "/health")
            .all(|r| !r.authorization)
    );
    // An overload is retried, since nothing was done.
    assert!(
        basilica.executors().list_available().is_ok(),
        "API keys do not need the fetched keys"
    );
    mock.lose_keys(false);
    let before = count(&mock, "POST", "");
    mock.fault(
        "POST",
        "",
        Fault::RetryAfter {
            status: 429,
            seconds: 1,
        },
    );
    let config = self::config().build().unwrap();
    assert!(short.deployments().deploy(&config).is_ok());
    assert_eq!(count(&mock, "POST", ""), before + 2);
}

#[test]
fn a_403_or_404_does_not_switch_to_the_other_api() {
    let mock = MockBasilica::speaking(ApiVersion::Deployments);
    let basilica = mock
        .builder()
        .api_version(ApiVersion::Rentals)
        .build()
        .unwrap();
    let error = basilica.executors().list_available().unwrap_err();
    assert!(error.is_forbidden() && !error.is_not_found());
    assert!(
        error.to_string().contains("the other API version"),
        "{error}"
    );
    let all = mock.requests();
    assert_eq!(all.len(), 1, "nothing else was tried");
}
