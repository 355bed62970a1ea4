//! A model of writers that open, save, claim, renew, lose their connection and
//! reconnect, in any order, each with its own clock, with responses that are lost.
//! The stored state never goes back to an older one, no two writers may act at the
//! same time, and no older writer asks a newer one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::fenced::Fenced;
use super::lease_manager::LeaseManager;
use super::lease_validity::LeaseValidity;
use super::register::{Cell, Lease, Put, Register};
use super::{LeaseRenewer, OpenRequest, Opened, Status};
use crate::error::is_fenced;
use crate::snapshot::{Content, Snapshot};
use satellite_core::wake::{Stage, Waiter};
use satellite_core::{Error, Result};

/// A register in memory that all writers share.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    cell: Option<Cell>,
    versions: u64,
    /// The next write is carried out, and its response is lost.
    loses: bool,
    history: Vec<Snapshot>,
}

impl Register for Shared {
    fn get(&mut self) -> Result<Option<Cell>> {
        Ok(self.0.lock().unwrap().cell.clone())
    }

    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put> {
        let mut inner = self.0.lock().unwrap();
        match (&inner.cell, over) {
            (None, Some(_)) => return Ok(Put::Gone),
            (Some(_), None) => return Ok(Put::Conflict),
            (Some(cell), Some(version)) if cell.version != version => return Ok(Put::Conflict),
            _ => {}
        }
        inner.versions += 1;
        let version = inner.versions.to_string();
        inner.cell = Some(Cell {
            document: document.to_vec(),
            version: version.clone(),
        });
        inner.history.extend(Snapshot::from_document(document).ok());
        match std::mem::take(&mut inner.loses) {
            true => Err(Error::new("the response was lost")),
            false => Ok(Put::Done(version)),
        }
    }

    fn move_aside(&mut self) -> Result<String> {
        self.0.lock().unwrap().cell = None;
        Ok("aside".into())
    }
}

#[derive(Debug)]
struct NoStatus;

impl Status for NoStatus {
    fn waiting(&self, _: &str) {}
}

/// The duration of the lease, which is stored in whole seconds.
const LEASE: Duration = Duration::from_secs(10);
/// True time, in milliseconds.
type Time = Arc<AtomicU64>;

/// A process and its view of the state. The container of a pod may be restarted: the
/// process then has a new holder name and the same pod name.
struct Writer {
    pod: String,
    starts: u32,
    /// The rate of its clock, in thousandths of the true time.
    rate: u64,
    offset: u64,
    time: Time,
    registers: (Shared, Shared),
    lease_validity: LeaseValidity,
    store: Fenced<Shared, Shared>,
    renewer: Option<Box<dyn LeaseRenewer>>,
    /// Its state: the restored count, plus one for each save.
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Save,
    SaveAndLoseTheResponse,
    Renew,
    RenewAndLoseTheResponse,
    Release,
    Restart,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Open),
        4 => Just(Step::Save),
        1 => Just(Step::SaveAndLoseTheResponse),
        4 => Just(Step::Renew),
        1 => Just(Step::RenewAndLoseTheResponse),
        1 => Just(Step::Release),
        1 => Just(Step::Restart),
        4 => (1u16..6000).prop_map(Step::Pass),
    ]
}

impl Writer {
    fn new(name: usize, clock: (u64, u64), time: &Time, state: &Shared, lease: &Shared) -> Self {
        let (rate, offset) = clock;
        let time = Arc::clone(time);
        let registers = (state.clone(), lease.clone());
        let (lease_validity, store) = start(rate, offset, &time, &registers);
        Writer {
            pod: format!("pod-{name}"),
            starts: 0,
            rate,
            offset,
            time,
            registers,
            lease_validity,
            store,
            renewer: None,
            count: None,
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.pod, self.starts)
    }

    /// Another process of the same pod, after the previous one has ended.
    fn restart(&mut self) {
        self.starts += 1;
        let started = start(self.rate, self.offset, &self.time, &self.registers);
        (self.lease_validity, self.store) = started;
        (self.renewer, self.count) = (None, None);
    }

    fn may_act(&self) -> bool {
        self.count.is_some() && self.lease_validity.is_valid()
    }

