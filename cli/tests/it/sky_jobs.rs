//! `satellite sky`: commands, jobs and their logs.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use satellite_serve::Response;
use serde_json::{Value, json};

use crate::program::until;
use crate::sky::sky;
use crate::sky_launch::file;
use crate::skypilot_server::Fake;

/// A log that stays open after these lines.
fn open_log(text: &'static str) -> Response {
    struct Open(Option<&'static str>);
    impl Read for Open {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if let Some(text) = self.0.take() {
                out[..text.len()].copy_from_slice(text.as_bytes());
                return Ok(text.len());
            }
            // A heartbeat, as from the real server; it ends with the connection.
            std::thread::sleep(std::time::Duration::from_millis(50));
            let beat = b"<sky-payload type=\"heartbeat\">\"\"</sky-payload>\n";
            out[..beat.len()].copy_from_slice(beat);
            Ok(beat.len())
        }
    }
    Response::new(200).reader(Open(Some(text)), None)
}

/// The log of a job that runs the script of its request, as a cluster does.
struct Job {
    script: Arc<Mutex<Receiver<Value>>>,
    child: Option<Child>,
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Read for Job {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.child.is_none() {
            let task = self.script.lock().unwrap().recv().unwrap();
            let task: Value = serde_json::from_str(task.as_str().unwrap()).unwrap();
            let mut command = Command::new("bash");
            command.arg("-c").arg(task["run"].as_str().unwrap());
            for (name, value) in task["envs"].as_object().into_iter().flatten() {
                command.env(name, value.as_str().unwrap());
            }
            self.child = Some(command.stdout(Stdio::piped()).spawn().unwrap());
        }
        let child = self.child.as_mut().unwrap();
        child.stdout.as_mut().unwrap().read(out)
    }
}

/// A server on whose cluster commands really run. The returned function gives the next
/// log its script, once the command was submitted.
fn cluster(fake: &Fake) -> impl Fn(usize) + '_ {
    let (send, receive) = channel();
    let script = Arc::new(Mutex::new(receive));
    fake.returns("/exec", json!({ "job_id": 5 }));
    fake.streams(move || {
        let script = Arc::clone(&script);
        Response::new(200).reader(
            Job {
                script,
                child: None,
            },
            None,
        )
    });
    move |n| {
        until("the command is submitted", || {
            fake.calls("POST /exec").len() > n
        });
        send.send(fake.calls("POST /exec")[n].body["task"].clone())
            .unwrap();
    }
}

#[test]
fn exec_prints_while_the_command_runs_and_passes_its_exit_code_on() {
    let fake = Fake::start();
    let runs = cluster(&fake);
    let go = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("exec-go");
    let _ = std::fs::remove_file(&go);
    let command = format!(
        "echo $WHO; while [ ! -e {} ]; do sleep 0.02; done; echo no >&2; exit 7",
        go.display()
    );
    let mut running = sky(&fake, &["exec", "mine", &command, "--env", "WHO=it's é"]).start();
    runs(0);
    assert_eq!(running.line(), "it's é");
    std::fs::write(&go, "").unwrap(); // what follows was not printed before
    let ended = running.wait();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(7), ""),
        "{ended:?}"
    );
    assert_eq!(ended.stderr, "no\n");
    std::fs::remove_file(go).unwrap();
}

#[test]
fn exec_prints_json_with_both_streams() {
    let fake = Fake::start();
    let runs = cluster(&fake);
    let arguments = ["exec", "mine", "--json", "--timeout", "10m", "--"];
    let command = ["printf 'a\\nb'; echo c >&2; exit 3"];
    let running = sky(&fake, &[&arguments[..], &command[..]].concat()).start();
    runs(0);
    let ended = running.wait();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let expected = json!({
        "cluster": "mine", "job_id": 5, "exit_code": 3, "stdout": "a\nb", "stderr": "c\n",
    });
    assert_eq!(document, expected);
}

#[test]
fn exec_exits_with_125_if_the_command_was_not_run() {
    let fake = Fake::start();
    fake.fails(
        "/exec",
        "ClusterDoesNotExist",
        "Cluster 'nobody' does not exist.",
    );
    let ended = sky(&fake, &["exec", "nobody", "true"]).run();
    assert_eq!(ended.code, Some(125), "{ended:?}");
    assert!(
        ended.stderr.contains("Cluster 'nobody' does not exist."),
        "{ended:?}"
    );
    let wrong = sky(&fake, &["exec", "nobody", "true", "--timeout", "soon"]).run();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

#[test]
fn ctrl_c_in_exec_leaves_the_job_running_and_names_it() {
    let fake = Fake::start();
    fake.returns("/exec", json!({ "job_id": 5 }));
    fake.streams(|| open_log("(exec, pid=7) begins\n"));
    let running = sky(&fake, &["exec", "mine", "sleep", "600"]).start();
    until("the log is opened", || !fake.calls("POST /logs").is_empty());
    running.interrupt();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "interrupted: job 5 on mine goes on; `satellite sky logs mine 5 -f` follows it and \
         `satellite sky cancel mine 5` ends it\n"
    );
    assert!(fake.calls("POST /cancel").is_empty());
}

#[test]
fn exec_runs_a_file_or_a_command_with_resources_as_a_job() {
    let fake = Fake::start();
    fake.returns("/exec", json!({ "job_id": 6 }));
    fake.ends("/logs", "SUCCEEDED", json!(100), Value::Null, 0);
    fake.streams(|| Response::text(200, "(task, pid=7) failing\n"));
    let path = file("exec.yaml", "run: exit 3\n");
    let ended = sky(&fake, &["exec", "mine", &path]).run();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(100), "(task, pid=7) failing\n")
    );
    let detached = [
        "exec", "mine", "-d", "--gpus", "A10G:1", "--", "python", "-V",
    ];
    assert_eq!(sky(&fake, &detached).ok(), "job 6 runs on mine\n");
    let sent = fake.calls("POST /exec");
    assert_eq!(sent[0].body["task"], "run: exit 3\n");
    assert_eq!(
        sent[1].body["task"],
        "{\"run\": \"python -V\", \"resources\": {\"accelerators\": \"A10G:1\"}}\n"
    );
    assert_eq!(sky(&fake, &detached).json()["job_id"], 6);
}

