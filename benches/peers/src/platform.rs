//! A minimal platform on loopback: responds to polls with `[]` or with tasks, accepts every
//! status, and counts. Prints its port, then serves until its standard input ends.
//!
//! The measuring script sends control requests, which are not counted: `GET /control/stats` and
//! `POST /control/tasks?n=N`.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Maximum number of tasks in a poll's response.
const TASKS_PER_POLL: usize = 50;

#[derive(Default)]
struct State {
    connections: u64,
    requests: u64,
    polls: u64,
    done: u64,
    first_poll_ns: u128,
    last_done_ns: u128,
    pending: VecDeque<u64>,
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let state: Arc<Mutex<State>> = Arc::default();
    for stream in listener.incoming().flatten() {
        let state = Arc::clone(&state);
        thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || serve(stream, &state))?;
    }
    Ok(())
}

/// Serves one connection to its end. Errors of the client are ignored.
fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut counted = false;
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let (head, body) = receive(&mut stream, &mut bytes)?;
        let request = std::str::from_utf8(&bytes[..head]).ok()?;
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let answer = {
            let mut state = state.lock().ok()?;
            if !path.starts_with("/control/") {
                state.requests += 1;
                state.connections += u64::from(!std::mem::replace(&mut counted, true));
            }
            state.answer(method, path, &bytes[head..head + body])
        };
        bytes.drain(..head + body);
        let (status, body) = match &answer {
            Some(body) => ("200 OK", body.as_str()),
            None => ("404 Not Found", r#"{"detail":"Not Found"}"#),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// The lengths of head and body of the request at the start of `bytes`.
fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(usize, usize)> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).ok()?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let wanted = name.eq_ignore_ascii_case("content-length");
                wanted.then(|| value.trim().parse().ok())?
            });
            let (head, body) = (end + 4, length.unwrap_or(0));
            if bytes.len() >= head + body {
                return Some((head, body));
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

impl State {
    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> Option<String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match (method, path) {
            ("GET", "/satellites/v1/tasks") => {
                self.polls += 1;
                if self.polls == 1 {
                    self.first_poll_ns = now();
                }
                let tasks = self.pending.iter().take(TASKS_PER_POLL);
                let tasks: Vec<String> = tasks.map(|id| task(*id, "pending")).collect();
                Some(format!("[{}]", tasks.join(",")))
            }
            ("POST", "/control/tasks") => {
                let n: u64 = query.strip_prefix("n=")?.parse().ok()?;
                self.pending.extend(1..=n);
                Some("{}".to_owned())
            }
            ("GET", "/control/stats") => Some(format!(
                r#"{{"connections":{},"requests":{},"polls":{},"done":{},"first_poll_ns":{},"last_done_ns":{}}}"#,
                self.connections,
                self.requests,
                self.polls,
                self.done,
                self.first_poll_ns,
                self.last_done_ns
            )),
            ("POST", _) => {
                let id = path.strip_prefix("/satellites/v1/tasks/")?;
                let id: u64 = id
                    .strip_suffix("/status")?
                    .strip_prefix("task-")?
                    .parse()
                    .ok()?;
                let status = match body {
                    body if contains(body, b"\"running\"") => "running",
                    body if contains(body, b"\"done\"") => "done",
                    _ => return None,
                };
                if status == "running" {
                    self.pending.retain(|pending| *pending != id);
                } else {
                    self.done += 1;
                    self.last_done_ns = now();
                }
                Some(task(id, status))
            }
            _ => None,
        }
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

/// A task with the fields that the platform sends.
fn task(id: u64, status: &str) -> String {
    format!(
        r#"{{"id":"task-{id}","satellite_id":"0198c0de-0000-7000-8000-000000000001","orbit_id":"0198c0de-0000-7000-8000-000000000002","type":"echo","payload":{{"n":{id},"text":"text to return"}},"status":"{status}","result":{{}},"scheduled_at":"2026-08-01T00:00:00Z","started_at":null,"finished_at":null,"created_at":"2026-08-01T00:00:00.{id:06}Z","updated_at":"2026-08-01T00:00:00Z"}}"#
    )
}

fn now() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_nanos()
}
