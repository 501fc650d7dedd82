//! A load at a fixed rate while something is done: what clients notice before, during and after it.
//!
//! Each request counts for the phase in which it was sent. Failures count for `during`, whenever they were; where a reply was
//! refused, its kind says the phase and the operation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use rig::load::{self, Outcome, Pacing, Plan, Refused, Script};
use tokio::sync::Notify;

use crate::report::{Latency, Measured, Row};

/// The phases in order.
const PHASES: [&str; 3] = ["before", "during", "after"];
/// Load before the measured window.
const WARMUP: Duration = Duration::from_secs(3);
/// How long the load goes on when all is done.
const AFTER: Duration = Duration::from_secs(10);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The class of reads; all others are writes.
pub const READ: &str = "read";

/// How much load, and how long before anything is done.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Around {
    /// Seconds of load before anything is done
    #[arg(long, default_value_t = 15)]
    pub seconds_before: u64,
    /// Connections: bounds what is outstanding
    #[arg(long, default_value_t = 256)]
    pub outstanding: usize,
}

/// A load around something that is done.
#[derive(Clone, Debug)]
pub struct Load {
    /// What it is called in the report.
    pub title: String,
    /// API addresses.
    pub targets: Vec<SocketAddr>,
    /// What becomes of a request whose target cannot be connected to.
    pub refused: Refused,
    /// Requests a second, open loop.
    pub rate: f64,
    /// Connections, and the time before.
    pub around: Around,
    /// How long what is done may take.
    pub within: Duration,
    /// What the scripts' classes are called.
    pub kinds: &'static [&'static str],
}

