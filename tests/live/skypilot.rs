//! SkyPilot, as far as a server can be tested without a cloud.

use std::time::{Duration, Instant};

use satellite_sdk::compute::Ended;
use satellite_sdk::compute::skypilot::{
    Accelerators, CloudCredentials, Clusters, Exec, Launch, Refresh, RequestStatus, Resources, Task,
};
use satellite_sdk::serve::{Limits, Response, Server as Relay};

use crate::relay::forwarded;
use crate::server::{Server, client};
use crate::skypilot_jobs::{A10G, a_real_cluster, cancelling, endless, logs};

/// All tests that need no special server configuration.
#[test]
fn a_server_without_tokens() {
    let Some(server) = Server::start(false) else {
        return;
    };
    health(&server);
    clouds_and_prices(&server);
    a_real_cluster(&server);
    clusters(&server);
    a_dry_launch(&server);
    what_fails(&server);
    logs(&server);
    cancelling(&server);
    a_lost_response(&server);
    another_version(&server);
    an_invalid_token_is_rejected(&server);
}

#[test]
fn a_server_with_tokens() {
    let Some(server) = Server::start(true) else {
        return;
    };
    let token = server.token();
    let sky = server.client().token(token.as_str()).build().unwrap();
    assert!(sky.health().unwrap().service_account_token_enabled);
    assert!(sky.list_clusters().unwrap().is_empty());
    assert_eq!(
        sky.check(&["fluidstack"]).unwrap()["default"]["Fluidstack"],
        ["compute"]
    );

    let forged = format!("{}x", &token[..token.len() - 1]);
    let sky = server.client().token(forged.as_str()).build().unwrap();
    let error = sky.list_clusters().unwrap_err();
    assert!(
        error.is_unauthorized() && !error.to_string().contains(&forged),
        "{error}"
    );
}

fn an_invalid_token_is_rejected(server: &Server) {
    let sky = server.client().token("sky_of_nobody").build().unwrap();
    let error = sky.list_clusters().unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert!(
        error.server_message().unwrap().contains("disabled"),
        "{error}"
    );
}

fn health(server: &Server) {
    let health = server.client().build().unwrap().health().unwrap();
    assert!(health.is_healthy() && !health.service_account_token_enabled);
    assert_eq!(
        (health.api_version, health.version.as_str()),
        (62, "0.14.1")
    );
}

fn clouds_and_prices(server: &Server) {
    let sky = server.client().build().unwrap();
    assert_eq!(
        sky.check(&["fluidstack"]).unwrap()["default"]["Fluidstack"],
        ["compute"]
    );
    let clouds = sky.enabled_clouds().unwrap();
    assert!(clouds.contains(&"fluidstack".into()), "{clouds:?}");

    let offers = sky.accelerators(&Accelerators::new().name("a10g").cloud("fluidstack"));
    let offer = &offers.unwrap()["A10G"][0];
    assert_eq!(
        (offer.instance_type.as_deref(), offer.price),
        (Some("A10G::1"), Some(1.624))
    );

    let estimate = sky.estimate_cost(A10G, 24.0).unwrap();
    assert_eq!(estimate.provider, "Fluidstack");
    assert_eq!(estimate.region.as_deref(), Some("norway_4_eu"));
    assert_eq!(estimate.accelerators.as_deref(), Some("A10G:1"));
    assert!(
        estimate.is_exact && estimate.cost_per_hour == 1.624,
        "{estimate:?}"
    );
    assert!((estimate.total - 38.976).abs() < 1e-9, "{estimate:?}");

    let pair = Task::new().num_nodes(2).run("true");
    let pair = pair.resources(Resources::new().infra("fluidstack").accelerators("H100:2"));
    let estimate = sky.estimate_cost(pair.clone(), 1.0).unwrap();
    assert!(
        estimate.nodes == 2 && estimate.cost_per_hour == 11.96,
        "{estimate:?}"
    );

    sky.validate(A10G).unwrap();
    sky.validate(pair).unwrap();
    let error = sky
        .validate("resources: {accelerators: 'A10G:1', cloud: nowhere}\n")
        .unwrap_err();
    assert_eq!(
        error.server_type(),
        Some("InvalidSkyPilotConfigError"),
        "{error}"
    );
    assert!(error.is_invalid() && !error.is_retryable(), "{error}");
    assert!(sky.cost_per_hour("nobody").unwrap_err().is_not_found());
}

fn clusters(server: &Server) {
    let sky = server.client().build().unwrap();
    assert!(sky.list_clusters().unwrap().is_empty());
    assert!(
        sky.clusters(&Clusters::new().refresh(Refresh::Force))
            .unwrap()
            .is_empty()
    );
    let error = sky.status("nobody").unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(sky.request("0000").unwrap_err().is_not_found());
    assert!(sky.request_log("0000", true).unwrap_err().is_not_found());
}

