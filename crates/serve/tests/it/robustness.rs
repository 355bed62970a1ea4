//! Hostile clients and exhausted resources.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use satellite_serve::Limits;

use super::support::{HOST, connect, exchange, read_rest, server};

#[cfg(target_os = "linux")]
#[test]
fn hostile_connections_do_not_stop_the_server_or_leak_threads() {
    run_in_separate_process("robustness::hostile_connections", 4096);
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_survives_a_lack_of_file_descriptors() {
    run_in_separate_process("robustness::no_file_descriptors", 64);
}

/// Runs an ignored test in a separate process to count its threads, memory and files.
#[cfg(target_os = "linux")]
fn run_in_separate_process(test: &str, files: u32) {
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("ulimit -S -n {files}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}{stderr}"
    );
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by the_server_survives_a_lack_of_file_descriptors"]
fn no_file_descriptors() {
    let server = server(Limits {
        connections: 1000,
        ..Limits::default()
    });
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.addr()) {
        held.push(stream);
    }
    // More than the server can accept: accepting fails repeatedly.
    thread::sleep(Duration::from_millis(100));
    assert!(held.len() > 20, "{}", held.len());
    held.truncate(10);
    thread::sleep(Duration::from_millis(100));
    let request = format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
    assert!(exchange(&server, request).starts_with("HTTP/1.1 200"));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by hostile_connections_do_not_stop_the_server_or_leak_threads"]
fn hostile_connections() {
    let server = server(Limits {
        connections: 32,
        head_time: Duration::from_millis(500),
        ..Limits::default()
    });
    let answers = || {
        exchange(
            &server,
            format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
        )
        .starts_with("HTTP/1.1 200")
    };
    assert!(answers());
    let (threads, resident) = (process("Threads"), process("VmRSS"));

    let mut held = Vec::new();
    for n in 0..1000 {
        let mut stream = connect(server.addr());
        let sent: &[u8] = match n % 5 {
            0 => b"GET / HTTP/1.1\r\nHost: ",
            1 => b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
            2 => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc",
            3 => b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
            _ => b"",
        };
        let _ = stream.write_all(sent);
        if n % 7 != 0 {
            held.push(stream);
        }
        // Twice the limit: a thread frees its slot shortly before it ends.
        assert!(process("Threads") <= threads + 64);
        if n % 50 == 0 {
            assert!(answers(), "after {n}");
        }
    }
    for stream in &mut held {
        let _ = stream.write_all(b"a");
    }
    assert!(answers());
    drop(held);
    let begun = Instant::now();
    while process("Threads") > threads {
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{} threads",
            process("Threads")
        );
        thread::sleep(Duration::from_millis(10));
    }
    let grown = process("VmRSS").saturating_sub(resident);
    assert!(grown < 4 * 1024, "{grown} kB more than before");
    assert!(answers());
}

/// A value from /proc/self/status.
#[cfg(target_os = "linux")]
fn process(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Random bytes mixed with fragments of HTTP.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "POST /a HTTP/1.1\r\n",
            "Host: a\r\n",
            "\r\n",
            "\n",
            "\r",
            "0\r\n\r\n",
            "5\r\nhello\r\n",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Expect: 100-continue\r\n",
            " ",
            ":",
            "\0",
            "HTTP/1.0\r\n",
        ])
        .prop_map(|text: &str| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_get_a_response_or_a_close(bytes in hostile()) {
        let server = server(Limits::default());
        let mut stream = connect(server.addr());
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = read_rest(&mut stream);
        prop_assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "));
        prop_assert!(!answer.contains(" 500 "));
        let after = exchange(&server, format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"));
        prop_assert!(after.starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn the_response_does_not_depend_on_how_the_request_is_split(
        body in "[a-z]{1,40}",
        is_chunked in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let framed = if is_chunked {
            let (a, b) = body.split_at(body.len() / 2);
            let chunk = |part: &str| if part.is_empty() { String::new() } else { format!("{:x}\r\n{part}\r\n", part.len()) };
            format!("Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(a), chunk(b))
        } else {
            format!("Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let request = format!("POST /a HTTP/1.1\r\n{HOST}{framed}GET /b HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
        let server = server(Limits::default());
        let whole = exchange(&server, &request);
        prop_assert!(whole.contains(&body) && whole.ends_with("GET /b Some(0) "));

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(request.len())).collect();
        cuts.extend([0, request.len()]);
        cuts.sort_unstable();
        let mut stream = connect(server.addr());
        stream.set_nodelay(true).unwrap();
        for piece in cuts.windows(2) {
            stream.write_all(&request.as_bytes()[piece[0]..piece[1]]).unwrap();
            thread::sleep(Duration::from_micros(300));
        }
        prop_assert_eq!(read_rest(&mut stream), whole);
    }
}
