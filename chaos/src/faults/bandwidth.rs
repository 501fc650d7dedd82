//! Little passes: a link that is full before it is broken.

use anyhow::Result;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;
use crate::proxy::Mode;

/// See the module.
pub(super) struct Bandwidth;

impl Fault for Bandwidth {
    fn name(&self) -> &'static str {
        "bandwidth"
    }

    fn about(&self) -> &'static str {
        "16-256 KiB/s on all links of one node"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        2
    }

    fn unseats(&self) -> bool {
        false
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (800, 4_000)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_connected(step.whom)?;
        let kib = 16 + step.dice % 240;
        let hold = super::links::watched(field, vec![node], format!("{kib} KiB/s"));
        for other in field.others(node) {
            field.network.set_both(node, other, Mode::Bandwidth(kib * 1024));
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::reconnect(field, hold)
    }
}
