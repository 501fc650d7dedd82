//! Every connection of one node is reset once; new ones pass.

use std::time::Duration;

use anyhow::Result;
use rig::cluster::poll;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// How long a node may take until it has a connection.
const CONNECTS_WITHIN: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Reset;

impl Fault for Reset {
    fn name(&self) -> &'static str {
        "reset"
    }

    fn about(&self) -> &'static str {
        "RST of all connections of one node"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        2
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (50, 60)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_connected(step.whom)?;
        let hold = super::watched(field, vec![node], "reset");
        for other in field.others(node) {
            field.network.reset(node, other);
        }
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        // A node that had just come back may have had no connection yet.
        let node = hold.nodes[0];
        poll(CONNECTS_WITHIN, || {
            let met = super::touched(field, node) > hold.mark;
            if !met {
                field
                    .others(node)
                    .into_iter()
                    .for_each(|other| field.network.reset(node, other));
            }
            met
        });
        super::reconnect(field, hold)
    }
}
