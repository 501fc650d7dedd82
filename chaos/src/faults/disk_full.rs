//! A full disk: all room on a node's disk is taken, and given back later.

use anyhow::{Context, Result};

use super::{Coverage, Fault, Hold, Lane};
use crate::disks;
use crate::field::Field;
use crate::plan::Step;

/// See the module.
pub(super) struct DiskFull;

impl Fault for DiskFull {
    fn name(&self) -> &'static str {
        "disk-full"
    }

    fn about(&self) -> &'static str {
        "a node's disk is filled to the last block, then freed; a node that stopped over it is started again"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (1_000, 4_000)
    }

    fn probe(&self) -> Coverage {
        Coverage::of(disks::probe().clone())
    }

    fn needs_disks(&self) -> bool {
        true
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        let taken = field.disks.get(node).context("find its disk")?.fill()?;
        Ok(Hold::new(vec![node], format!("{} MiB taken, none left", taken / 1024 / 1024)))
    }

    fn heal(&self, field: &mut Field<'_>, step: &Step, hold: &mut Hold) -> Result<String> {
        let node = hold.nodes[0];
        field.disks.get(node).context("find its disk")?.empty()?;
        // Space that returns is to be enough; every second time the operator restarts the node all the same.
        if !field.runs(node) || step.dice.is_multiple_of(2) {
            let ran = field.runs(node);
            field.kill_running(&hold.nodes)?;
            field.start(&hold.nodes)?;
            return Ok(format!(
                "freed; {} and was started again",
                if ran { "ran on" } else { "had ended" }
            ));
        }
        Ok("freed".to_owned())
    }
}
