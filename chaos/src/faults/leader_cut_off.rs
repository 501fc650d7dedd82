//! The leader is cut off from its followers, and its clients stay attached to it: what it answers alone must not be believed.

use anyhow::Result;
use rig::random::Random;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::{Step, Whom};
use crate::proxy::Mode;

/// See the module.
pub(super) struct LeaderCutOff;

impl Fault for LeaderCutOff {
    fn name(&self) -> &'static str {
        "leader-cut-off"
    }

    fn about(&self) -> &'static str {
        "all links of the leader swallowed while clients reach it"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        4
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (800, 4_000)
    }

    fn whom(&self, _: &mut Random, _: usize) -> Whom {
        Whom::Leader
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(Whom::Leader)?;
        let hold = super::links::watched(field, vec![node], "the leader is alone with its clients");
        for other in field.others(node) {
            field.network.set_both(
                node,
                other,
                if step.dice.is_multiple_of(3) {
                    Mode::Cut
                } else {
                    Mode::Swallow
                },
            );
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        super::links::reconnect(field, hold)
    }
}
