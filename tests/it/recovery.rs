//! The end of an outage: the first successful response ends every backoff. Time is
//! simulated with `ManualClock`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use satellite_sdk::testing::{Fault, ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Clock, Context, Later, Report, Task, Wait, done};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(2);
const OUTAGE: Duration = Duration::from_secs(600);

/// Records before each wait how many requests the platform had answered with 200.
#[derive(Debug, Clone)]
struct Watched {
    clock: ManualClock,
    platform: MockPlatform,
    answered: Arc<Mutex<Vec<(Duration, usize)>>>,
}

impl Watched {
    fn new(platform: &MockPlatform) -> Self {
        Watched {
            clock: ManualClock::default(),
            platform: platform.clone(),
            answered: Arc::default(),
        }
    }

    /// When the platform first answered with 200 after `since`.
    fn first_answer(&self, since: Duration) -> Duration {
        let answered = self.answered.lock().unwrap();
        let before = answered.iter().filter(|(at, _)| *at < since);
        let before = before.map(|(_, count)| *count).max().unwrap();
        let first = answered.iter().find(|(_, count)| *count > before);
        first.unwrap().0
    }
}

impl Clock for Watched {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn wait(&self, wait: Wait<'_>) {
        let requests = self.platform.requests();
        let good = requests.iter().filter(|seen| seen.status == 200).count();
        let now = self.clock.elapsed();
        self.answered.lock().unwrap().push((now, good));
        self.clock.wait(wait);
    }
}

/// Runs a worker with `count` tasks whose results become ready during an outage of ten
/// minutes that starts at 10 s. Returns when each report was delivered.
fn after_an_outage(platform: &MockPlatform, count: usize) -> (Watched, Vec<Duration>) {
    let clock = Watched::new(platform);
    let later: Arc<Mutex<Vec<Later>>> = Arc::default();
    let arrived: Arc<Mutex<Vec<Duration>>> = Arc::default();
    for n in 0..count {
        platform.add_task(mock_task(format!("t{n}"), "slow", json!({})));
    }
    let (kept, seen, time) = (Arc::clone(&later), Arc::clone(&arrived), clock.clone());
    let mut satellite = platform
        .worker()
        .poll_interval(INTERVAL)
        .clock(clock.clone())
        .handler("slow", move |_: Task, cx: &Context| {
            kept.lock().unwrap().extend(cx.later());
            done(())
        })
        .on_report(move |_: &Report| seen.lock().unwrap().push(time.clock.elapsed()))
        .build()
        .unwrap();
    let (gone, back) = (platform.clone(), platform.clone());
    clock.clock.at(10 * SECOND, move || {
        gone.pause();
        later.lock().unwrap().drain(..).for_each(|l| l.done("kept"));
    });
    clock.clock.at(10 * SECOND + OUTAGE, move || back.resume());
    let stop = satellite.stop_handle();
    clock.clock.at(OUTAGE + 120 * SECOND, move || stop.stop());
    let stopped = satellite.run().unwrap();
    assert_eq!((stopped.done, stopped.undelivered), (count as u64, 0));
    let arrived = arrived.lock().unwrap().clone();
    (clock, arrived)
}

#[test]
fn all_results_are_delivered_within_two_poll_intervals_after_an_outage() {
    let platform = MockPlatform::start();
    let (clock, arrived) = after_an_outage(&platform, 20);
    let first = clock.first_answer(10 * SECOND + OUTAGE);
    let last = *arrived.iter().max().unwrap();
    assert_eq!(arrived.len(), 20);
    assert!(first >= OUTAGE, "{first:?}");
    assert!(
        last <= first + 2 * INTERVAL,
        "the first successful response at {first:?}, the last result at {last:?}"
    );
    for n in 0..20 {
        // Sent repeatedly, accepted once.
        assert_eq!(platform.history(&format!("t{n}")), ["running", "done"]);
    }
}

#[test]
fn a_delivered_report_ends_the_backoff_of_the_poll() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "slow", json!({})));
    let clock = ManualClock::default();
    let later: Arc<Mutex<Option<Later>>> = Arc::default();
    let kept = Arc::clone(&later);
    let mut satellite = platform
        .worker()
        .poll_interval(INTERVAL)
        .clock(clock.clone())
        .handler("slow", move |_: Task, cx: &Context| {
            *kept.lock().unwrap() = cx.later();
            done(())
        })
        .build()
        .unwrap();
    satellite.run_for(10 * SECOND).unwrap();
    platform.pause();
    satellite.run_for(OUTAGE).unwrap();
    assert!(!satellite.health().is_ready());
    platform.resume();
    // The poll waits for up to a minute; a new result is sent at once.
    later.lock().unwrap().take().unwrap().done("kept");
    satellite.run_for(SECOND).unwrap();
    assert_eq!(platform.status("t"), "done");
    assert!(satellite.health().is_ready(), "it has polled too");
}

