//! SIGSTOP and SIGCONT: a node that does not notice how much time has passed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::poll;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// How long a signal may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Pause;

impl Fault for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    fn about(&self) -> &'static str {
        "SIGSTOP for 0.1-5 s, then SIGCONT"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn weight(&self) -> u64 {
        3
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (100, 5_000)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let nodes = field.pick(step.whom)?;
        for place in &nodes {
            field.cluster.pause(&field.name(*place))?;
        }
        let fired = poll(ARRIVES_WITHIN, || nodes.iter().all(|place| field.is_stopped(*place)));
        ensure!(fired, "a node went on after SIGSTOP");
        Ok(Hold::new(nodes, "stopped"))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        for place in &hold.nodes {
            field.cluster.resume(&field.name(*place)).context("let a node go on")?;
        }
        Ok("went on".to_owned())
    }
}