/// Puts the load on, does the deed, and lets the load go on for a while. Three rows, and what the deed came to.
pub fn drive<T: Send>(
    load: &Load,
    mut script: impl FnMut(usize) -> Box<dyn Script>,
    deed: impl FnOnce() -> Result<T> + Send,
) -> Result<([Row; 3], T)> {
    let before = Duration::from_secs(load.around.seconds_before);
    let plan = Plan {
        targets: load.targets.clone(),
        refused: load.refused,
        connections: load.around.outstanding,
        pacing: Pacing::Open { rate: load.rate },
        warmup: WARMUP,
        window: before + load.within + AFTER,
        timeout: TIMEOUT,
        classes: PHASES.iter().flat_map(|_| load.kinds).copied().collect(),
        probe: None,
        slot: None,
    };
    let (phase, stop) = (Arc::new(AtomicUsize::new(0)), Notify::new());
    let phased = |connection| -> Box<dyn Script> {
        Box::new(Phased {
            script: script(connection),
            kinds: load.kinds,
            phase: Arc::clone(&phase),
            class: 0,
        })
    };
    let (outcome, done) = std::thread::scope(|scope| {
        let conductor = scope.spawn(|| {
            std::thread::sleep(WARMUP + before);
            phase.store(1, Ordering::SeqCst);
            let started = Instant::now();
            let done = deed().map(|done| (done, started.elapsed()));
            phase.store(2, Ordering::SeqCst);
            std::thread::sleep(if done.is_ok() { AFTER } else { Duration::ZERO });
            stop.notify_one();
            done
        });
        let outcome = load::drive_until(&plan, phased, &stop);
        match conductor.join() {
            Ok(done) => (outcome, done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let (outcome, (done, took)) = (outcome?, done?);
    Ok((rows(load, &outcome, [before, took, AFTER]), done))
}

/// A row for each phase. Prints a line for each class of each.
fn rows(load: &Load, outcome: &Outcome, times: [Duration; 3]) -> [Row; 3] {
    let row = |phase: usize| {
        let title = format!("{}, {}", load.title, PHASES[phase]);
        let classes = &outcome.by_class[phase * load.kinds.len()..][..load.kinds.len()];
        let (all, seconds) = (sum(classes, |_| true), times[phase].as_secs_f64());
        let mut measured = Measured {
            rate: all.len() as f64 / seconds,
            seconds,
            latency: Some(Latency::of(&all)),
            ..Measured::default()
        };
        println!("{title}: {:.0}/s  {}", measured.rate, load::summarize(&all));
        for (name, histogram) in shown(classes) {
            println!("  {name:<6} {}", load::summarize(&histogram));
            measured.by_class.insert(name.to_owned(), Latency::of(&histogram));
        }
        if phase == 1 {
            measured.errors = outcome.errors.clone();
            measured.longest_gap_ms = Some(outcome.longest_gap.as_secs_f64() * 1e3);
        }
        Row::new(&title, Some(load.around.outstanding), vec![measured])
    };
    let rows = [row(0), row(1), row(2)];
    println!("{}: {} failed requests {:?}", load.title, outcome.failures(), outcome.errors);
    rows
}

/// The classes that are told apart: each where there are several, and all writes where several of them stand beside reads.
fn shown(classes: &[(&'static str, Histogram<u64>)]) -> Vec<(&'static str, Histogram<u64>)> {
    let mut shown = classes.to_vec();
    let writes = classes.iter().filter(|(name, _)| *name != READ).count();
    if (2..classes.len()).contains(&writes) {
        shown.push(("write", sum(classes, |name| name != READ)));
    }
    if classes.len() == 1 { Vec::new() } else { shown }
}

/// The histograms of some classes as one.
fn sum(classes: &[(&'static str, Histogram<u64>)], wanted: impl Fn(&str) -> bool) -> Histogram<u64> {
    let histograms = classes
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(_, histogram)| histogram);
    let mut sum = load::histogram();
    histograms.for_each(|histogram| sum += histogram);
    sum
}

/// The classes of a script, phase by phase.
struct Phased {
    script: Box<dyn Script>,
    kinds: &'static [&'static str],
    phase: Arc<AtomicUsize>,
    /// Of the last request.
    class: usize,
}

impl Script for Phased {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.class = self.phase.load(Ordering::SeqCst) * self.kinds.len() + self.script.request(out);
        self.class
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        let judged = self.script.check(status, body);
        let (phase, kind) = (
            PHASES[self.class / self.kinds.len()],
            self.kinds[self.class % self.kinds.len()],
        );
        judged.map_err(|error| format!("{kind} {phase}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for nothing; its replies are refused.
    struct Refusing(usize);

    impl Script for Refusing {
        fn request(&mut self, _: &mut Vec<u8>) -> usize {
            self.0
        }

        fn check(&mut self, status: u16, _: &[u8]) -> Result<(), String> {
            Err(status.to_string())
        }
    }

    #[test]
    fn a_request_counts_for_the_phase_in_which_it_was_sent() {
        let phase = Arc::new(AtomicUsize::new(0));
        let mut phased = Phased {
            script: Box::new(Refusing(1)),
            kinds: &[READ, "create"],
            phase: Arc::clone(&phase),
            class: 0,
        };
        assert_eq!(phased.request(&mut Vec::new()), 1);
        phase.store(1, Ordering::SeqCst);
        assert_eq!(phased.check(503, b""), Err("create before: 503".to_owned()));
        assert_eq!(phased.request(&mut Vec::new()), 3);
        assert_eq!(phased.check(503, b""), Err("create during: 503".to_owned()));
    }

    #[test]
    fn writes_of_several_kinds_are_shown_together_beside_reads() {
        let mut one = load::histogram();
        one.saturating_record(5);
        let class = |name| (name, one.clone());
        let shown = |names: &[&'static str]| {
            let classes: Vec<_> = names.iter().map(|name| class(*name)).collect();
            let shown = shown(&classes);
            shown
                .iter()
                .map(|(name, histogram)| (*name, histogram.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&["write"]), []);
        assert_eq!(shown(&["create", "patch"]), [("create", 1), ("patch", 1)]);
        assert_eq!(shown(&[READ, "create"]), [(READ, 1), ("create", 1)]);
        assert_eq!(
            shown(&[READ, "create", "patch"]),
            [(READ, 1), ("create", 1), ("patch", 1), ("write", 2)]
        );
    }
}
