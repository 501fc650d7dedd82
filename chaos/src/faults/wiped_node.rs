//! A node that lost all its data and comes back under its old name: it must not vote, for it has forgotten what it promised.
//!
//! It may refuse to start, or run and wait; once it holds a replica that has applied something, it has been taken back.

use std::time::Duration;

use anyhow::{Context, Result};
use rig::cluster::poll;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// How long it is watched.
const WATCHED_FOR: Duration = Duration::from_secs(4);

/// See the module. The run goes on without the node.
pub(super) struct WipedNode;

impl Fault for WipedNode {
    fn name(&self) -> &'static str {
        "wiped-node"
    }

    fn about(&self) -> &'static str {
        "SIGKILL, the data directory emptied, started under the old name: it must not be taken back"
    }

    fn lane(&self) -> Lane {
        Lane::Last
    }

    fn damages(&self) -> bool {
        true
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (50, 500)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        field.kill(&[node])?;
        let directory = field.cluster.data().join(field.name(node));
        clear(&directory)?;
        Ok(Hold::new(vec![node], "wiped"))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        let node = hold.nodes[0];
        field.start(&[node])?;
        let mut taken = None;
        poll(WATCHED_FOR, || {
            taken = field.taken_back(node);
            taken.is_some() || !field.runs(node)
        });
        let ended = !field.runs(node);
        field.kill_running(&[node])?;
        field.lost.push(node);
        if let Some(what) = taken {
            let name = field.name(node);
            field.findings.push(format!(
                "{name} lost all its data and was taken back under its old name: {what}"
            ));
        }
        let what = if ended {
            "it refused to start"
        } else {
            "it waited, and was stopped"
        };
        Ok(what.to_owned())
    }
}

/// Removes all that is in a directory, which stays.
pub(super) fn clear(directory: &std::path::Path) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))? {
        let path = entry.context("list a directory")?.path();
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}
