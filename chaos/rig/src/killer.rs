//! Kills nodes of a supervised cluster, one at a time, each time waiting until it serves again.
//!
//! Every second victim, the first among them, is the node that leads the first cell at that moment, because that is where
//! acknowledgements come from; the others are drawn from the seed. So are the pauses.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::random::Random;
use crate::verify::cells_of;

/// How long a killed node may take to serve again.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Shortest pause between two kills, in milliseconds: from when the last victim serves.
const PAUSE_MIN_MILLIS: u64 = 50;
/// Longest pause between two kills, in milliseconds.
const PAUSE_MAX_MILLIS: u64 = 700;
/// How long a node may take to say who leads.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Kills until the sender of `stop` is used or dropped, and at least `at_least` times. `on_kill` hears how many it were, at
/// each. Returns the victims in order.
pub fn kill_until(
    cluster: &Cluster,
    seed: u64,
    at_least: usize,
    stop: &Receiver<()>,
    mut on_kill: impl FnMut(usize),
) -> Result<Vec<String>> {
    let mut random = Random::new(seed);
    let mut victims = Vec::new();
    loop {
        let pause = Duration::from_millis(PAUSE_MIN_MILLIS + random.below(PAUSE_MAX_MILLIS - PAUSE_MIN_MILLIS));
        let stopped = !matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
        if stopped && victims.len() >= at_least {
            return Ok(victims);
        }
        let nodes = cluster.nodes();
        // The remainder of a length fits.
        let drawn = &nodes[random.below(nodes.len() as u64) as usize].name;
        let leader = if victims.len().is_multiple_of(2) {
            leader(cluster)
        } else {
            None
        };
        let victim = leader.unwrap_or_else(|| drawn.clone());
        let old = cluster.kill(&victim)?;
        victims.push(victim.clone());
        on_kill(victims.len());
        cluster.wait_restarted(&victim, old, BACK_WITHIN)?;
        cluster.wait_ready(&victim, BACK_WITHIN)?;
    }
}

/// The node that leads the first cell which holds tenants; `None` where nobody knows.
fn leader(cluster: &Cluster) -> Option<String> {
    let asked = cluster
        .nodes()
        .iter()
        .map(|node| cells_of(node.api, cluster.operator_token(), ANSWER_WITHIN));
    let mut known = asked.flatten().flatten().filter(|cell| cell.kind != "directory");
    let leader = known.find_map(|cell| cell.leader)?;
    cluster.layout().node(&leader).is_ok().then_some(leader)
}
