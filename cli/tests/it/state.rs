//! `satellite state` on a folder, a ConfigMap and a bucket, with and without a process that
//! holds the state.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fake_kubernetes::FakeKubernetes;
use crate::fake_s3::Bucket;
use crate::sidecar_process::{Host, eventually, shell, sidecar, with_folder};

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// A store, and how a command finds it.
struct Store {
    env: Vec<(&'static str, String)>,
    _server: Box<dyn std::any::Any>,
}

impl Store {
    fn folder(folder: &Path) -> Self {
        Store {
            env: vec![
                ("DORY_STATE_BACKEND", "local".into()),
                ("DORY_STATE_DIR", folder.display().to_string()),
            ],
            _server: Box::new(()),
        }
    }

    fn config_map() -> Self {
        let cluster = FakeKubernetes::start();
        let account = cluster.account().display().to_string();
        Store {
            env: vec![
                ("DORY_STATE_BACKEND", "configmap".into()),
                ("DORY_KUBERNETES_URL", cluster.url()),
                ("DORY_KUBERNETES_ACCOUNT", account),
                ("DORY_POD_NAMESPACE", "shop".into()),
                ("DORY_LEASE_SEC", "2".into()),
            ],
            _server: Box::new(cluster),
        }
    }

    fn bucket() -> Self {
        let bucket = Bucket::get();
        Store {
            env: vec![
                ("DORY_STATE_BACKEND", "s3".into()),
                ("DORY_STATE_S3_BUCKET", "states".into()),
                ("DORY_STATE_S3_ENDPOINT", bucket.endpoint()),
                ("DORY_POD_NAMESPACE", "shop".into()),
                ("AWS_ACCESS_KEY_ID", "key".into()),
                ("AWS_SECRET_ACCESS_KEY", "very-secret".into()),
                ("DORY_LEASE_SEC", "2".into()),
            ],
            _server: Box::new(bucket),
        }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = crate::program::satellite();
        command
            .arg("state")
            .args(arguments)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(input.as_bytes()); // not all commands read it
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!ran.stderr.contains("very-secret"), "{ran:?}");
        assert!(!ran.stderr.contains("first-token"), "{ran:?}");
        ran
    }

    /// A processor that holds the state until it is stopped.
    fn holder(&self, host: &Host, id: &str) -> crate::process::Satellite {
        let mut command = sidecar();
        command
            .arg("--state-dir")
            .arg(host.data())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("DORY_PROCESSOR_ID", id)
            .env("D", host.data());
        host.start(shell(
            command,
            "echo start $(cat $D/n 2>/dev/null || echo 0); trap 'exit 0' TERM; \
             while :; do sleep 0.05; done",
        ))
    }
}

fn unique(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{name}-{}", now.unwrap().as_nanos()) // a real server keeps its data
}

fn stores(folder: &Host) -> [Store; 3] {
    [
        Store::folder(&folder.path("store")),
        Store::config_map(),
        Store::bucket(),
    ]
}

#[test]
fn a_state_is_put_printed_exported_and_listed_in_every_store() {
    let folder = Host::new();
    for store in stores(&folder) {
        let id = unique("orders");
        let absent = store.run(&["get", &id], "");
        assert_eq!((absent.code, absent.stdout.as_str()), (3, ""), "{absent:?}");
        assert!(absent.stderr.contains(&format!("no state of {id}")));

        let put = store
            .run(&["put", &id, "-", "--json"], " {\"count\": 17}\n")
            .ok();
        assert_eq!(put.json(), json!({ "processor": id, "generation": 1 }));
        let get = store.run(&["get", &id], "").ok();
        assert_eq!(get.json(), json!({ "count": 17 }));
        assert!(
            get.stderr.starts_with("generation 1 of epoch 1, saved 20"),
            "{get:?}"
        );

        let file = folder.path("new.json");
        std::fs::write(&file, "{\"count\":18.50,\"name\":\"Zo\\u00eb\"}").unwrap();
        let file = file.display().to_string();
        store.run(&["put", &id, &file, "--schema", "2"], "").ok();
        let document = store.run(&["get", &id, "--json"], "").ok().json();
        assert_eq!(document["generation"], 2);
        assert_eq!(document["schema"], 2);
        assert_eq!(document["state"]["count"], 18.5);
        assert_eq!(document.get("holder"), None);
        assert!(document["writer"].as_str().unwrap().starts_with("editor/"));

        // Plain JSON, exactly as it was put.
        let exact = "{\"count\":18.50,\"name\":\"Zo\\u00eb\"}\n";
        assert_eq!(store.run(&["export", &id], "").ok().stdout, exact);
        let exported = folder.path("exported.json");
        let path = exported.display().to_string();
        store.run(&["export", &id, "-o", &path], "").ok();
        assert_eq!(std::fs::read_to_string(&exported).unwrap(), exact);

        let table = store.run(&["history", &id], "").ok().stdout;
        assert!(table.starts_with("GENERATION  EPOCH  SAVED "), "{table}");
        let rows = store.run(&["history", &id, "--json"], "").ok().json();
        assert_eq!(rows[0]["generation"], 2);
        assert_eq!(rows[0]["epoch"], 2);
        assert_eq!(rows[0]["bytes"], exact.len() as u64 - 1);
    }
}

