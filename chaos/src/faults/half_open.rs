//! Connections that stay open and pass nothing, as when a router forgot them; new ones pass.

use anyhow::Result;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// See the module.
pub(super) struct HalfOpen;

impl Fault for HalfOpen {
    fn name(&self) -> &'static str {
        "half-open"
    }

    fn about(&self) -> &'static str {
        "all connections of one node go silent, new ones pass"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        2
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (500, 3_000)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_connected(step.whom)?;
        let hold = super::links::watched(field, vec![node], "its connections are silent");
        for other in field.others(node) {
            field.network.half_open(node, other);
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::strike(field, hold, |node, other| field.network.half_open(node, other));
        let said = super::links::reconnect(field, hold);
        for place in &hold.nodes {
            for other in field.others(*place) {
                field.network.reset(*place, other);
            }
        }
        said
    }
}
