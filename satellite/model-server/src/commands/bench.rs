//! `bench`: latency and throughput of a model on this machine, without HTTP.

use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Kind, Result};
use crate::load;
use crate::pipeline::Pipeline;
use crate::server;
use crate::settings::Settings;
use crate::tensor::{encode, string};

/// How much to compute.
pub struct Load {
    pub seconds: usize,
    pub threads: usize,
    /// The size of each dimension that has a name.
    pub batch: usize,
}

/// Computes requests of zeros or ones, from JSON to JSON, and prints the figures.
pub fn bench(place: &str, settings: &Settings, load: &Load) -> Result<()> {
    let started = Instant::now();
    let (artifact, pipeline) = load::model(place, settings)?;
    let loaded = started.elapsed();
    let software = |text: String| Failure::new(Kind::Software, text);
    let [zeros, ones] = [0, 1].map(|value| {
        let (body, mut outputs) = (request(&pipeline, load.batch, value)?, Vec::new());
        server::compute(&pipeline, &body, &mut outputs)
            .map_err(|error| format!("the model fails: {error:?}"))?;
        Ok((body, outputs))
    });
    // As in the warm-up: zeros need not be valid values.
    let chosen = zeros.or_else(|error| ones.map_err(|_: String| error));
    let (body, outputs) = chosen.map_err(software)?;
    let once = |to: &mut Vec<u8>| server::compute(&pipeline, &body, to);
    let limit = Duration::from_secs(load.seconds as u64);
    let began = Instant::now();
    let times: Vec<Vec<Duration>> = thread::scope(|scope| {
        let run = || {
            let (mut times, mut outputs) = (Vec::new(), Vec::new());
            while began.elapsed() < limit {
                let start = Instant::now();
                outputs.clear();
                let _ = once(&mut outputs);
                times.push(start.elapsed());
            }
            times
        };
        let threads: Vec<_> = (0..load.threads).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    });
    let took = began.elapsed();
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort_unstable();
    let row = |what: &str, value: String| println!("{what:<22} {value}");
    row("model", artifact.title());
    row("loaded in", milliseconds(loaded));
    row(
        "request, response",
        format!("{} and {} bytes", body.len(), outputs.len()),
    );
    row(
        "threads, batch",
        format!("{} and {}", load.threads, load.batch),
    );
    row("requests", times.len().to_string());
    for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0)] {
        let at = (times.len().saturating_sub(1) as f64 * part).round() as usize;
        row(
            name,
            times
                .get(at)
                .map_or("none".into(), |time| milliseconds(*time)),
        );
    }
    let rate = times.len() as f64 / took.as_secs_f64();
    row("requests a second", format!("{rate:.0}"));
    row("items a second", format!("{:.0}", rate * load.batch as f64));
    Ok(())
}

/// A request whose values are all `value`.
fn request(pipeline: &Pipeline, batch: usize, value: u8) -> Result<Vec<u8>, String> {
    let mut body = br#"{"inputs":{"#.to_vec();
    let example = pipeline.example(batch, value);
    for (at, (input, tensor)) in pipeline.inputs().iter().zip(&example).enumerate() {
        if at > 0 {
            body.push(b',');
        }
        string(&input.name, &mut body);
        body.push(b':');
        encode(tensor, None, &mut body).map_err(|e| e.to_string())?;
    }
    body.extend_from_slice(b"}}");
    Ok(body)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}
