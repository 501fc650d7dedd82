//! What must come back once everything is healed: every node ready, one leader a group whom all name, writes on every node, and
//! replicas that stand at one position.
//!
//! A minute is allowed for all of it. A node whose disk was damaged may say that its replica is stopped: it is left out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::body::control::Cell;
use api::body::record::NewRecord;
use rig::cluster::poll;
use serde_json::json;

use crate::field::Field;
use crate::stop;
use crate::workload::Workspace;

/// How long all of it may take.
pub const WITHIN: Duration = Duration::from_secs(60);
/// How long one answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Waits for nodes and leaders, then writes on every node. Returns the names of the nodes that take part.
pub async fn require(field: &mut Field<'_>, workspaces: &[Workspace]) -> Result<Vec<String>> {
    let deadline = Instant::now() + WITHIN;
    let live = settle(field, deadline)?;
    for name in &live {
        for workspace in workspaces {
            write(field, name, workspace, deadline).await?;
        }
    }
    Ok(live)
}

/// Waits until every node is ready and all name one leader a group. Returns the names of the nodes that take part.
pub fn settle(field: &mut Field<'_>, deadline: Instant) -> Result<Vec<String>> {
    leave_out_damaged(field)?;
    let live = live(field);
    for name in &live {
        field.cluster.wait_ready(name, left(deadline))?;
    }
    leaders(field, &live, deadline)?;
    Ok(live)
}

/// The nodes that are not gone for good.
pub fn live(field: &Field<'_>) -> Vec<String> {
    let places = (0..field.network.nodes()).filter(|place| !field.lost.contains(place));
    places.map(|place| field.name(place)).collect()
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A node with a damaged disk may have ended or stopped a replica: that is what it should do when it cannot repair itself.
pub fn leave_out_damaged(field: &mut Field<'_>) -> Result<()> {
    for place in field.doubtful.clone() {
        if field.lost.contains(&place) {
            continue;
        }
        let address = field.cluster.nodes()[place].api;
        let mut cells = Vec::new();
        let answered = poll(ANSWERS_WITHIN, || {
            cells = rig::verify::cells_of(address, field.cluster.operator_token(), ANSWERS_WITHIN).unwrap_or_default();
            !cells.is_empty() || !field.runs(place)
        });
        if !answered || !field.runs(place) || cells.iter().any(|cell: &Cell| cell.stopped.is_some()) {
            field.kill_running(&[place])?;
            field.lost.push(place);
        }
    }
    Ok(())
}

/// Every group has one leader, and all nodes name it in the same term.
fn leaders(field: &Field<'_>, live: &[String], deadline: Instant) -> Result<()> {
    let mut last = String::new();
    let agreed = poll(left(deadline), || {
        let seen = live.iter().map(|name| {
            let address = field.cluster.layout().node(name)?.api;
            rig::verify::cells_of(address, field.cluster.operator_token(), ANSWERS_WITHIN)
        });
        match seen.collect::<Result<Vec<_>>>().and_then(|seen| agree(&seen)) {
            Ok(()) => true,
            Err(error) => {
                last = format!("{error:#}");
                stop::is_asked()
            }
        }
    });
    ensure!(
        agreed && !stop::is_asked(),
        "the nodes do not agree on one leader a group: {last}"
    );
    Ok(())
}

fn agree(seen: &[Vec<Cell>]) -> Result<()> {
    let first = seen.first().context("no node answered")?;
    ensure!(!first.is_empty(), "there is no cell");
    for cell in first {
        let leader = cell.leader.as_ref().with_context(|| format!("nobody leads {}", cell.name))?;
        for others in seen {
            let Some(other) = others.iter().find(|other| other.name == cell.name) else {
                bail!("a node does not know {}", cell.name);
            };
            ensure!(
                (other.leader.as_ref(), other.term) == (Some(leader), cell.term),
                "{}: {leader} in term {} for one, {:?} in term {} for another",
                cell.name,
                cell.term,
                other.leader,
                other.term
            );
        }
    }
    Ok(())
}

/// One write through one node. Tasks are not among what the history records, so this one disturbs no checker.
async fn write(field: &Field<'_>, node: &str, workspace: &Workspace, deadline: Instant) -> Result<()> {
    let address = field.cluster.layout().node(node)?.api;
    let client = rig::tenant::client_of(address, &workspace.token)?;
    let fields = json!({ "title": format!("{}-liveness-{node}", workspace.tag) });
    let new = NewRecord {
        id: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
    };
    let key = format!("liveness-{node}");
    loop {
        match client.record_create(&workspace.slug, "tasks", &new, Some(&key)).await {
            Ok(_) => return Ok(()),
            Err(error) if left(deadline).is_zero() || stop::is_asked() => {
                return Err(error).with_context(|| format!("write to {} on {node}", workspace.slug));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(leader: Option<&str>, term: u64) -> Cell {
        let text = json!({ "name": "c", "region": "r", "kind": "shared", "replicated": true, "leader": leader, "term": term,
            "last_log": 1, "applied": 1, "durable": 1, "log_bytes": 1, "tenants": 1, "replicas": [], "stopped": null });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn all_must_name_one_leader_in_one_term() {
        let agreed = |cells: &[Cell]| agree(&cells.iter().map(|cell| vec![cell.clone()]).collect::<Vec<_>>());
        agreed(&[cell(Some("a"), 3), cell(Some("a"), 3)]).unwrap();
        for other in [cell(Some("b"), 3), cell(Some("a"), 4), cell(None, 3)] {
            assert!(agreed(&[cell(Some("a"), 3), other.clone()]).is_err(), "{other:?}");
        }
        assert!(agreed(&[cell(None, 3), cell(None, 3)]).is_err());
    }
}
