//! A cloned data directory: a node starts on a copy of another's data, and must refuse it. Its own is given back afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rig::cluster::poll;

use super::wiped_node::clear;
use super::{Fault, Hold, Lane};
use crate::disks::run;
use crate::field::Field;
use crate::plan::Step;

/// How long it may take to notice.
const REFUSES_WITHIN: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct ClonedNode;

fn aside(field: &Field<'_>) -> PathBuf {
    let config = field.cluster.config();
    config.parent().unwrap_or(Path::new("/tmp")).join("aside")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    let mut command = Command::new("cp");
    command.args(["-a", "--sparse=always", "-T"]).arg(from).arg(to);
    run(&mut command)
}

impl Fault for ClonedNode {
    fn name(&self) -> &'static str {
        "cloned-node"
    }

    fn about(&self) -> &'static str {
        "SIGKILL of two nodes; one starts on a copy of the other's data, which it must refuse; then each on its own again"
    }

    fn lane(&self) -> Lane {
        Lane::Last
    }

    fn weight(&self) -> u64 {
        1
    }

    fn damages(&self) -> bool {
        true
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (50, 300)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        let others = field.others(node);
        // The remainder of a length fits.
        let other = others[(step.dice % others.len() as u64) as usize];
        let data = field.cluster.data();
        let (own, foreign) = (data.join(field.name(node)), data.join(field.name(other)));
        field.kill(&[node, other])?;
        let aside = aside(field);
        copy(&own, &aside)?;
        clear(&own)?;
        copy(&foreign, &own)?;
        field.start(&[other])?;
        let said = format!("started on a copy of the data of {}", field.name(other));
        Ok(Hold::new(vec![node], said))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        let node = hold.nodes[0];
        field.start(&[node])?;
        let refused = poll(REFUSES_WITHIN, || !field.runs(node));
        field.kill_running(&[node])?;
        let own = field.cluster.data().join(field.name(node));
        clear(&own)?;
        copy(&aside(field), &own)?;
        field.start(&[node])?;
        if !refused {
            let name = field.name(node);
            field
                .findings
                .push(format!("{name} ran on a copy of another node's data for {REFUSES_WITHIN:?}"));
        }
        Ok("it refused; started on its own data again".to_owned())
    }
}