#[test]
fn logs_are_printed_and_followed_with_the_exit_code_of_the_job() {
    let fake = Fake::start();
    fake.ends("/logs", "SUCCEEDED", json!(103), Value::Null, 0);
    fake.streams(|| {
        Response::text(
            200,
            "(task, pid=7) one\n\u{1b}[32m(task, pid=7)\u{1b}[0m two\n",
        )
    });
    let text = "(task, pid=7) one\n(task, pid=7) two\n";
    assert_eq!(sky(&fake, &["logs", "mine", "--tail", "10"]).ok(), text);
    let ended = sky(&fake, &["logs", "mine", "3", "-f"]).run();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(103), text),
        "{ended:?}"
    );
    let sent = fake.calls("POST /logs");
    assert_eq!(
        (&sent[0].body["tail"], &sent[0].body["job_id"]),
        (&json!(10), &Value::Null)
    );
    assert_eq!(
        (&sent[1].body["follow"], &sent[1].body["job_id"]),
        (&json!(true), &json!(3))
    );
    let lines = sky(&fake, &["logs", "mine", "--json"]).ok();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first, json!({ "line": "(task, pid=7) one" }));

    fake.fails(
        "/logs",
        "ClusterDoesNotExist",
        "Cluster 'nobody' does not exist.",
    );
    let ended = sky(&fake, &["logs", "nobody"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("Cluster 'nobody' does not exist."),
        "{ended:?}"
    );
}

#[test]
fn ctrl_c_in_a_log_leaves_the_job_running() {
    let fake = Fake::start();
    fake.streams(|| open_log("(task, pid=7) one\n"));
    let mut running = sky(&fake, &["logs", "mine", "3", "-f"]).start();
    assert_eq!(running.line(), "(task, pid=7) one");
    running.interrupt();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "interrupted: the job goes on; `satellite sky logs mine 3 -f` follows it again\n"
    );
}

#[test]
fn the_status_of_a_job_is_also_an_exit_code() {
    let fake = Fake::start();
    for (status, code) in [
        ("SUCCEEDED", 0),
        ("FAILED_SETUP", 100),
        ("RUNNING", 101),
        ("CANCELLED", 103),
    ] {
        fake.returns("/job_status", json!({ "3": status }));
        let ended = sky(&fake, &["logs", "mine", "3", "--status"]).run();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stdout, format!("job 3: {status}\n"));
    }
    fake.returns("/job_status", json!({ "9": null }));
    let ended = sky(&fake, &["logs", "mine", "9", "--status"]).run();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("job 9 does not exist on mine"),
        "{ended:?}"
    );
}

#[test]
fn the_queue_lists_jobs_of_one_cluster_or_of_all() {
    let fake = Fake::start();
    let jobs = json!([
        {
            "job_id": 2, "job_name": "train", "status": "RUNNING", "username": "ada",
            "submitted_at": 1, "start_at": 2, "end_at": null, "resources": "1x[A10G:1]",
        },
        {
            "job_id": 1, "job_name": null, "status": "SUCCEEDED", "username": "ada",
            "submitted_at": 1, "start_at": 60, "end_at": 125.5, "resources": "1x[CPU:1]",
        },
    ]);
    fake.returns("/queue", jobs);
    let table = sky(&fake, &["queue", "mine"]).ok();
    let rows = crate::program::cells(&table);
    assert_eq!(rows[0][..4], ["CLUSTER", "JOB", "NAME", "USER"]);
    assert_eq!(rows[1][..4], ["mine", "2", "train", "ada"]);
    assert_eq!(rows[1][7..], ["1x[A10G:1]", "RUNNING"]);
    assert_eq!(rows[2][6..], ["1m 5s", "1x[CPU:1]", "SUCCEEDED"]);
    let documents = sky(&fake, &["queue", "mine", "-s", "-u"]).json();
    assert_eq!(
        documents.as_array().unwrap().len(),
        1,
        "finished jobs are skipped"
    );
    assert_eq!(documents[0]["started_at"], 2.0);
    assert_eq!(fake.calls("POST /queue")[1].body["all_users"], true);

    let clusters = json!([{ "name": "a", "status": "UP" }, { "name": "b", "status": "STOPPED" }]);
    fake.returns("/status", clusters);
    let documents = sky(&fake, &["queue"]).json();
    assert!(
        documents
            .as_array()
            .unwrap()
            .iter()
            .all(|job| job["cluster"] == "a"),
        "{documents}"
    );
}

#[test]
fn jobs_are_cancelled_by_number_or_all() {
    let fake = Fake::start();
    let printed = sky(&fake, &["cancel", "mine", "3", "4", "-y"]).ok();
    assert_eq!(printed, "jobs 3, 4 on mine cancelled\n");
    let document = sky(&fake, &["cancel", "mine", "--all", "-y"]).json();
    assert_eq!(document, json!({ "cluster": "mine", "cancelled": "all" }));
    let sent = fake.calls("POST /cancel");
    assert_eq!(sent[0].body["job_ids"], json!([3, 4]));
    assert_eq!(
        (&sent[1].body["job_ids"], &sent[1].body["all"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(sky(&fake, &["cancel", "mine", "-y"]).run().code, Some(2));
    assert_eq!(fake.calls("POST /cancel").len(), 2);
}
