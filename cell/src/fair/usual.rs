//! How long interactive requests wait when the elastic class takes next to nothing: what it may cost others is measured against that.
//!
//! A constant would be wrong on most machines: two cores at half load have requests wait longer than sixteen do at any. So the governor keeps the elastic
//! class down for half a second when it begins, and for a moment every ten seconds, and looks at what waiting is usual (as BBR does with
//! the round trip of a path: "ProbeRTT", draft-ietf-ccwg-bbr section 5.3.4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many looks it goes by.
const KEPT: usize = 64;
/// Looks that are needed before anything is said.
const ENOUGH: usize = 16;
/// Looks of a probe, the first time and then.
const PROBE: (usize, usize) = (25, 12);
/// Between two probes. Raised: it notices later that others changed. Lowered: more of the elastic class's time is lost.
const AGAIN: Duration = Duration::from_secs(10);
/// Of ten looks so many are below what is called usual: a rate that falls by a quarter and rises by a twenty-fifth stands still where one
/// look in eight is above its aim.
const BELOW: usize = 9;
/// What may be waited, of what is usual. Raised: more for the elastic class, and others wait longer.
const AIM: f64 = 1.25;
/// What may always be waited: the timer's own noise.
const LEAST: Duration = Duration::from_micros(500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Usual {
    looks: VecDeque<Duration>,
    /// Looks that are left of a probe.
    probing: usize,
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
            self.probing = if self.looks.len() < ENOUGH { PROBE.0 } else { PROBE.1 };
        }
        self.probing > 0
    }

    /// A look at which the elastic class was kept down: how long nine of ten waited.
    pub(super) fn saw(&mut self, delay: Duration) {
        self.probing = self.probing.saturating_sub(1);
        if self.looks.len() == KEPT {
            self.looks.pop_front();
        }
        self.looks.push_back(delay);
    }

    /// Forgets: whoever it was about has gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How long nine of ten may wait; none: nobody knows yet.
    pub(super) fn aim(&self) -> Option<Duration> {
        if self.looks.len() < ENOUGH {
            return None;
        }
        let mut sorted: Vec<_> = self.looks.iter().copied().collect();
        sorted.sort_unstable();
        let usual = sorted[(sorted.len() * BELOW / 10).min(sorted.len() - 1)];
        Some(usual.mul_f64(AIM).max(LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aim_is_a_quarter_above_what_nine_of_ten_looks_saw() {
        let (mut usual, now) = (Usual::default(), Instant::now());
        assert!(usual.is_probing(now));
        for look in 1..=20 {
            assert!(usual.aim().is_none() == (look <= ENOUGH as u64));
            usual.saw(Duration::from_millis(look));
        }
        assert_eq!(usual.aim(), Some(Duration::from_millis(19).mul_f64(AIM)));
        (0..KEPT).for_each(|_| usual.saw(Duration::ZERO));
        assert_eq!(usual.aim(), Some(LEAST), "what is long gone does not count");
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
}
