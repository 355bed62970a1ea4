//! Applications under the sidecar whose pods are killed or cut off, whose folder does not fit, or
//! whose stored state is hostile.

use std::process::Command;

use satellite_state::Snapshot;

use crate::fake_kubernetes::FakeKubernetes;
use crate::relay::Relay;
use crate::sidecar_process::{Host, address, eventually, get, snapshots_follow, state_of};
use crate::sidecar_update::{
    NAMESPACE, NEW, NEWEST, OLD, Store, app, pod, python, shell, start_of,
};

#[test]
fn a_release_that_cannot_run_takes_nothing_over() {
    let store = Store::Kubernetes(FakeKubernetes::start());
    let (a, b) = (Host::new(), Host::new());
    let mut old = pod(&store, &a, OLD, &shell(), &[]);
    a.printed("count 5\n");
    let mut new = pod(&store, &b, NEW, &app(&["/no/such/program"]), &[]);
    assert_eq!(new.end().0.code(), Some(127));
    let seen = a.numbers("count").len() as u64;
    a.printed(&format!("count {}\n", seen + 10));
    assert_eq!(a.numbers("end"), [0_u64; 0]);
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0));
}

#[test]
fn a_killed_pod_is_continued_from_its_last_snapshot_when_its_lease_has_expired() {
    let store = Store::Kubernetes(FakeKubernetes::start());
    let (a, b) = (Host::new(), Host::new());
    let mut old = pod(&store, &a, OLD, &python(), &[]);
    a.printed("count 20\n");
    let address = address(&mut old);
    let counted = *a.numbers("count").last().unwrap();
    snapshots_follow(&address);
    old.signal("KILL");
    old.end();
    let mut new = pod(&store, &b, NEW, &python(), &[]);
    let start = start_of(&b);
    assert!(
        start >= counted,
        "{start}: not older than its last snapshots"
    );
    assert!(start <= *a.numbers("count").last().unwrap() + 1);
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0), "{:#?}", new.log);
}

/// Kills the old pod, the new one, or both, at different moments of an update.
#[test]
fn updates_in_which_pods_are_killed_never_go_back_behind_a_snapshot() {
    let store = Store::Kubernetes(FakeKubernetes::start());
    let hosts = [Host::new(), Host::new(), Host::new()];
    let names = [OLD, NEW, NEWEST];
    let revision = |n: usize| n.to_string();
    let start_pod = |n: usize, round: usize| {
        let env = [
            ("DORY_REVISION", revision(round)),
            ("DORY_LEASE_SEC", "2".to_owned()),
        ];
        let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
        pod(&store, &hosts[n], names[n], &python(), &env)
    };
    let mut running = start_pod(0, 1);
    let mut address_of_running = address(&mut running);
    for round in 0..6 {
        let (at, next) = (round % 3, (round + 1) % 3);
        eventually("it counts", || {
            let starts = hosts[at].numbers("start");
            (hosts[at].numbers("count").last() > starts.last()).then_some(())
        });
        let counted = *hosts[at].numbers("count").last().unwrap();
        snapshots_follow(&address_of_running);
        let mut new = start_pod(next, round + 2);
        std::thread::sleep(std::time::Duration::from_millis(90 * round as u64));
        if round % 3 != 1 {
            running.signal("KILL");
            running.end();
        }
        if round % 3 != 0 {
            new.signal("KILL");
            new.end();
        }
        let starts = hosts[next].numbers("start").len();
        if round % 3 != 0 {
            new = start_pod(next, round + 2);
        }
        address_of_running = address(&mut new);
        let log = &mut new;
        log.line("started python3");
        eventually("its start", || {
            (hosts[next].numbers("start").len() > starts).then_some(())
        });
        let start = *hosts[next].numbers("start").last().unwrap();
        assert!(start >= counted, "round {round}: {start} after {counted}");
        running = new;
    }
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0), "{:#?}", running.log);
}

fn cluster_of(store: &Store) -> &FakeKubernetes {
    match store {
        Store::Kubernetes(cluster) => cluster,
        Store::Server(..) | Store::Bucket(..) => panic!("this store is not a fake"),
    }
}

fn stored(store: &Store) -> Snapshot {
    let object = cluster_of(store).object("configmaps", NAMESPACE, "dory-state-my-app");
    let object = object.expect("something should be stored");
    let text = object["data"]["state"].as_str().unwrap().to_owned();
    Snapshot::from_document(text.as_bytes()).unwrap()
}

#[test]
fn an_application_is_paused_without_a_lease_and_killed_when_another_has_the_state() {
    let store = Store::Kubernetes(FakeKubernetes::start());
    let relay = Relay::start(&cluster_of(&store).address());
    let url = relay.url();
    let (a, b) = (Host::new(), Host::new());
    let cut_off = [("DORY_KUBERNETES_URL", url.as_str())];
    let mut old = pod(&store, &a, OLD, &python(), &cut_off);
    let old_address = address(&mut old);
    let line = old.line("started python3 as process");
    let app: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    a.printed("count 20\n");

    // Cut off for a while: it continues where it was.
    relay.hang(true);
    old.line("the application is paused");
    // A snapshot that is being saved meanwhile delays this no longer than the lease lasts.
    assert!(
        old.log
            .iter()
            .all(|line| !line.contains("saving the state"))
    );
    eventually("paused", || (state_of(app) == Some('T')).then_some(()));
    assert_eq!(get(&old_address, "/ready").0, 503);
    assert_eq!(get(&old_address, "/restored").0, 503);
    let counted = a.numbers("count").len();
    relay.hang(false);
    old.line("the application continues");
    eventually("it counts", || {
        (a.numbers("count").len() > counted + 5).then_some(())
    });

    // Cut off until another pod has taken the state.
    relay.hang(true);
    old.line("the application is paused");
    let mut new = pod(&store, &b, NEW, &python(), &[]);
    start_of(&b);
    b.printed("count ");
    assert_eq!(state_of(app), Some('T'), "only one of them acts");
    relay.hang(false);
    let (status, _) = old.end();
    assert_eq!(status.code(), Some(137), "{:#?}", old.log);
    assert_eq!(a.numbers("end"), [0_u64; 0], "it did nothing any more");
    assert_eq!(state_of(app), None);
    assert!(stored(&store).stamp.writer().starts_with(NEW));
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0), "{:#?}", new.log);
}

