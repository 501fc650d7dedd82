//! SIGTERM: a planned stop. The node hands over what it leads, finishes what it has taken, and ends with exit code 0.

use std::time::Duration;

use anyhow::Result;
use rig::random::Random;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::{Step, Whom};

/// How long a node may take from SIGTERM to its end.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct HandOver;

impl Fault for HandOver {
    fn name(&self) -> &'static str {
        "hand-over"
    }

    fn about(&self) -> &'static str {
        "SIGTERM, which must end with exit code 0; started again after that"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (1_000, 3_000)
    }

    fn whom(&self, random: &mut Random, nodes: usize) -> Whom {
        // A leader has something to hand over.
        if random.below(4) > 0 {
            Whom::Leader
        } else {
            super::any(random, nodes)
        }
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let nodes = field.pick(step.whom)?;
        for place in &nodes {
            field.cluster.terminate(&field.name(*place))?;
        }
        Ok(Hold::new(nodes, "asked to end"))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        for place in &hold.nodes {
            let name = field.name(*place);
            if !field.cluster.wait_ended(&name, ENDS_WITHIN)? {
                let words = field.last_words(*place);
                field.findings.push(format!(
                    "{name} did not end with exit code 0 after SIGTERM; the end of its log: {words}"
                ));
            }
        }
        field.start(&hold.nodes)?;
        Ok("ended and started again".to_owned())
    }
}
