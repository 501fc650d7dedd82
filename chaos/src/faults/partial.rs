//! One link is gone: two nodes do not reach each other, and both reach the third.

use anyhow::Result;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;
use crate::proxy::Mode;

/// See the module.
pub(super) struct Partial;

impl Fault for Partial {
    fn name(&self) -> &'static str {
        "partial"
    }

    fn about(&self) -> &'static str {
        "the link between two nodes cut, or swallowed"
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
        let mut others = field.others(node);
        if others.iter().any(|other| field.runs(*other)) {
            others.retain(|other| field.runs(*other));
        }
        // The remainder of a length fits.
        let other = others[(step.dice % others.len() as u64) as usize];
        let mode = if step.dice.is_multiple_of(5) {
            Mode::Swallow
        } else {
            Mode::Cut
        };
        let hold = super::links::watched(field, vec![node, other], format!("they do not reach each other ({mode:?})"));
        field.network.set_both(node, other, mode);
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::reconnect(field, hold)
    }
}
