//! No memory left: a node is put into a memory cgroup whose limit is soon reached. The kernel takes back what it can, which slows the node
//! down, and kills it where that is not enough.
//!
//! What a process had before it was put there does not count: the limit is on what it takes from then on, its part of the page cache
//! included.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rig::cluster::poll;

use super::{Coverage, Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// How long it goes on at most until the limit was met, and how long the kernel may take to let go of the group.
const ENDS_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// What a node may take more, in bytes: a few of its buffers.
const MORE_BYTES: u64 = 6 * 1024 * 1024;
/// Where the controller of version 1 is mounted, and where version 2 is.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];

/// See the module.
pub(super) struct MemoryLimit;

/// A memory cgroup of the harness.
struct Group {
    root: PathBuf,
    dir: PathBuf,
    is_v2: bool,
}

impl Group {
    /// The group of a process, wherever the controller is.
    fn of(pid: u32) -> Result<Self, String> {
        let version = ROOTS.iter().position(|root| {
            let root = Path::new(root);
            let controllers = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            root.join("memory.limit_in_bytes").exists() || controllers.split_ascii_whitespace().any(|one| one == "memory")
        });
        let version = version.ok_or_else(|| "there is no memory controller of cgroups".to_owned())?;
        let root = PathBuf::from(ROOTS[version]);
        let dir = root.join(format!("cloudnest-chaos-{}-{pid}", std::process::id()));
        Ok(Self {
            root,
            dir,
            is_v2: version == 1,
        })
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.dir.join(file);
        std::fs::write(&path, text).with_context(|| format!("write {text} to {}", path.display()))
    }

    fn make(&self) -> Result<()> {
        std::fs::create_dir(&self.dir).with_context(|| format!("make {}", self.dir.display()))?;
        let limit = if self.is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        self.write(limit, &MORE_BYTES.to_string())
    }

    /// How often the limit was met.
    fn met(&self) -> u64 {
        if !self.is_v2 {
            let count = std::fs::read_to_string(self.dir.join("memory.failcnt")).unwrap_or_default();
            return count.trim().parse().unwrap_or(0);
        }
        let events = std::fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("max "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Lets the process go, if it is there, and takes the group away.
    fn end(&self, pid: Option<u32>) -> Result<()> {
        if let Some(pid) = pid {
            let procs = self.root.join("cgroup.procs");
            std::fs::write(&procs, pid.to_string()).with_context(|| format!("move {pid} to {}", procs.display()))?;
        }
        // A process that was killed is gone from it a moment later.
        let gone = poll(ENDS_WITHIN, || std::fs::remove_dir(&self.dir).is_ok() || !self.dir.exists());
        ensure!(gone, "{} cannot be removed", self.dir.display());
        Ok(())
    }
}

/// Tries a group out, without a process.
fn tried() -> Result<(), String> {
    let group = Group::of(0)?;
    let made = group.make();
    let ended = group.end(None);
    made.and(ended)
        .map_err(|error| format!("a memory cgroup cannot be had: {error:#}"))
}

impl Fault for MemoryLimit {
    fn name(&self) -> &'static str {
        "memory-limit"
    }

    fn about(&self) -> &'static str {
        "a node may take 6 MiB more; the kernel takes memory back from it, or kills it, and it is started again"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn weight(&self) -> u64 {
        0
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (1_000, 4_000)
    }

    fn probe(&self) -> Coverage {
        Coverage::of(tried())
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        let pid = field.cluster.pid(&field.name(node))?;
        let group = Group::of(pid).map_err(anyhow::Error::msg)?;
        group.make()?;
        group.write("cgroup.procs", &pid.to_string())?;
        Ok(Hold {
            mark: u64::from(pid),
            ..Hold::new(vec![node], format!("{} MiB more for process {pid}", MORE_BYTES / 1024 / 1024))
        })
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        let (node, pid) = (hold.nodes[0], u32::try_from(hold.mark).context("read the process's number")?);
        let group = Group::of(pid).map_err(anyhow::Error::msg)?;
        poll(ENDS_WITHIN, || group.met() > 0 || !field.runs(node));
        let (met, ran) = (group.met(), field.runs(node));
        group.end(ran.then_some(pid))?;
        if !field.runs(node) {
            field.start(&[node])?;
        }
        ensure!(met > 0 || !ran, "the limit was not reached");
        let end = if ran {
            "ran on"
        } else {
            "was killed over it, and started again"
        };
        Ok(format!("met it {met} times; {end}"))
    }
}
