//! How long interactive requests wait when the elastic class takes next to nothing: what it may cost others is measured against that.
//!
//! A constant would be wrong on most machines: two cores at half load have requests wait longer than sixteen do at any. So the governor keeps the elastic
//! class down for half a second when it begins, and for a moment every ten seconds, and looks at what waiting is usual (as BBR does with
//! the round trip of a path: "ProbeRTT", draft-ietf-ccwg-bbr section 5.3.4).
//!
//! One look is of a few requests in some milliseconds, and says little. Like is held against like: the median of the last looks against the median of those of
//! the probes. Where nine of ten looks of a quiet machine had to be below, the noise of the machine alone kept the elastic class down.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many looks of probes it goes by.
const KEPT: usize = 64;
/// Looks that are needed before anything is said.
const ENOUGH: usize = 16;
/// Looks of a probe, the first time and then.
const PROBE: (usize, usize) = (25, 12);
/// How long a probe lasts at most, the first time and then: where few ask, looks are rare.
const PROBE_TIME: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(250));
/// Between two probes. Raised: it notices later that others changed. Lowered: more of the elastic class's time is lost.
const AGAIN: Duration = Duration::from_secs(10);
/// What may be waited, of what is usual. Raised: more for the elastic class, and others wait longer.
const AIM: f64 = 1.15;
/// What may always be waited: the timer's own noise.
const LEAST: Duration = Duration::from_micros(500);
/// What may be waited as long as nobody knows what is usual: so few ask that a probe does not see enough of them.
const UNKNOWN: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Usual {
    looks: VecDeque<Duration>,
    /// The probe that is under way: looks that are left of it, and when it ends.
    probe: Option<(usize, Instant)>,
    last_probe: Option<Instant>,
}

impl Usual {
    /// Whether the elastic class is to be kept down at this look: a probe is under way, or it is time for one.
    pub(super) fn is_probing(&mut self, now: Instant) -> bool {
        let due = self
            .last_probe
            .is_none_or(|last| now.saturating_duration_since(last) >= AGAIN);
        if due {
            self.last_probe = Some(now);
            self.probe = Some(match self.looks.len() < ENOUGH {
                true => (PROBE.0, now + PROBE_TIME.0),
                false => (PROBE.1, now + PROBE_TIME.1),
            });
        }
        self.probe = self.probe.filter(|(left, ends)| *left > 0 && now < *ends);
        self.probe.is_some()
    }

    /// A look at which the elastic class was kept down: how long nine of ten waited.
    pub(super) fn saw(&mut self, delay: Duration) {
        if let Some((left, _)) = &mut self.probe {
            *left = left.saturating_sub(1);
        }
        if self.looks.len() == KEPT {
            self.looks.pop_front();
        }
        self.looks.push_back(delay);
    }

    /// Forgets: whoever it was about has gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How long nine of ten may wait.
    pub(super) fn aim(&self) -> Duration {
        if self.looks.len() < ENOUGH {
            return UNKNOWN;
        }
        median(&self.looks).mul_f64(AIM).max(LEAST)
    }
}

/// The median; of an even number the upper one in the middle. Zero of nothing.
pub(super) fn median(looks: &VecDeque<Duration>) -> Duration {
    let mut sorted: Vec<_> = looks.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aim_is_a_little_above_the_median_of_what_was_seen() {
        let (mut usual, now) = (Usual::default(), Instant::now());
        assert!(usual.is_probing(now));
        for look in 1..=20 {
            assert_eq!(usual.aim() == UNKNOWN, look <= ENOUGH as u64);
            usual.saw(Duration::from_millis(look));
        }
        assert_eq!(usual.aim(), Duration::from_millis(11).mul_f64(AIM));
        (0..KEPT).for_each(|_| usual.saw(Duration::ZERO));
        assert_eq!(usual.aim(), LEAST, "what is long gone does not count");
    }

    #[test]
    fn a_probe_ends_and_comes_again() {
        let (mut usual, now) = (Usual::default(), Instant::now());
        let looks = |usual: &mut Usual, now| {
            let mut looks = 0;
            while usual.is_probing(now) {
                usual.saw(Duration::ZERO);
                looks += 1;
            }
            looks
        };
        assert_eq!(looks(&mut usual, now), PROBE.0);
        assert_eq!(looks(&mut usual, now + AGAIN / 2), 0);
        assert_eq!(looks(&mut usual, now + AGAIN), PROBE.1);
        usual.clear();
        assert_eq!(looks(&mut usual, now + AGAIN), PROBE.0);
    }

    #[test]
    fn a_probe_that_sees_nobody_ends_all_the_same() {
        let (mut usual, now) = (Usual::default(), Instant::now());
        assert!(usual.is_probing(now) && usual.is_probing(now + PROBE_TIME.0 / 2));
        assert!(!usual.is_probing(now + PROBE_TIME.0));
        assert_eq!(usual.aim(), UNKNOWN);
    }
}
