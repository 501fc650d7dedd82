//! One direction is lost: a node hears the others, who hear nothing of it, or the other way round.

use anyhow::Result;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;
use crate::proxy::Mode;

/// See the module.
pub(super) struct OneWay;

impl Fault for OneWay {
    fn name(&self) -> &'static str {
        "one-way"
    }

    fn about(&self) -> &'static str {
        "all that one node sends, or all that it is sent, is swallowed"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        3
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (300, 4_000)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_connected(step.whom)?;
        let is_mute = step.dice.is_multiple_of(2);
        let said = if is_mute {
            "mute: what it sends is lost"
        } else {
            "deaf: what it is sent is lost"
        };
        let hold = super::links::watched(field, vec![node], said);
        for other in field.others(node) {
            let (from, to) = if is_mute { (node, other) } else { (other, node) };
            field.network.set(from, to, Mode::Swallow);
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::reconnect(field, hold)
    }
}