    fn take(&mut self, step: Step) {
        match (step, self.count) {
            (Step::Open, None) => self.open(),
            (Step::Save, Some(count)) => self.save(count + 1),
            (Step::SaveAndLoseTheResponse, Some(count)) => {
                let state = self.registers.0.clone();
                state.0.lock().unwrap().loses = true;
                self.save(count + 1);
                state.0.lock().unwrap().loses = false;
            }
            (Step::Renew, Some(_)) => self.renew(),
            (Step::RenewAndLoseTheResponse, Some(_)) => {
                let lease = self.registers.1.clone();
                lease.0.lock().unwrap().loses = true;
                self.renew();
                lease.0.lock().unwrap().loses = false;
            }
            (Step::Release, Some(count)) => {
                let _ = self.store.release(&content(count));
                self.restart();
            }
            (Step::Restart, _) => self.restart(),
            (Step::Pass(ms), _) => {
                self.time.fetch_add(ms.into(), Ordering::SeqCst);
            }
            _ => {}
        }
    }

    fn open(&mut self) {
        let opened = self.with_request(|store, request| store.open(request));
        if let Ok(Opened { snapshot, .. }) = opened {
            self.renewer = self.store.lease_renewer();
            self.count = Some(snapshot.map_or(0, |s| read(&s.content)));
        }
    }

    fn peek(&mut self) -> Result<Option<Opened>> {
        self.with_request(|store, request| store.peek(request))
    }

    fn with_request<T>(
        &mut self,
        work: impl FnOnce(&mut Fenced<Shared, Shared>, &OpenRequest<'_>) -> T,
    ) -> T {
        let waiter = Waiter::default();
        waiter.wake.stop(Stage::Draining); // it tries once and does not wait
        let (name, lease_validity) = (self.name(), self.lease_validity.clone());
        let request = OpenRequest {
            processor: "model",
            namespace: "n",
            holder: &name,
            in_cluster: true,
            revision: None,
            lease_validity: &lease_validity,
            waiter: &waiter,
            status: &NoStatus,
        };
        work(&mut self.store, &request)
    }

    fn save(&mut self, count: u64) {
        let saved = self.store.save(&content(count));
        match saved {
            Err(e) if is_fenced(&e) => self.restart(),
            _ => self.count = Some(count), // it is in memory, whether it was stored or not
        }
    }

    fn renew(&mut self) {
        let Some(renewer) = &mut self.renewer else {
            return;
        };
        match renewer.renew() {
            Err(e) if is_fenced(&e) => self.restart(),
            Ok(Some(_)) => {
                let count = self.count.unwrap_or_default();
                let _ = self.store.release(&content(count));
                self.restart();
            }
            _ => {}
        }
    }
}

fn start(
    rate: u64,
    offset: u64,
    time: &Time,
    (state, lease): &(Shared, Shared),
) -> (LeaseValidity, Fenced<Shared, Shared>) {
    let time = Arc::clone(time);
    let clock = move || {
        let passed = u128::from(time.load(Ordering::SeqCst)) * u128::from(rate) / 1000;
        Duration::from_millis(offset + passed as u64)
    };
    let lease_validity = LeaseValidity::new(Arc::new(clock));
    let manager = LeaseManager::new(lease.clone(), LEASE, lease_validity.clone());
    let store = Fenced::new(state.clone(), state.clone(), manager, LEASE);
    (lease_validity, store)
}

fn content(count: u64) -> Content {
    Content {
        schema: 1,
        unclean_starts: 0,
        state: count.to_string().into_bytes(),
    }
}

fn read(content: &Content) -> u64 {
    std::str::from_utf8(&content.state)
        .unwrap()
        .parse()
        .unwrap()
}

/// Rate and offset of a clock. Rates are within 15 % of each other.
fn clock() -> impl Strategy<Value = (u64, u64)> {
    (930u64..=1070, 0u64..1_000_000)
}

/// Any rate at all: a process that reads the lease twice may consider a live holder
/// dead. Fencing alone has to protect the state.
fn arbitrary_clock() -> impl Strategy<Value = (u64, u64)> {
    (1u64..1_000_000, 0u64..1_000_000)
}

fn writers(clocks: &[(u64, u64)]) -> (Vec<Writer>, Shared, Shared) {
    let (state, lease) = (Shared::default(), Shared::default());
    let time = Time::default();
    let clocks = clocks.iter().enumerate();
    let writers = clocks.map(|(n, clock)| Writer::new(n, *clock, &time, &state, &lease));
    (writers.collect(), state, lease)
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    proptest::collection::vec((0usize..3, step()), 1..150)
}

#[test]
fn a_preparing_process_leaves_a_holder_of_an_older_release_time_to_renew() {
    let (mut writers, _, mut lease) = writers(&[(1000, 0), (1000, 0)]);
    writers[0].open();
    writers[0].save(1);
    let mut seen = lease.get().unwrap().unwrap();
    let between = LEASE * 2 / 15;
    let (mut renewals, mut next) = (0, between);
    let time = Arc::clone(&writers[0].time);
    let passed = || Duration::from_millis(time.load(Ordering::SeqCst));
    while passed() < LEASE * 20 {
        let copy = writers[1].peek().unwrap();
        assert!(copy.is_some(), "the holder is alive, {:?}", passed());
        if passed() >= next {
            next += between;
            // One attempt over the version read last; after a conflict it reads again and
            // leaves the renewal for the next interval.
            let mut renewed: Lease = serde_json::from_slice(&seen.document).unwrap();
            renewed.renewed = format!("{:?}", passed());
            let document = serde_json::to_vec(&renewed).unwrap();
            if let Put::Done(_) = lease.put(&document, Some(&seen.version)).unwrap() {
                renewals += 1;
            }
            seen = lease.get().unwrap().unwrap();
        }
        time.fetch_add(50, Ordering::SeqCst);
    }
    assert!(renewals > 50, "{renewals}");
}

proptest! {
    #[test]
    fn the_stored_state_never_goes_back_whichever_process_writes(
        clocks in proptest::collection::vec(arbitrary_clock(), 3),
        steps in steps(),
    ) {
        let (mut writers, state, _) = writers(&clocks);
        for (who, step) in steps {
            writers[who].take(step);
        }
        let inner = state.0.lock().unwrap();
        for pair in inner.history.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            prop_assert!(read(&after.content) >= read(&before.content), "{before:?} {after:?}");
            prop_assert!(after.stamp.epoch >= before.stamp.epoch);
            prop_assert!(after.stamp.generation >= before.stamp.generation);
            let is_taken_over = after.stamp.epoch > before.stamp.epoch;
            prop_assert!(is_taken_over || after.stamp.generation > before.stamp.generation);
            // Within an epoch there is one writer.
            if after.stamp.epoch == before.stamp.epoch {
                prop_assert_eq!(after.stamp.writer(), before.stamp.writer());
            }
        }
    }

