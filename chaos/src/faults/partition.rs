//! One node is cut off from all others, in both directions.

use anyhow::Result;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;
use crate::proxy::Mode;

/// See the module.
pub(super) struct Partition;

impl Fault for Partition {
    fn name(&self) -> &'static str {
        "partition"
    }

    fn about(&self) -> &'static str {
        "all links of one node cut: connections reset, new ones refused, or all swallowed"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        4
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (300, 4_000)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_connected(step.whom)?;
        let mode = if step.dice.is_multiple_of(2) {
            Mode::Cut
        } else {
            Mode::Swallow
        };
        let hold = super::links::watched(field, vec![node], format!("cut off ({mode:?})"));
        for other in field.others(node) {
            field.network.set_both(node, other, mode);
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::reconnect(field, hold)
    }
}
