//! Kills nodes of a supervised cluster at random, one at a time, each time waiting until it serves again.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::random::Random;

/// How long a killed node may take to serve again.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Shortest pause between two kills, in milliseconds: from when the last victim serves.
const PAUSE_MIN_MILLIS: u64 = 50;
/// Longest pause between two kills, in milliseconds.
const PAUSE_MAX_MILLIS: u64 = 700;

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
        let victim = &nodes[random.below(nodes.len() as u64) as usize].name;
        let old = cluster.kill(victim)?;
        victims.push(victim.clone());
        on_kill(victims.len());
        cluster.wait_restarted(victim, old, BACK_WITHIN)?;
        cluster.wait_ready(victim, BACK_WITHIN)?;
    }
}
