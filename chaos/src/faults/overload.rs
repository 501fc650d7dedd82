//! Three times the load: every client pauses a third as long between its operations.

use anyhow::Result;
use rig::random::Random;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::{Step, Whom};

/// How many times the usual load.
const TIMES: u32 = 3;

/// See the module.
pub(super) struct Overload;

impl Fault for Overload {
    fn name(&self) -> &'static str {
        "overload"
    }

    fn about(&self) -> &'static str {
        "three times the load for some seconds"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        1
    }

    fn unseats(&self) -> bool {
        false
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (2_000, 4_000)
    }

    fn whom(&self, _: &mut Random, _: usize) -> Whom {
        Whom::All
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        field.controls.set_times(TIMES);
        Ok(Hold {
            mark: field.controls.operations(),
            ..Hold::new(field.pick(step.whom)?, format!("{TIMES} times the load"))
        })
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        field.controls.set_times(1);
        let done = field.controls.operations().saturating_sub(hold.mark);
        anyhow::ensure!(done > 0, "no operation ended meanwhile");
        Ok(format!("{done} operations meanwhile"))
    }
}
