//! Brings a topology about, step by step, where this node leads the directory.
//!
//! What is wanted and how far it is stands in the directory: whoever leads next goes on. A step that cannot be done now is tried again;
//! why is told to who asks.

use std::sync::Arc;
use std::time::Duration;

use api::error::Error;
use bytes::Bytes;
use raft::NodeId;

use super::platform::Platform;
use super::relay::What;
use crate::cluster::begin::wanted;
use crate::cluster::limited::TopologyChange;
use crate::cluster::step::{Act, Step, next};
use crate::cluster::turn::ApplyTurn;
use crate::config::{CellEntry, Topology};
use crate::directory::topology;
use crate::machine::envelope::seal;
use crate::machine::rows::Actor;
use crate::service::error::internal;

/// Between two looks at whether something is wanted.
const LOOK: Duration = Duration::from_millis(200);
/// Between two attempts of a step.
const AGAIN: Duration = Duration::from_millis(500);

/// Works for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    loop {
        let leads = platform
            .directory
            .seat()
            .and_then(|seat| seat.get())
            .is_some_and(|replica| replica.group.is_leader());
        let pause = match leads {
            false => LOOK,
            true => match turn(&platform).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK,
                Err(error) => {
                    tracing::info!(error = error.detail, "a step towards the wanted topology cannot be done yet");
                    platform.tell_waiting(Some(error.detail));
                    AGAIN
                }
            },
        };
        tokio::time::sleep(pause).await;
    }
}

/// Does one step; false: nothing is wanted.
async fn turn(platform: &Arc<Platform>) -> Result<bool, Error> {
    let snapshot = platform.directory.read()?;
    let Some(wanted) = wanted(&snapshot).map_err(|fault| internal(&fault))? else {
        platform.tell_waiting(None);
        return Ok(false);
    };
    let (version, current) = topology::read(&snapshot)
        .map_err(|fault| internal(&fault))?
        .unwrap_or_default();
    drop(snapshot);
    let target = wanted.topology;
    let step = next(&current, &target);
    let then = match &step {
        None => None,
        Some(step) => {
            act(platform, step).await?;
            Some((&step.then).into())
        }
    };
    let done = ApplyTurn {
        operation: wanted.operation,
        after: version,
        then,
    };
    let then = step.as_ref().map(|step| &step.then);
    platform
        .change_topology(Actor::System, TopologyChange::Turn(done), then)
        .await?;
    platform.tell_waiting(None);
    match step {
        Some(step) => tracing::info!(step = step.what, "a step towards the wanted topology is done"),
        None => tracing::info!(operation = %wanted.operation, "the topology is as it was wanted"),
    }
    Ok(true)
}

async fn act(platform: &Arc<Platform>, step: &Step) -> Result<(), Error> {
    let (group, what, names) = match &step.act {
        Act::Nothing => return Ok(()),
        Act::Form(cell) => {
            let cell = step
                .then
                .cell(*cell)
                .ok_or_else(|| internal(&"a cell that is formed is not there"))?;
            return form(platform, cell, &step.then.numbers(&cell.nodes)).await;
        }
        Act::Voters(group, names) => (*group, What::Voters, names),
    };
    let payload = Bytes::from(seal(names));
    let mut failure = super::directory::away();
    for attempt in 0..platform.members(group).len().max(1) {
        match platform.leader_of(group, attempt) {
            Some(number) if number == platform.me.number => {
                let replica = platform.slot(group).ok_or_else(super::directory::away)?.take_part()?;
                let changed = platform.change_voters(&replica, names).await;
                return changed.map_err(|reason| Error::new(api::error::Code::Unavailable, reason));
            }
            Some(number) => match platform.ask(NodeId(number), what, group, &payload).await {
                Ok(_) => return Ok(()),
                Err(error) => failure = error,
            },
            None => {}
        }
    }
    Err(failure)
}

/// Gives a cell its first members. It serves when this ends: at the level of its nodes, so that nothing is refused in its first second.
async fn form(platform: &Arc<Platform>, cell: &CellEntry, nodes: &[u64]) -> Result<(), Error> {
    let first = *nodes.first().ok_or_else(|| internal(&"a cell without nodes"))?;
    if first == platform.me.number {
        let slot = platform.slot(cell.number).ok_or_else(super::directory::away)?;
        platform.initialize_group(&*slot.take_part()?, &cell.nodes).await?;
    } else {
        platform.initialize_at(NodeId(first), cell.number, &cell.nodes).await?;
    }
    platform.wait_level_of(cell.number, nodes).await
}

/// The nodes that answer, of these.
pub(crate) async fn answering(platform: &Arc<Platform>, topology: &Topology, names: &[String]) -> Vec<String> {
    let asked = names.iter().map(|name| async move {
        let number = topology.node(name)?.number;
        let answers = number == platform.me.number
            || platform
                .ask(NodeId(number), What::Alive, crate::directory::GROUP, &Bytes::new())
                .await
                .is_ok();
        answers.then(|| name.clone())
    });
    futures_util::future::join_all(asked).await.into_iter().flatten().collect()
}
