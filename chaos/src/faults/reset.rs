//! Every connection of one node is reset once; new ones pass.

use anyhow::Result;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// See the module.
pub(super) struct Reset;

impl Fault for Reset {
    fn name(&self) -> &'static str {
        "reset"
    }

    fn about(&self) -> &'static str {
        "RST of all connections of one node"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        2
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (50, 60)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_connected(step.whom)?;
        let hold = super::links::watched(field, vec![node], "reset");
        for other in field.others(node) {
            field.network.reset(node, other);
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::strike(field, hold, |node, other| field.network.reset(node, other));
        super::links::reconnect(field, hold)
    }
}
