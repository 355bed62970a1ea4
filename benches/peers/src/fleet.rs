//! Ten thousand satellites during an outage of ten minutes, in virtual time.
//!
//! `fleet CHART [SEED]`: checks the rules below against a real worker, simulates, prints a table
//! and draws a chart.

#[path = "fleet/chart.rs"]
mod chart;
#[path = "fleet/check.rs"]
mod check;
#[path = "fleet/rules.rs"]
mod rules;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::process::ExitCode;

use rules::{Random, Rules};

const SATELLITES: usize = 10_000;
const INTERVAL: f64 = 2.0;
const MAX_BACKOFF: f64 = 60.0;
/// The SDK's timeout for the head of a response.
const RESPONSE_TIMEOUT: f64 = 30.0;

/// Seconds of virtual time: start of the outage, its end, and end of the simulation.
const OUTAGE_START: f64 = 300.0;
const OUTAGE_END: f64 = 900.0;
const END: f64 = 1500.0;

/// How the platform is unavailable.
#[derive(Clone, Copy, PartialEq)]
enum Outage {
    /// Refuses connections, or responds with 503: each request fails immediately.
    Refuses,
    /// Responds with 503 and this `Retry-After`.
    RetryAfter(f64),
    /// Accepts requests without a response; at the end of the outage it responds to all of them.
    Hangs,
    /// All satellites lose power as well and restart within a second.
    PowerCut,
}

struct Scenario {
    name: &'static str,
    rules: Rules,
    outage: Outage,
}

