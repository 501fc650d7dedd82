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
    for name in homes(field) {
        for workspace in workspaces {
            write(field, &name, workspace, deadline).await?;
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

/// Those of them that are in the region of the tenants that the load goes to.
pub fn homes(field: &Field<'_>) -> Vec<String> {
    let region = field.cluster.layout().regions()[0];
    let live = live(field);
    let at_home = field.cluster.nodes().iter().filter(|node| node.region == region);
    at_home
        .map(|node| node.name.clone())
        .filter(|name| live.contains(name))
        .collect()
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
        match seen.collect::<Result<Vec<_>>>().and_then(|seen| agree(live, &seen)) {
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

fn agree(nodes: &[String], seen: &[Vec<Cell>]) -> Result<()> {
    ensure!(
        !seen.is_empty() && seen.iter().all(|cells| !cells.is_empty()),
        "there is no cell"
    );
    for cell in seen.iter().flatten() {
        // Nodes of other regions need not know.
        let is_member = |node: &String| cell.replicas.iter().any(|replica| replica.node == *node);
        let members = nodes.iter().zip(seen).filter(|(node, _)| is_member(node));
        let mut first: Option<&Cell> = None;
        for (_, others) in members {
            let Some(other) = others.iter().find(|other| other.name == cell.name) else {
                bail!("a node does not know {}", cell.name);
            };
            ensure!(other.leader.is_some(), "nobody leads {}", cell.name);
            let first = *first.get_or_insert(other);
            ensure!(
                (&other.leader, other.term) == (&first.leader, first.term),
                "{}: {:?} in term {} for one, {:?} in term {} for another",
                cell.name,
                first.leader,
                first.term,
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
            "last_log": 1, "applied": 1, "durable": 1, "log_bytes": 1, "tenants": 1, "stopped": null,
            "replicas": [{ "node": "a", "number": 1, "role": "leader" }, { "node": "b", "number": 2, "role": "follower" }] });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn all_must_name_one_leader_in_one_term() {
        let names = ["a", "b", "elsewhere"].map(str::to_owned);
        let agreed = |cells: &[Cell]| agree(&names, &cells.iter().map(|cell| vec![cell.clone()]).collect::<Vec<_>>());
        agreed(&[cell(Some("a"), 3), cell(Some("a"), 3)]).unwrap();
        for other in [cell(Some("b"), 3), cell(Some("a"), 4), cell(None, 3)] {
            assert!(agreed(&[cell(Some("a"), 3), other.clone()]).is_err(), "{other:?}");
        }
        assert!(agreed(&[cell(None, 3), cell(None, 3)]).is_err());
        let far = [cell(Some("a"), 3), cell(Some("a"), 3), cell(None, 0)];
        agreed(&far).unwrap();
    }
}