    #[test]
    fn no_two_processes_may_act_at_the_same_time(
        clocks in proptest::collection::vec(clock(), 3),
        steps in steps(),
    ) {
        let (mut writers, ..) = writers(&clocks);
        for (who, step) in steps {
            writers[who].take(step);
            let acting: Vec<_> = writers.iter().filter(|w| w.may_act()).map(Writer::name).collect();
            prop_assert!(acting.len() < 2, "{acting:?} after {step:?} of {who}");
        }
    }

    #[test]
    fn an_older_pod_never_claims_the_state_of_a_newer_one(
        clocks in proptest::collection::vec(clock(), 3),
        steps in steps(),
    ) {
        let (mut writers, state, lease) = writers(&clocks);
        // The order in which pods held the state for the first time.
        let mut order: Vec<String> = Vec::new();
        let mut asked: Vec<(String, String)> = Vec::new();
        let pod = |holder: &str| holder.split(' ').next().unwrap().to_owned();
        for (who, step) in steps {
            writers[who].take(step);
            for snapshot in &state.0.lock().unwrap().history {
                let pod = pod(snapshot.stamp.writer());
                if !order.contains(&pod) {
                    order.push(pod);
                }
            }
            let inner = lease.0.lock().unwrap();
            let cell = inner.cell.as_ref();
            let lease: Option<Lease> = cell.map(|c| serde_json::from_slice(&c.document).unwrap());
            if let Some(lease) = lease.filter(|l| !l.claimed_by.is_empty() && !l.holder.is_empty()) {
                let (by, holder) = (pod(&lease.claimed_by), pod(&lease.holder));
                // One that has not saved yet has no place in the order.
                if order.contains(&holder) {
                    asked.push((by, holder));
                }
            }
        }
        let rank = |pod: &String| order.iter().position(|known| known == pod).unwrap_or(usize::MAX);
        for (by, holder) in asked {
            prop_assert!(rank(&by) > rank(&holder), "{by} asked {holder}: {order:?}");
        }
    }
}
