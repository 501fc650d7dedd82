//! `kill -9`: of whoever leads, of anybody, of all at once.

use anyhow::Result;
use rig::random::Random;

use super::{Fault, Hold, Lane, any};
use crate::field::Field;
use crate::plan::{Step, Whom};

/// See the module.
pub(super) struct Kill;

impl Fault for Kill {
    fn name(&self) -> &'static str {
        "kill"
    }

    fn about(&self) -> &'static str {
        "SIGKILL of the leader, of any node, or of all at once; started again after a while"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn weight(&self) -> u64 {
        5
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (50, 1_500)
    }

    fn whom(&self, random: &mut Random, nodes: usize) -> Whom {
        match random.below(5) {
            0..=1 => Whom::Leader,
            2..=3 => any(random, nodes),
            _ => Whom::All,
        }
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let nodes = field.pick(step.whom)?;
        field.kill(&nodes)?;
        Ok(Hold::new(nodes, "killed"))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        field.start(&hold.nodes)?;
        Ok("started again".to_owned())
    }
}