#[test]
fn a_folder_that_does_not_fit_into_a_config_map_is_reported_and_not_handed_over() {
    let store = Store::Kubernetes(FakeKubernetes::start());
    let (a, b) = (Host::new(), Host::new());
    let script = "head -c 2000000 /dev/urandom >$0/large; echo large; exec sleep 600";
    let large = app(&["/bin/sh", "-c", script]);
    let mut old = pod(&store, &a, OLD, &large, &[]);
    let address = address(&mut old);
    a.printed("large");
    let line = old.line("it cannot be saved");
    assert!(line.contains("too large for ConfigMap"), "{line}");
    assert!(line.contains("the limit is 1048576"), "{line}");
    let (status, body) = get(&address, "/ready");
    assert_eq!((status, body.contains("too large")), (503, true), "{body}");
    let mut new = pod(&store, &b, NEW, &shell(), &[]);
    old.line("it is not handed over while this process runs");
    assert_eq!(b.output(), "");
    // A pod that ends while it waits withdraws its request: it would be handed over to nobody.
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0));
    assert_eq!(claimed_by(&store), "");
    // The request of a pod that was killed expires.
    let mut killed = pod(&store, &b, NEWEST, &shell(), &[]);
    old.line("it is not handed over while this process runs");
    killed.signal("KILL");
    killed.end();
    eventually("its request expires", || {
        claimed_by(&store).is_empty().then_some(())
    });
    std::fs::remove_file(a.data().join("large")).unwrap();
    eventually("it fits again", || {
        (get(&address, "/ready").0 == 200).then_some(())
    });
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(143), "{:#?}", old.log);
    assert!(!old.log.iter().any(|line| line.contains("handing over")));
}

/// The process that asks for the state.
fn claimed_by(store: &Store) -> String {
    let lease = cluster_of(store).object("leases", NAMESPACE, "dory-state-my-app");
    let annotations = &lease.expect("there should be a lease")["metadata"]["annotations"];
    let by = annotations["dory.io/claimed-by"].as_str();
    by.unwrap_or_default().to_owned()
}

#[test]
fn hostile_entries_in_the_stored_state_start_no_application_and_write_nothing() {
    let store = Store::Kubernetes(FakeKubernetes::start());
    let (a, b) = (Host::new(), Host::new());
    let mut old = pod(&store, &a, OLD, &shell(), &[]);
    a.printed("count 5\n");
    old.signal("TERM");
    old.end();
    // An archive of `../evil`, made with `tar --transform` and sealed like any other state.
    let mut snapshot = stored(&store);
    let mut state: serde_json::Value = serde_json::from_slice(&snapshot.content.state).unwrap();
    state["archive"] = hostile_archive().into();
    snapshot.content.state = serde_json::to_vec(&state).unwrap();
    let document = String::from_utf8(snapshot.to_document()).unwrap();
    let object = serde_json::json!({ "data": { "state": document } });
    cluster_of(&store).put("configmaps", NAMESPACE, "dory-state-my-app", object);

    let mut new = pod(&store, &b, NEW, &shell(), &[]);
    assert_eq!(new.end().0.code(), Some(1), "{:#?}", new.log);
    let log = new.log.join("\n");
    assert!(
        log.contains("an entry that is refused: \"../evil\""),
        "{log}"
    );
    assert_eq!(b.output(), "");
    assert!(!b.path("evil").exists());
    let kept: serde_json::Value = serde_json::from_slice(&stored(&store).content.state).unwrap();
    assert_eq!(kept, state, "nothing is overwritten");
}

fn hostile_archive() -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evil"), "x").unwrap();
    let script = "tar -czP --transform 's,^,../,' evil | base64 -w0";
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_order_of_three_pods_is_kept_while_all_of_them_run() {
    let store = Store::Kubernetes(FakeKubernetes::start());
    let (a, b) = (Host::new(), Host::new());
    let mut old = pod(&store, &a, OLD, &shell(), &[]);
    a.printed("count 3\n");
    let mut new = pod(&store, &b, NEW, &shell(), &[]);
    start_of(&b);
    old.line("handed over to");
    // The container of the old pod restarts: it waits, and the new one is not disturbed.
    old.signal("KILL");
    old.end();
    let mut again = pod(&store, &a, OLD, &shell(), &[]);
    let address = address(&mut again);
    let seen = b.numbers("count").len() as u64;
    b.printed(&format!("count {}\n", start_of(&b) + seen + 20));
    assert_eq!(get(&address, "/ready").0, 503);
    assert_eq!(a.numbers("start").len(), 1);
    again.signal("TERM");
    assert_eq!(again.end().0.code(), Some(0));
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0));
}
