//! A tenant moves to another cell of its region: nobody should notice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::random::Random;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::{Step, Whom};
use crate::regions::desk::Desk;
use crate::workload::slugs;

/// How long a move may take that nothing else holds up.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take until one begins.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Relocate;

impl Fault for Relocate {
    fn name(&self) -> &'static str {
        "move"
    }

    fn about(&self) -> &'static str {
        "a tenant moves to another cell while it is used"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn weight(&self) -> u64 {
        0
    }

    fn unseats(&self) -> bool {
        false
    }

    fn needs_another_cell(&self) -> bool {
        true
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (200, 2_000)
    }

    fn whom(&self, _: &mut Random, _: usize) -> Whom {
        Whom::All
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let slug = drawn(step);
        let desk = desk(field);
        let deadline = Instant::now() + BEGINS_WITHIN;
        loop {
            match begin(&desk, slug) {
                Ok((said, operation)) => {
                    return Ok(Hold {
                        operation,
                        ..Hold::new(field.pick(step.whom)?, said)
                    });
                }
                // Leaders that another fault has taken come back.
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn heal(&self, field: &mut Field<'_>, step: &Step, hold: &mut Hold) -> Result<String> {
        let (slug, desk) = (drawn(step), desk(field));
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            match desk.operation(&hold.operation) {
                Ok(operation) if operation.status == "done" => return Ok(format!("{slug} is in {}", desk.cell_of(slug)?)),
                Ok(operation) => ensure!(Instant::now() < deadline, "{slug} still moves: {operation:?}"),
                Err(error) => ensure!(Instant::now() < deadline, "nobody says how far {slug} is: {error:#}"),
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn drawn(step: &Step) -> &'static str {
    // The remainder of a length fits.
    slugs()[(step.dice % slugs().len() as u64) as usize]
}

fn desk(field: &Field<'_>) -> Desk {
    Desk::of(field.cluster, field.cluster.layout().regions()[0])
}

/// Begins a move to another shared cell: what was done, and its operation.
fn begin(desk: &Desk, slug: &str) -> Result<(String, String)> {
    let from = desk.cell_of(slug)?;
    let cells = desk.cells();
    let to = cells.iter().find(|cell| cell.kind == "shared" && cell.name != from);
    let to = &to.context("there is no other cell")?.name;
    let operation = desk.begin(slug, to)?.id.to_string();
    Ok((format!("{slug} from {from} to {to}"), operation))
}
