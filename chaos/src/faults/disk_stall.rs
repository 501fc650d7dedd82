//! A disk that does not answer for a while (`fsfreeze`): nothing that writes or syncs comes back before it thaws.

use anyhow::{Context, Result};

use super::{Coverage, Fault, Hold, Lane};
use crate::disks;
use crate::field::Field;
use crate::plan::Step;

/// See the module.
pub(super) struct DiskStall;

impl Fault for DiskStall {
    fn name(&self) -> &'static str {
        "disk-stall"
    }

    fn about(&self) -> &'static str {
        "fsfreeze of a node's disk for 0.5-3 s"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (500, 3_000)
    }

    fn probe(&self) -> Coverage {
        Coverage::of(disks::probe().clone())
    }

    fn needs_disks(&self) -> bool {
        true
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        field.disks.get_mut(node).context("find its disk")?.freeze()?;
        Ok(Hold::new(vec![node], "frozen"))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        for place in &hold.nodes {
            field.disks.get_mut(*place).context("find its disk")?.thaw()?;
        }
        Ok("thawed".to_owned())
    }
}
