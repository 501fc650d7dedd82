//! A node that is killed again and again a moment after it started: recovery is interrupted at every point. Half of the time it has
//! been away for long enough before that it has to catch up, which is interrupted then.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rig::random::Random;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// The longest time that it lives between two kills, in milliseconds. Raised: fewer kills. Lowered: it never comes as far as taking a
/// snapshot.
const LIVES_MS: u64 = 1_000;

/// How long it is away first, in milliseconds.
const AWAY_MS: u64 = 1_500;

/// See the module. It is done within [`Fault::inject`]: meanwhile the other lane waits.
pub(super) struct RestartLoop;

impl Fault for RestartLoop {
    fn name(&self) -> &'static str {
        "restart-loop"
    }

    fn about(&self) -> &'static str {
        "SIGKILL 0-1,000 ms after each start, for a while; half of the time after 1.5 s of absence"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (3_000, 5_000)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        let mut random = Random::new(step.dice);
        // The last life is the whole of the step, so that all of it fits.
        let until = Instant::now() + Duration::from_millis(step.for_ms.saturating_sub(LIVES_MS / 2));
        let mut kills = 0;
        if step.dice.is_multiple_of(2) {
            field.kill_running(&[node])?;
            std::thread::sleep(Duration::from_millis(AWAY_MS));
        }
        while Instant::now() < until {
            field.kill_running(&[node])?;
            field.start(&[node])?;
            std::thread::sleep(Duration::from_millis(random.below(LIVES_MS)));
            kills += 1;
        }
        field.kill_running(&[node])?;
        Ok(Hold {
            mark: kills + 1,
            ..Hold::new(vec![node], "restarted in a loop")
        })
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        field.start(&hold.nodes)?;
        ensure!(hold.mark > 1, "it was killed only once");
        Ok(format!("killed {} times", hold.mark))
    }
}
