//! States in a bucket.

pub use crate::fake_s3::Bucket;
use crate::fake_s3::Objects;
use crate::process::{Satellite, start};
use crate::state_child::{bare_command, counts, last_count, started_with};

fn on_host(bucket: &Bucket, host: &str, id: &str) -> Satellite {
    on_host_at(&bucket.endpoint(), host, id, &[])
}

/// On a host that reaches the bucket at this URL.
pub fn on_host_at(endpoint: &str, host: &str, id: &str, env: &[(&str, &str)]) -> Satellite {
    let mut command = bare_command();
    command
        .env("DORY_STATE_BACKEND", "s3")
        .env("DORY_STATE_S3_BUCKET", "states")
        .env("DORY_STATE_S3_PREFIX", "tests/")
        .env("DORY_STATE_S3_ENDPOINT", endpoint)
        .env("DORY_LEASE_SEC", "3")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1")
        .env("DORY_PROCESSOR_ID", id)
        .env("DORY_POD_NAME", host)
        .env("DORY_CHECKPOINT_SEC", "0.1")
        .env("DORY_LOG_LEVEL", "DEBUG")
        .envs(env.iter().copied());
    start(command)
}

/// An id that no previous run has used: a real server keeps its data.
pub fn id(name: &str) -> String {
    format!("{name}-{}", crate::state_child::now_ms())
}

#[test]
fn a_state_in_a_bucket_moves_from_host_to_host() {
    let bucket = Bucket::get();
    let id = id("moving");
    let mut first = on_host(&bucket, "host-a", &id);
    first.line("count 5");
    let mut second = on_host(&bucket, "host-b", &id);
    let restored = started_with(&mut second);
    let (status, _) = first.end();
    assert_eq!(status.code(), Some(0), "{:#?}", first.log);
    assert_eq!(
        restored,
        last_count(&first),
        "not one is lost or done twice"
    );
    second.line("count ");
    second.signal("KILL");
    second.end();

    // The host has failed: its lease has to expire.
    let mut third = on_host(&bucket, "host-c", &id);
    let restored = started_with(&mut third);
    assert!(restored >= last_count(&first));
    assert!(restored <= counts(&second).last().unwrap() + 1);
    third.line("count ");
    third.signal("TERM");
    assert_eq!(third.end().0.code(), Some(0));
    let output = [&first.log, &second.log, &third.log]
        .map(|log| log.join("\n"))
        .concat();
    assert!(
        !output.contains("X-Amz-Signature"),
        "no signature is logged"
    );
}

#[test]
fn a_missing_bucket_is_reported() {
    let bucket = Bucket::get();
    let mut command = bare_command();
    command
        .env("DORY_STATE_BACKEND", "s3")
        .env("DORY_STATE_S3_ENDPOINT", bucket.endpoint())
        .env_remove("AWS_ACCESS_KEY_ID");
    let mut process = start(command);
    assert_eq!(process.end().0.code(), Some(78));
    let output = process.log.join("\n");
    for name in [
        "DORY_STATE_S3_BUCKET",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ] {
        assert!(output.contains(name), "{name} is missing in {output}");
    }
}

#[test]
fn a_bucket_that_ignores_conditional_writes_is_rejected_before_it_is_used() {
    for (ignored, refuses) in [
        (Some("if-none-match"), false),
        (Some("if-match"), false),
        (None, true),
    ] {
        let (bucket, objects) = Bucket::of(Objects {
            ignored,
            refuses,
            ..Objects::default()
        });
        let mut process = on_host(&bucket, "host-a", "orders");
        assert_eq!(process.end().0.code(), Some(1), "{:#?}", process.log);
        let output = process.log.last().unwrap().to_lowercase();
        let condition = ignored.unwrap_or("if-none-match");
        let expected =
            format!("ignores {condition} on put, which is needed to prevent concurrent writers");
        assert!(output.contains(&expected), "{output}");
        assert!(
            objects.lock().unwrap().by_path.is_empty(),
            "nothing is left behind"
        );
    }
    // A suitable bucket is left just as clean.
    let (bucket, objects) = Bucket::of(Objects::default());
    let mut process = on_host(&bucket, "host-a", "orders");
    process.line("count ");
    let objects = objects.lock().unwrap();
    let names: Vec<_> = objects.by_path.keys().collect();
    assert!(
        names.iter().all(|name| !name.contains("probe")),
        "{names:?}"
    );
}