#[test]
fn delayed_results_are_delivered_before_new_tasks_run() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("first", "slow", json!({})));
    let clock = ManualClock::default();
    let later: Arc<Mutex<Option<Later>>> = Arc::default();
    let (kept, seen) = (Arc::clone(&later), Arc::new(Mutex::new(String::new())));
    let (note, world) = (Arc::clone(&seen), platform.clone());
    let mut satellite = platform
        .worker()
        .poll_interval(INTERVAL)
        .clock(clock.clone())
        .handler("slow", move |_: Task, cx: &Context| {
            *kept.lock().unwrap() = cx.later();
            done(())
        })
        .handler("look", move |_: Task| {
            *note.lock().unwrap() = world.status("first");
            done(())
        })
        .build()
        .unwrap();
    satellite.run_for(SECOND).unwrap();
    // Its own wait is a minute; polls succeed again long before that.
    let (status, seconds) = (503, 60);
    platform
        .fault(Fault::RetryAfter { status, seconds })
        .on("POST", "/first/")
        .times(1);
    platform.fault(Fault::Status(503)).on("GET", "").times(3);
    later.lock().unwrap().take().unwrap().done("kept");
    satellite.run_for(SECOND).unwrap();
    platform.add_task(mock_task("second", "look", json!({})));
    satellite.run_for(30 * SECOND).unwrap();
    assert_eq!(*seen.lock().unwrap(), "done");
}

#[test]
fn a_result_that_always_fails_keeps_its_own_backoff() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("bad", "echo", json!({})));
    let clock = ManualClock::default();
    let poison = platform.clone();
    let mut satellite = platform
        .worker()
        .poll_interval(INTERVAL)
        .clock(clock.clone())
        .handler("echo", move |task: Task| {
            let fault = poison.fault(Fault::Status(500));
            drop(fault.on("POST", "/bad/status").forever());
            done(task.payload)
        })
        .build()
        .unwrap();
    satellite.run_for(OUTAGE).unwrap();
    let requests = platform.requests();
    let polls = requests.iter().filter(|seen| seen.method == "GET").count();
    let reports = requests.iter().filter(|seen| seen.status == 500).count();
    assert!(polls > 250, "{polls} polls: polling continues as usual");
    assert!((10..=30).contains(&reports), "{reports} attempts");
}

#[test]
fn a_failing_claim_does_not_block_other_tasks() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("bad", "echo", json!({})));
    platform.add_task(mock_task("good", "echo", json!({})));
    platform
        .fault(Fault::Status(500))
        .on("POST", "/bad/status")
        .forever();
    let clock = ManualClock::default();
    let mut satellite = platform
        .worker()
        .poll_interval(INTERVAL)
        .clock(clock.clone())
        .handler("echo", |task: Task| done(task.payload))
        .build()
        .unwrap();
    satellite.run_for(10 * SECOND).unwrap();
    assert_eq!(platform.status("good"), "done");
    satellite.run_for(OUTAGE).unwrap();
    let attempts = platform.requests();
    let attempts = attempts.iter().filter(|seen| seen.status == 500).count();
    assert!((10..=30).contains(&attempts), "{attempts} attempts");
}

#[test]
fn the_retry_after_of_a_rate_limit_is_kept() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "echo", json!({})));
    let clock = ManualClock::default();
    let (limited, time) = (platform.clone(), clock.clone());
    let arrived: Arc<Mutex<Option<Duration>>> = Arc::default();
    let seen = Arc::clone(&arrived);
    let mut satellite = platform
        .worker()
        .poll_interval(INTERVAL)
        .clock(clock.clone())
        .handler("echo", move |task: Task| {
            let (status, seconds) = (429, 30);
            limited
                .fault(Fault::RetryAfter { status, seconds })
                .on("POST", "/t/status");
            done(task.payload)
        })
        .on_report(move |_: &Report| *seen.lock().unwrap() = Some(time.elapsed()))
        .build()
        .unwrap();
    satellite.run_for(60 * SECOND).unwrap();
    let arrived = arrived.lock().unwrap().unwrap();
    assert!(
        arrived >= 30 * SECOND,
        "{arrived:?}, although polls succeed"
    );
}

#[test]
fn run_for_continues_where_the_previous_call_ended() {
    let platform = MockPlatform::start();
    let clock = ManualClock::default();
    let mut satellite = platform
        .worker()
        .poll_interval(10 * SECOND)
        .clock(clock.clone())
        .handler("echo", |task: Task| done(task.payload))
        .build()
        .unwrap();
    for _ in 0..60 {
        satellite.run_for(SECOND).unwrap();
    }
    assert_eq!(clock.elapsed(), 60 * SECOND);
    let polls = platform.requests().len();
    assert!((6..=7).contains(&polls), "{polls} polls in a minute");
}