struct Measurements {
    /// Requests to the platform in each second.
    rate: Vec<u32>,
    /// Each satellite's first successful poll after the outage, in seconds after its end.
    recovered: Vec<f64>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let chart = arguments.next().unwrap_or("fleet.svg".to_owned());
    let seed = arguments
        .next()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_260_801);

    if !check::agrees() {
        eprintln!("The rules in fleet/rules.rs differ from those of the crate.");
        return ExitCode::FAILURE;
    }
    let kit = Rules::KIT;
    let scenarios = [
        Scenario {
            name: "the kit; refused, or 503",
            rules: kit,
            outage: Outage::Refuses,
        },
        Scenario {
            name: "the kit; 503, Retry-After: 60",
            rules: kit,
            outage: Outage::RetryAfter(60.0),
        },
        Scenario {
            name: "the kit; no response for 30 s",
            rules: kit,
            outage: Outage::Hangs,
        },
        Scenario {
            name: "the kit; all restarted at the end",
            rules: kit,
            outage: Outage::PowerCut,
        },
        Scenario {
            name: "no jitter; refused",
            rules: Rules::NO_JITTER,
            outage: Outage::Refuses,
        },
        Scenario {
            name: "no jitter; no response for 30 s",
            rules: Rules::NO_JITTER,
            outage: Outage::Hangs,
        },
        Scenario {
            name: "no jitter; all restarted",
            rules: Rules::NO_JITTER,
            outage: Outage::PowerCut,
        },
        Scenario {
            name: "no backoff; refused",
            rules: Rules::NO_BACKOFF,
            outage: Outage::Refuses,
        },
    ];
    println!(
        "\n{SATELLITES} satellites, a poll every {INTERVAL} s, an outage from {OUTAGE_START} s to {OUTAGE_END} s, seed {seed}."
    );
    println!("Requests per second, in bins of 1 s; ×: over the mean before the outage.\n");
    println!(
        "| {:<33} | before: mean | peak | during: mean | peak | after: mean | peak | last 5 min: peak | s until 50 % | 99 % | 100 % |",
        "scenario"
    );
    println!(
        "|-----------------------------------|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    let measured: Vec<Measurements> = scenarios
        .iter()
        .map(|scenario| simulate(scenario, seed))
        .collect();
    for (scenario, measured) in scenarios.iter().zip(&measured) {
        print_row(scenario, measured);
    }
    let lines = [0, 2, 4].map(|n| (scenarios[n].name, measured[n].rate.as_slice()));
    match std::fs::write(&chart, chart::draw(&lines, OUTAGE_START, OUTAGE_END)) {
        Ok(()) => println!("\nChart: {chart}"),
        Err(error) => {
            eprintln!("{chart}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn simulate(scenario: &Scenario, seed: u64) -> Measurements {
    let mut random = Random::new(seed);
    let mut measured = Measurements {
        rate: vec![0; END as usize],
        recovered: Vec::new(),
    };
    let mut failures = vec![0_u32; SATELLITES];
    let mut has_recovered = vec![false; SATELLITES];
    // Times as nanoseconds, since floats have no total order.
    let mut due: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let at = |seconds: f64| (seconds * 1e9) as u64;
    for satellite in 0..SATELLITES {
        due.push(Reverse((at(random.next() * INTERVAL), satellite)));
    }
    let is_down = |now: f64| (OUTAGE_START..OUTAGE_END).contains(&now);
    while let Some(Reverse((when, satellite))) = due.pop() {
        let now = when as f64 / 1e9;
        if now >= END {
            break;
        }
        if scenario.outage == Outage::PowerCut && is_down(now) {
            due.push(Reverse((at(OUTAGE_END + random.next()), satellite)));
            failures[satellite] = 0;
            continue;
        }
        measured.rate[now as usize] += 1;
        // When its response arrives, and whether it is successful.
        let (responded, is_success) = match scenario.outage {
            Outage::Hangs if is_down(now) && now + RESPONSE_TIMEOUT < OUTAGE_END => {
                (now + RESPONSE_TIMEOUT, false)
            }
            Outage::Hangs if is_down(now) => (OUTAGE_END, true),
            _ => (now, !is_down(now)),
        };
        let wait = if is_success {
            failures[satellite] = 0;
            if responded >= OUTAGE_END && !std::mem::replace(&mut has_recovered[satellite], true) {
                measured.recovered.push(responded - OUTAGE_END);
            }
            scenario.rules.after_success(INTERVAL, &mut random)
        } else {
            failures[satellite] += 1;
            let least = match scenario.outage {
                Outage::RetryAfter(seconds) => seconds,
                _ => 0.0,
            };
            scenario.rules.after_failure(
                failures[satellite],
                least,
                MAX_BACKOFF,
                INTERVAL,
                &mut random,
            )
        };
        due.push(Reverse((at(responded + wait), satellite)));
    }
    measured.recovered.sort_by(f64::total_cmp);
    measured
}

fn print_row(scenario: &Scenario, measured: &Measurements) {
    // Skips the first seconds, until the polls are spread evenly.
    let spans = [
        (10, OUTAGE_START as usize),
        (OUTAGE_START as usize, OUTAGE_END as usize),
        (OUTAGE_END as usize, END as usize),
    ];
    let mean = |(from, to): (usize, usize)| {
        f64::from(measured.rate[from..to].iter().sum::<u32>()) / (to - from) as f64
    };
    let before = mean(spans[0]);
    print!("| {:<33} ", scenario.name);
    for span in spans {
        let peak = f64::from(*measured.rate[span.0..span.1].iter().max().unwrap_or(&0));
        print!(
            "| {:.0} (×{:.2}) | {peak:.0} (×{:.2}) ",
            mean(span),
            mean(span) / before,
            peak / before
        );
    }
    let late = f64::from(
        *measured.rate[END as usize - 300..]
            .iter()
            .max()
            .unwrap_or(&0),
    );
    print!("| {late:.0} (×{:.2}) ", late / before);
    let recovered_after = |share: f64| {
        measured
            .recovered
            .get(((SATELLITES - 1) as f64 * share) as usize)
    };
    for share in [0.5, 0.99, 1.0] {
        match recovered_after(share) {
            Some(seconds) => print!("| {seconds:.1} "),
            None => print!("| never "),
        }
    }
    println!("|");
}
