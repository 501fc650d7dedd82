//! A bucket of request units: it fills steadily, is emptied by what was used, and may owe.

use std::time::{Duration, Instant};

use super::unit::Units;

/// How much is in a bucket, and since when. What fills it, and how far, is said at each look: a plan may have changed meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Thousandths of a unit; below zero: it owes.
    level: f64,
    at: Instant,
}

/// How fast a bucket fills, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Units a second.
    pub(crate) rate: u64,
    /// Most units that are kept for later.
    pub(crate) burst: u64,
}

/// What a bucket says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    /// Whole units that are left.
    pub(crate) left: u64,
    /// When there is something in it again; none: there is now.
    pub(crate) empty_for: Option<Duration>,
    /// Until it is full.
    pub(crate) full_in: Duration,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(budget: Budget, now: Instant) -> Self {
        Self {
            level: Units::whole(budget.burst).0 as f64,
            at: now,
        }
    }

    fn fill(&mut self, budget: Budget, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let rate = Units::whole(budget.rate).0 as f64;
        self.level = (self.level + rate * passed).min(Units::whole(budget.burst).0 as f64);
        self.at = self.at.max(now);
    }

    /// Takes what was used.
    pub(crate) fn charge(&mut self, budget: Budget, used: Units, now: Instant) {
        self.fill(budget, now);
        self.level -= used.0 as f64;
    }

    /// How full it is.
    pub(crate) fn look(&mut self, budget: Budget, now: Instant) -> Level {
        self.fill(budget, now);
        let rate = Units::whole(budget.rate.max(1)).0 as f64;
        let until = |level: f64| Duration::try_from_secs_f64(((level - self.level) / rate).max(0.0)).unwrap_or(Duration::MAX);
        Level {
            left: (self.level / Units::whole(1).0 as f64).max(0.0) as u64,
            empty_for: (self.level < 0.0).then(|| until(0.0)),
            full_in: until(Units::whole(budget.burst).0 as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { rate: 100, burst: 1_000 };

    #[test]
    fn it_gives_the_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(BUDGET, start);
        bucket.charge(BUDGET, Units::whole(1_050), start);
        let level = bucket.look(BUDGET, start);
        assert_eq!((level.left, level.empty_for), (0, Some(Duration::from_millis(500))));
        let later = bucket.look(BUDGET, start + Duration::from_secs(1));
        assert_eq!((later.left, later.empty_for), (50, None));
        assert_eq!(later.full_in, Duration::from_millis(9_500));
        let rested = bucket.look(BUDGET, start + Duration::from_secs(1_000));
        assert_eq!((rested.left, rested.full_in), (1_000, Duration::ZERO));
    }

    #[test]
    fn a_smaller_plan_holds_at_once_and_a_clock_that_stands_gives_nothing() {
        let start = Instant::now();
        let mut bucket = Bucket::full(BUDGET, start);
        let small = Budget { rate: 1, burst: 10 };
        assert_eq!(bucket.look(small, start).left, 10);
        bucket.charge(small, Units::whole(10), start);
        for _ in 0..10 {
            assert_eq!(bucket.look(small, start).left, 0);
        }
    }
}
