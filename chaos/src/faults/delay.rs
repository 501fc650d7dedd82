//! Every message of one node arrives late, by a time that varies.

use std::time::Duration;

use anyhow::Result;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;
use crate::proxy::Mode;

/// See the module.
pub(super) struct Delay;

impl Fault for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }

    fn about(&self) -> &'static str {
        "10-120 ms on all links of one node, as much again at random"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        3
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (800, 4_000)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_connected(step.whom)?;
        let delay = Duration::from_millis(10 + step.dice % 110);
        let hold = super::links::watched(field, vec![node], format!("{} ms and up to as much again", delay.as_millis()));
        for other in field.others(node) {
            field.network.set_both(node, other, Mode::Delay(delay, delay));
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::reconnect(field, hold)
    }
}
