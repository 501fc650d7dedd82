//! The only place of this crate that knows time, and it is the machine's own running time, never the date: how long a flush may
//! take its ease, and how long things took. Nothing that is stored depends on it.
//!
//! A flush that writes as fast as it can makes the log's fsync wait behind its dirty pages (MEASUREMENTS.md: p99 of 188 ms against
//! 7 ms). So a flush gets a budget of rest: seven tenths of the time in which its delta filled, shared out over its commits, and
//! each commit's sync rests a little after every piece that it writes. Whoever cannot wait calls `hurry`, which also wakes a
//! resting sync at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One flush rests at most this long, however slowly its delta filled: the read transaction of the view before it is held all the
/// while, and redb cannot use the pages again that the flush frees.
const MAX_FLUSH_REST: Duration = Duration::from_secs(10);

/// Longest single rest; short ones keep the disk's queue short without a burst after them.
const MAX_REST: Duration = Duration::from_millis(50);

/// How soon a write that found no room on the disk is tried again.
const ROOM_AGAIN: Duration = Duration::from_millis(200);

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Shares the rest of a flush with the syncs of its commits.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    state: Mutex<PaceState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct PaceState {
    /// What the next sync may rest in all.
    budget: Duration,
    /// Nobody rests while this is set.
    hurry: bool,
    /// Nobody waits for room on the disk any more.
    leaving: bool,
}

impl Pace {
    /// Gives the next sync this much rest in all.
    pub(crate) fn grant(&self, budget: Duration) {
        self.lock().budget = budget;
    }

    /// Takes the granted budget for a sync of `pieces` writes: how long to rest after each.
    pub(crate) fn share(&self, pieces: usize) -> Duration {
        let budget = std::mem::take(&mut self.lock().budget);
        (budget / u32::try_from(pieces.max(1)).unwrap_or(u32::MAX)).min(MAX_REST)
    }

    /// Rests, unless there is a hurry or one comes up.
    pub(crate) fn rest(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let state = self.lock();
        drop(
            self.wake
                .wait_timeout_while(state, time, |state| !state.hurry)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Waits a little for room on the disk. False: the store is going, and nobody waits any more.
    pub(crate) fn wait_for_room(&self) -> bool {
        let state = self.lock();
        let (state, _) = self
            .wake
            .wait_timeout_while(state, ROOM_AGAIN, |state| !state.leaving)
            .unwrap_or_else(PoisonError::into_inner);
        !state.leaving
    }

    /// The store is going: what finds no room from now on fails.
    pub(crate) fn leave(&self) {
        self.lock().leaving = true;
        self.wake.notify_all();
    }

    /// Sets or ends the hurry.
    pub(crate) fn hurry(&self, hurry: bool) {
        self.lock().hurry = hurry;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, PaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Plans the rest of one flush over its commits.
#[derive(Debug)]
pub(crate) struct Plan {
    watch: Stopwatch,
    /// The whole time that the flush is to take.
    spread: Duration,
    commits: u32,
    /// What the last commit took without its rest: what the next will probably take.
    work: Duration,
}

impl Plan {
    /// A plan for a delta that filled in `filled_in` and is flushed in `commits` commits; no rest at all when not `calm`.
    pub(crate) fn new(filled_in: Duration, commits: usize, calm: bool) -> Plan {
        let spread = if calm {
            filled_in.mul_f64(0.7).min(MAX_FLUSH_REST)
        } else {
            Duration::ZERO
        };
        Plan {
            watch: Stopwatch::start(),
            spread,
            commits: u32::try_from(commits).unwrap_or(1).max(1),
            work: Duration::ZERO,
        }
    }

    /// The rest that the commit of this number (from 0) may take.
    pub(crate) fn budget(&self, commit: usize) -> Duration {
        let done = u32::try_from(commit + 1).unwrap_or(u32::MAX);
        let due = (self.spread / self.commits).saturating_mul(done).min(self.spread);
        due.saturating_sub(self.watch.elapsed() + self.work)
    }

    /// Notes what a commit took, and how much of that it was allowed to rest.
    pub(crate) fn note(&mut self, took: Duration, rested: Duration) {
        self.work = took.saturating_sub(rested);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hurry_takes_all_rest_away() {
        let pace = Pace::default();
        pace.grant(Duration::from_secs(7200));
        assert_eq!(pace.share(2), MAX_REST);
        assert_eq!(pace.share(2), Duration::ZERO, "a budget is for one sync");
        pace.hurry(true);
        pace.rest(Duration::from_secs(3600));
    }

    #[test]
    fn a_plan_in_a_hurry_has_no_budget() {
        assert_eq!(Plan::new(Duration::from_secs(60), 16, false).budget(3), Duration::ZERO);
        let plan = Plan::new(Duration::from_secs(10), 10, true);
        assert!(plan.budget(9) > plan.budget(0));
        assert!(plan.budget(9) <= Duration::from_secs(7));
    }
}
