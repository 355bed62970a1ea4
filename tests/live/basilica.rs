//! Tests the official Python client of Basilica against the mock of the newer service.

use satellite_sdk::compute::basilica::ApiVersion;
use satellite_sdk::testing::MockBasilica;

use crate::python;

#[test]
fn the_official_client_deploys_waits_and_manages_its_account() {
    if !python::is_enabled() {
        return;
    }
    let mock = MockBasilica::speaking(ApiVersion::Deployments);
    let key = mock.client_key();
    python::run("basilica.py", "basilica-sdk==0.36.8", &[&mock.url(), &key]);
    assert!(
        mock.deployed().is_empty(),
        "it deleted what it had deployed"
    );
    let paths: Vec<_> = mock.requests().into_iter().map(|r| r.path).collect();
    assert!(
        paths.iter().any(|path| path.starts_with("/apps/")),
        "{paths:?}"
    );
    let refused: Vec<_> = mock
        .requests()
        .into_iter()
        .filter(|r| r.status == 403 || r.status == 405)
        .collect();
    assert!(
        refused.is_empty(),
        "routes that the mock lacks: {refused:?}"
    );
}
