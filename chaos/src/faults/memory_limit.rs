//! Little memory is left: the address space of a running node may grow by a little only. What it asks for beyond that it does not get,
//! and it ends, as the kernel would end it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Coverage, Fault, Hold, Lane};
use crate::disks::run;
use crate::field::Field;
use crate::plan::Step;

/// How much more it may take, in bytes.
const SPARE_BYTES: u64 = 24 << 20;

/// See the module.
pub(super) struct MemoryLimit;

/// The size of a process' address space, in bytes.
fn size(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib: Option<u64> = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    Ok(kib.with_context(|| format!("read the size in {path}"))? * 1024)
}

fn set(pid: u32, soft: &str) -> Result<()> {
    run(Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--as={soft}:")]))
}

impl Fault for MemoryLimit {
    fn name(&self) -> &'static str {
        "memory-limit"
    }

    fn about(&self) -> &'static str {
        "a node may take 24 MiB of memory more and no byte beyond"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    /// Only where it is asked for: drawn with the others it would change the plans of all seeds.
    fn weight(&self) -> u64 {
        0
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (1_500, 4_000)
    }

    fn probe(&self) -> Coverage {
        let found = ["/usr/bin/prlimit", "/bin/prlimit"]
            .iter()
            .any(|path| Path::new(path).exists());
        Coverage::of(found.then_some(()).ok_or_else(|| "prlimit is not installed".to_owned()))
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        let pid = field.cluster.pid(&field.name(node))?;
        let before = size(pid)?;
        set(pid, &(before + SPARE_BYTES).to_string())?;
        Ok(Hold {
            mark: before,
            ..Hold::new(vec![node], format!("at {} MiB", before >> 20))
        })
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        let node = hold.nodes[0];
        if !field.runs(node) {
            field.start(&[node])?;
            return Ok("it ended for lack of memory, and was started again".to_owned());
        }
        let pid = field.cluster.pid(&field.name(node))?;
        let now = size(pid)?;
        set(pid, "unlimited")?;
        Ok(format!(
            "it had taken {} MiB more and went on",
            now.saturating_sub(hold.mark) >> 20
        ))
    }
}
