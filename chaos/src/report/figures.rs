//! Numbers of a report: each second of a run, and the gap in writes after each fault.

use crate::history::{Action, History, Outcome};
use crate::run::Account;

/// What one second came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Operations that were acknowledged in it.
    pub acknowledged: u64,
    /// Operations that ended in it and had no effect.
    pub failed: u64,
    /// Operations that ended in it and of which nothing is known.
    pub unknown: u64,
    /// Median time of those that were acknowledged, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of it.
    pub p99_ms: f64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Second by second.
    pub seconds: Vec<Second>,
    /// For each fault, the longest time without an acknowledged write that began before it was healed for two seconds, in
    /// milliseconds.
    pub gaps_ms: Vec<u64>,
    /// Operations.
    pub operations: usize,
    /// Those that were acknowledged.
    pub acknowledged: usize,
    /// Those of which nothing is known.
    pub unknown: usize,
}

/// How long after a fault a gap still counts as its own.
const AFTER_US: u64 = 2_000_000;

impl Figures {
    /// Counts.
    pub fn of(account: &Account, history: &History) -> Self {
        let outcome = |wanted| history.operations.iter().filter(|one| one.outcome == wanted).count();
        Self {
            seconds: seconds(account.plan.run_ms, history),
            gaps_ms: gaps(account, history),
            operations: history.operations.len(),
            acknowledged: outcome(Outcome::Ok),
            unknown: outcome(Outcome::Unknown),
        }
    }
}

fn seconds(run_ms: u64, history: &History) -> Vec<Second> {
    let count = usize::try_from(run_ms.div_ceil(1_000)).unwrap_or(0);
    let mut all = vec![Second::default(); count];
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); count];
    for operation in &history.operations {
        let at = usize::try_from(operation.completed_us / 1_000_000).unwrap_or(usize::MAX);
        let Some(second) = all.get_mut(at) else { continue };
        match operation.outcome {
            Outcome::Ok => {
                second.acknowledged += 1;
                times[at].push(operation.completed_us - operation.invoked_us);
            }
            Outcome::Failed => second.failed += 1,
            Outcome::Unknown => second.unknown += 1,
        }
    }
    for (second, times) in all.iter_mut().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |us| *us as f64 / 1_000.0);
        (second.p50_ms, second.p99_ms) = (at(50), at(99));
    }
    all
}

fn gaps(account: &Account, history: &History) -> Vec<u64> {
    let is_read = |action: &Action| match action {
        Action::Read { .. } | Action::ReadAt { .. } | Action::Peek { .. } | Action::Trespass { .. } => true,
        Action::Transaction { appends, .. } => appends.is_empty(),
        _ => false,
    };
    let mut writes: Vec<u64> = history
        .operations
        .iter()
        .filter(|one| one.outcome == Outcome::Ok && !is_read(&one.action))
        .map(|one| one.completed_us)
        .collect();
    writes.sort_unstable();
    let end = account.plan.run_ms * 1_000;
    let gap = |from: u64, until: u64| {
        let inside = writes.iter().copied().filter(|at| (from..until).contains(at));
        let mut last = from;
        let mut longest = 0;
        for at in inside.chain([until]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest / 1_000
    };
    let until = |healed: u64| (healed + AFTER_US).min(end);
    account
        .fired
        .iter()
        .map(|one| gap(one.at_us.min(until(one.healed_us)), until(one.healed_us)))
        .collect()
}
