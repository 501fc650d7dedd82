//! Waiting until nobody has anything left to do: before a turn, the flush or checkpoint of the turn before is over.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::processes::cpu_seconds;

/// What one look lasts.
const LOOK: Duration = Duration::from_millis(500);
/// Below this share of a core a look is quiet whatever the servers take when nobody asks.
const QUIET_SHARE: f64 = 0.3;
/// Looks in a row that have to be quiet.
const LOOKS: u32 = 2;
/// Looks at the beginning, of which the least is what the servers take when nobody asks.
const FIRST_LOOKS: u32 = 10;
/// The longest wait; the turn begins all the same, and a line says so.
const WITHIN: Duration = Duration::from_secs(20);

/// What counts as quiet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    /// A share of a core: 1 is a whole one.
    below: f64,
}

impl Quiet {
    /// Learns from servers that nobody asks what they take then. Takes five seconds.
    pub(super) fn learn(pids: &[u32]) -> Result<Self> {
        let mut least = f64::INFINITY;
        for _ in 0..FIRST_LOOKS {
            least = least.min(look(pids)?);
        }
        Ok(Self::above(least))
    }

    /// What is quiet for servers that take this when nobody asks: an unoptimised build takes much.
    fn above(idle: f64) -> Self {
        Self {
            below: QUIET_SHARE.max(idle * 1.5 + 0.1),
        }
    }

    /// Waits until these together take next to nothing.
    pub(super) fn wait(self, pids: &[u32]) -> Result<()> {
        let started = Instant::now();
        let mut quiet = 0;
        while quiet < LOOKS {
            let share = look(pids)?;
            quiet = if share < self.below { quiet + 1 } else { 0 };
            if started.elapsed() > WITHIN {
                println!(
                    "  the servers are not quiet after {WITHIN:?}: {:.0} % of a core",
                    share * 100.0
                );
                break;
            }
        }
        Ok(())
    }
}

fn look(pids: &[u32]) -> Result<f64> {
    let watched = Watched::begin(pids)?;
    std::thread::sleep(LOOK);
    watched.share()
}

/// Processes whose share of a core is looked at for a while.
pub(super) struct Watched<'a> {
    pids: &'a [u32],
    seconds: f64,
    since: Instant,
}

impl<'a> Watched<'a> {
    /// From now on.
    pub(super) fn begin(pids: &'a [u32]) -> Result<Self> {
        Ok(Self {
            pids,
            seconds: cpu_seconds(pids)?,
            since: Instant::now(),
        })
    }

    /// What they have taken of a core until now: 1 is a whole one.
    pub(super) fn share(&self) -> Result<f64> {
        let used = cpu_seconds(self.pids)? - self.seconds;
        Ok(used / self.since.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_is_quiet_however_much_that_is() {
        for idle in [0.0, 0.1, 0.5, 2.0] {
            let below = Quiet::above(idle).below;
            assert!(below > idle && below >= QUIET_SHARE, "{idle}: {below}");
        }
        assert!(Quiet::above(0.1).below < 0.31, "a flush takes more");
    }
}