#[test]
fn a_state_that_a_process_holds_is_not_replaced() {
    let folder = Host::new();
    for store in stores(&folder) {
        let (host, id) = (Host::new(), unique("held"));
        let mut holder = store.holder(&host, &id);
        host.printed("start 0");
        let before = store.run(&["history", &id, "--json"], "").ok().json();
        assert!(before[0]["holder"].is_string(), "{before}");
        for arguments in [&["put", &id, "-"][..], &["put", &id, "-", "--wait", "3"]] {
            let refused = store.run(arguments, "{}");
            assert_eq!(refused.code, 4, "{refused:?}");
            assert!(refused.stderr.contains("holds the state of"), "{refused:?}");
            assert!(refused.stderr.contains("--ask"), "{refused:?}");
        }
        let after = store.run(&["history", &id, "--json"], "").ok().json();
        assert_eq!(after[0]["epoch"], before[0]["epoch"]);
        holder.signal("TERM");
        assert_eq!(holder.end().0.code(), Some(0), "{:#?}", holder.log);
    }
}

#[test]
fn a_holder_that_is_asked_hands_over_and_starts_again_with_the_new_state() {
    let folder = Host::new();
    for store in stores(&folder) {
        let (host, id) = (Host::new(), unique("asked"));
        std::fs::create_dir(host.data()).unwrap();
        std::fs::write(host.data().join("n"), "1").unwrap();
        let mut holder = store.holder(&host, &id);
        host.printed("start 1");
        let exported = store.run(&["export", &id], "").ok().stdout;
        std::fs::write(host.data().join("n"), "2").unwrap();
        // The older state is put back, in the folder where it was made as well.
        store.run(&["put", &id, "-", "--ask"], &exported).ok();
        holder.line("handed over to editor/");
        assert_eq!(holder.end().0.code(), Some(0), "{:#?}", holder.log);
        let mut holder = store.holder(&host, &id);
        eventually("its second start", || {
            (host.numbers("start").len() == 2).then_some(())
        });
        assert_eq!(host.numbers("start"), [1, 1], "{:#?}", holder.log);
        holder.signal("TERM");
        holder.end();
    }
}

#[test]
fn the_state_of_a_dead_holder_is_replaced_when_its_lease_has_expired() {
    let store = Store::config_map();
    let (host, id) = (Host::new(), unique("dead"));
    let mut holder = store.holder(&host, &id);
    host.printed("start 0");
    holder.signal("KILL");
    holder.end();
    assert_eq!(store.run(&["put", &id, "-"], "{}").code, 4);
    store
        .run(&["put", &id, "-", "--wait", "30"], "{\"n\":1}")
        .ok();
    assert_eq!(store.run(&["get", &id], "").ok().json(), json!({ "n": 1 }));
}

#[test]
fn an_older_generation_of_a_folder_is_restored() {
    let folder = Host::new();
    let store = Store::folder(&folder.path("store"));
    for n in 1..=3 {
        store
            .run(&["put", "orders", "-"], &format!("{{\"n\":{n}}}"))
            .ok();
    }
    let older = store.run(&["get", "orders", "--generation", "2"], "").ok();
    assert_eq!(older.json(), json!({ "n": 2 }));
    store.run(&["restore", "orders", "2"], "").ok();
    assert_eq!(
        store.run(&["get", "orders"], "").ok().json(),
        json!({ "n": 2 })
    );
    let rows = store.run(&["history", "orders", "--json"], "").ok().json();
    let generation = |row: &Value| row["generation"].as_u64().unwrap();
    let numbers: Vec<u64> = rows.as_array().unwrap().iter().map(generation).collect();
    assert_eq!(numbers, [4, 3, 2]);
    let absent = store.run(&["restore", "orders", "1"], "");
    assert_eq!(absent.code, 3);
    assert!(absent.stderr.contains("stored are: 4, 3, 2"), "{absent:?}");
}

