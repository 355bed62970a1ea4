//! `--stay`: the demo keeps running, so that there is something to look at.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::{Builder, Result};

/// The port of a satellite's page, if it is free.
const PORT: u16 = 8080;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(120);

/// After this time the inputs change, as they might in the field.
const DRIFT_AFTER: Duration = Duration::from_secs(60);

/// The worker of a mock platform has no health port.
pub fn with_page(builder: Builder) -> Builder {
    let host = Ipv4Addr::LOCALHOST;
    let is_free = TcpListener::bind((host, PORT)).is_ok();
    builder.health(host.into(), if is_free { PORT } else { 0 })
}

/// Sends predictions until it is interrupted.
pub fn stay(url: &str, key: &str, page: Option<SocketAddr>) -> Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_over))?;
    }
    if let Some(page) = page {
        super::print_line("page", &format!("http://{page}/"));
        let port = page.port();
        let top = format!("LUML_HEALTH_PORT={port} luml-satellite top");
        super::print_line("terminal", &top);
    }
    super::print_line(
        "predicting",
        "until Ctrl-C; the inputs drift after a minute",
    );
    let begun = Instant::now();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for n in 1_u64.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let drift = if begun.elapsed() > DRIFT_AFTER {
            1.5
        } else {
            0.0
        };
        let rows = [(); 4].map(|()| {
            let row = [
                normal(&mut random) + drift,
                normal(&mut random),
                normal(&mut random),
                normal(&mut random),
            ];
            format!("{row:?}")
        });
        // One in fifty calls is wrong.
        let body = match n % 50 {
            0 => r#"{"inputs": {"x": "wrong"}}"#.to_owned(),
            _ => format!(r#"{{"inputs": {{"x": [{}]}}}}"#, rows.join(",")),
        };
        let sent = ureq::post(url)
            .header("authorization", format!("Bearer {key}"))
            .send(&body);
        if let Ok(mut answer) = sent {
            let _ = answer.body_mut().read_to_vec();
        }
        thread::sleep(PAUSE);
    }
    println!();
    Ok(())
}

/// Nearly normally distributed: the sum of twelve evenly distributed numbers.
fn normal(state: &mut u64) -> f64 {
    let sum: f64 = (0..12)
        .map(|_| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state >> 11) as f64 / (1_u64 << 53) as f64
        })
        .sum();
    sum - 6.0
}
