//! Power loss: a node's disk forgets what was not fsynced, and the node is gone. One, a minority, or all at the same moment.

use anyhow::{Context, Result};
use rig::random::Random;

use super::{Coverage, Fault, Hold, Lane, any};
use crate::disks;
use crate::field::Field;
use crate::plan::{Step, Whom};

/// See the module.
pub(super) struct PowerLoss;

impl Fault for PowerLoss {
    fn name(&self) -> &'static str {
        "power-loss"
    }

    fn about(&self) -> &'static str {
        "ext4 shut down without its journal and SIGKILL, in either order; mounted and started again; one node or all at once"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn weight(&self) -> u64 {
        4
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (50, 1_500)
    }

    fn whom(&self, random: &mut Random, nodes: usize) -> Whom {
        match random.below(5) {
            0 => Whom::Leader,
            1 => any(random, nodes),
            _ => Whom::All,
        }
    }

    fn probe(&self) -> Coverage {
        Coverage::of(disks::probe().clone())
    }

    fn needs_disks(&self) -> bool {
        true
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let nodes = field.pick(step.whom)?;
        // Both orders happen: a machine may lose its disk before its processor, and what a killed process had written without
        // fsync is lost all the same.
        let disk_first = step.dice.is_multiple_of(2);
        if !disk_first {
            field.kill(&nodes)?;
        }
        for place in &nodes {
            field.disks.get(*place).context("find its disk")?.cut()?;
        }
        field.kill_running(&nodes)?;
        let order = if disk_first { "disk first" } else { "process first" };
        Ok(Hold::new(nodes, format!("power cut, {order}")))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        for place in &hold.nodes {
            let disk = field.disks.get_mut(*place).context("find its disk")?;
            disk.unmount()?;
            disk.mount()?;
        }
        field.start(&hold.nodes)?;
        Ok("mounted and started again".to_owned())
    }
}