#[test]
fn a_put_may_depend_on_the_newest_generation() {
    let folder = Host::new();
    for store in stores(&folder) {
        let id = unique("orders");
        store
            .run(&["put", &id, "-", "--if-generation", "0"], "1")
            .ok();
        store
            .run(&["put", &id, "-", "--if-generation", "1"], "2")
            .ok();
        let refused = store.run(&["put", &id, "-", "--if-generation", "1"], "3");
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.stderr.contains("generation 2 is the newest"),
            "{refused:?}"
        );
        assert_eq!(store.run(&["get", &id], "").ok().json(), json!(2));
        store
            .run(&["put", &id, "-", "--if-generation", "2"], "3")
            .ok();
    }
}

#[test]
fn a_damaged_state_is_reported_and_replaced_only_by_a_put() {
    let folder = Host::new();
    let store = Store::folder(&folder.path("store"));
    for n in 1..=2 {
        store.run(&["put", "orders", "-"], &n.to_string()).ok();
    }
    let newest = folder.path("store/orders/00000000000000000002.state");
    let mut document = std::fs::read(&newest).unwrap();
    *document.last_mut().unwrap() ^= 1;
    std::fs::write(&newest, document).unwrap();
    let damaged = store.run(&["get", "orders"], "");
    assert_eq!(damaged.code, 1);
    assert!(damaged.stderr.contains("checksum"), "{damaged:?}");
    let table = store.run(&["history", "orders"], "").ok().stdout;
    assert!(table.contains("damaged"), "{table}");
    let older = store.run(&["get", "orders", "--generation", "1"], "").ok();
    assert_eq!(older.json(), json!(1));
    store.run(&["put", "orders", "-"], "3").ok();
    assert_eq!(store.run(&["get", "orders"], "").ok().json(), json!(3));
}

#[test]
fn what_is_not_json_and_what_is_too_large_is_rejected_and_changes_nothing() {
    let store = Store::config_map();
    store.run(&["put", "orders", "-"], "1").ok();
    let wrong = store.run(&["put", "orders", "-"], "{\"count\":");
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("is not JSON"), "{wrong:?}");
    // Letters that cannot be compressed to 1 MiB.
    let mut noise = String::from("\"");
    let mut seed = 1_u64;
    while noise.len() < 2_000_000 {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        noise.push(char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                [(seed >> 58) as usize],
        ));
    }
    noise.push('"');
    let large = store.run(&["put", "orders", "-"], &noise);
    assert_eq!(large.code, 1);
    assert!(
        large.stderr.contains("the limit is 1048576"),
        "{}",
        large.stderr
    );
    assert_eq!(store.run(&["get", "orders"], "").ok().json(), json!(1));
    store.run(&["put", "orders", "-"], "2").ok(); // it was released
}

#[test]
fn wrong_settings_are_reported_without_secrets() {
    let mut command = crate::program::satellite();
    command
        .args(["state", "get", "orders", "--s3"])
        .env_remove("DORY_STATE_S3_BUCKET")
        .env_remove("AWS_ACCESS_KEY_ID")
        .env("AWS_SECRET_ACCESS_KEY", "very-secret");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("DORY_STATE_S3_BUCKET") && text.contains("AWS_ACCESS_KEY_ID"));
    assert!(!text.contains("very-secret"));

    let store = Store::folder(Path::new("/nowhere"));
    assert_eq!(store.run(&["get", "../etc"], "").code, 1);
    let outside = store.run(&["get", "orders", "--configmap"], "");
    assert_eq!(outside.code, 78);
    assert!(outside.stderr.contains("kubectl proxy"), "{outside:?}");
    assert_eq!(store.run(&["get"], "").code, 2, "usage");
}

#[test]
fn the_files_of_a_sidecar_are_exported() {
    let (store, host, out) = (Host::new(), Host::new(), Host::new());
    let script = "mkdir $D/deep; echo content >$D/deep/file";
    let mut command = shell(with_folder(&store.path("store"), &host.data()), script);
    command.env("D", host.data());
    assert_eq!(host.start(command).end().0.code(), Some(0));
    let state = Store::folder(&store.path("store"));
    let folder = out.path("files").display().to_string();
    let export = ["export", "app", "--files", &folder];
    let exported = state.run(&export, "").ok();
    assert!(exported.stderr.contains("wrote 1 files"), "{exported:?}");
    let file = out.path("files/deep/file");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "content\n");
    let again = state.run(&export, "");
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("is not empty"), "{again:?}");
}