fn a_dry_launch(server: &Server) {
    let sky = server.client().build().unwrap();
    let launch = Launch::new("dry", A10G)
        .dry_run(true)
        .env("MODEL", "a: \"b\"")
        .credentials(CloudCredentials::aws("AKIA-of-nobody", "not-to-be-shown"));
    let request = sky.launch(&launch).unwrap();
    let mut seen = Vec::new();
    let launched = request
        .wait_with(|record| seen.push(record.status.clone()))
        .unwrap();
    assert_eq!(launched.job_id, None);
    assert_eq!(seen.last(), Some(&RequestStatus::Succeeded));
    let record = request.record().unwrap();
    assert_eq!(record.name, "sky.launch");
    assert_eq!(record.cluster_name.as_deref(), Some("dry"));
    assert!(
        sky.requests("dry")
            .unwrap()
            .iter()
            .any(|r| r.request_id == request.id())
    );

    let mut log = request.log().unwrap();
    let lines: Vec<_> = log.by_ref().map(Result::unwrap).collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("Fluidstack (norway_4_eu)")),
        "{lines:?}"
    );
    assert!(!lines.concat().contains('\u{1b}') && !lines.concat().contains("sky-payload"));
    assert_eq!(log.ended(), Some(Ended::Complete));

    let gcp = Launch::new("dry", A10G).credentials(CloudCredentials::gcp("{}"));
    assert!(sky.launch(&gcp).unwrap_err().is_unsupported());
}

fn what_fails(server: &Server) {
    let sky = server.client().build().unwrap();
    let begun = Instant::now();
    let failures = [
        sky.terminate("nobody").unwrap().wait().unwrap_err(),
        sky.stop("nobody").unwrap().wait().unwrap_err(),
        sky.autostop("nobody", Some(5), false)
            .unwrap()
            .wait()
            .unwrap_err(),
        sky.cancel_all_jobs("nobody").unwrap().wait().unwrap_err(),
        sky.queue("nobody", false).unwrap_err(),
        sky.job_status("nobody", &[1]).unwrap_err(),
        sky.exec(&Exec::new("nobody", "true")).unwrap_err(),
    ];
    for error in failures {
        assert!(error.is_not_found() && !error.is_retryable(), "{error}");
        assert_eq!(error.server_type(), Some("ClusterDoesNotExist"));
    }
    let error = sky.start("nobody").unwrap().wait().unwrap_err();
    assert!(
        !error.is_retryable() && error.server_type().is_some(),
        "{error}"
    );
    let nothing = "resources:\n  cloud: fluidstack\n  accelerators: A10G:8\nrun: x\n";
    let error = sky.estimate_cost(nothing, 1.0).unwrap_err();
    assert_eq!(
        error.server_type(),
        Some("ResourcesUnavailableError"),
        "{error}"
    );
    assert!(
        error.is_out_of_capacity() && error.status().is_none(),
        "{error}"
    );
    let unclosed = Launch::new("unclosed", "run: [a\n");
    let error = sky.launch(&unclosed).unwrap().wait().unwrap_err();
    assert_eq!(error.server_type(), Some("ParserError"), "{error}");
    assert!(error.is_invalid() && error.status().is_none(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// The response to a launch is lost: the launch is found and not repeated.
fn a_lost_response(server: &Server) {
    let to = server.address();
    let relay = Relay::bind("127.0.0.1:0", Limits::default(), move |request| {
        let is_launch = request.path() == "/launch";
        let answer = forwarded(to, request, 62);
        Response::raw(if is_launch { Vec::new() } else { answer })
    })
    .unwrap();
    let sky = client(&format!("http://{}", relay.addr())).build().unwrap();
    let request = sky
        .launch(&Launch::new("lost", A10G).dry_run(true))
        .unwrap();
    request.wait().unwrap();
    let launches = sky.requests("lost").unwrap();
    assert_eq!(launches.len(), 1);
    assert_eq!(launches[0].request_id, request.id());
}

fn another_version(server: &Server) {
    let to = server.address();
    let relay = Relay::bind("127.0.0.1:0", Limits::default(), move |request| {
        Response::raw(forwarded(to, request, 10))
    })
    .unwrap();
    let sky = client(&format!("http://{}", relay.addr())).build().unwrap();
    let errors = [
        sky.health().map(drop).unwrap_err(),
        sky.list_clusters().map(drop).unwrap_err(),
        sky.launch(&endless()).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(
            error.is_version_mismatch() && !error.is_retryable(),
            "{error}"
        );
        assert!(error.to_string().contains("too old"), "{error}");
    }
}
