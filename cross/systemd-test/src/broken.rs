//! A release that does not work: what it does wrong is appended to the file as `MODE:…`.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use std::{env, fs, process, thread};

fn main() {
    let program = fs::read("/proc/self/exe").unwrap_or_default();
    let program = String::from_utf8_lossy(&program);
    let mode = program.rsplit("MODE:").next().unwrap_or_default().trim();
    let command = env::args().nth(1).unwrap_or_default();
    match (command.as_str(), mode) {
        ("--version", "silent") => sleep(),
        ("--version", _) => println!("luml-satellite 9.9.9"),
        ("print-unit", "unit") => println!("[Service]\nExecStart=/nowhere"),
        ("print-unit", _) => {
            let unit = "/etc/systemd/system/luml-satellite.service";
            print!("{}", fs::read_to_string(unit).unwrap_or_default());
        }
        (_, "exit") => process::exit(1),
        (_, "settings") => process::exit(78),
        (_, "abort") => process::abort(),
        (_, "brief") => {
            let socket = env::var("NOTIFY_SOCKET").unwrap_or_default();
            let notified = UnixDatagram::unbound().and_then(|s| s.send_to(b"READY=1", socket));
            thread::sleep(Duration::from_secs(2));
            process::exit(if notified.is_ok() { 1 } else { 2 });
        }
        _ => sleep(),
    }
}

fn sleep() {
    thread::sleep(Duration::from_secs(3600));
}
