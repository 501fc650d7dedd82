//! Disks that fail: `strace` attached to a running node answers its system calls in the kernel's place.
//!
//! EIO on fsync, ENOSPC on write, and an fsync that lies: it says yes and does nothing, and then the power is cut. A node whose
//! disk failed may stop itself; it is started again when the disk works. One that was lied to may find its log damaged and
//! refuse to start, which is right; the run goes on without it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::poll;
use rig::nursery;

use super::{Coverage, Fault, Hold, Lane};
use crate::disks;
use crate::field::Field;
use crate::plan::Step;

/// How long strace may take to attach to all threads of a node.
const ATTACHED_WITHIN: Duration = Duration::from_secs(5);
/// How long a quiet node may take to make the call.
const FIRES_WITHIN: Duration = Duration::from_secs(2);
/// How long a node that was lied to is watched for whether it refuses to start.
const REFUSES_WITHIN: Duration = Duration::from_secs(3);
const STRACE: &str = "/usr/bin/strace";

/// System calls that are answered.
pub(super) struct Syscalls {
    name: &'static str,
    about: &'static str,
    /// What strace is told.
    rules: &'static [&'static str],
    /// The power is cut at the end.
    lies: bool,
    /// How often it is drawn.
    weight: u64,
}

/// fsync fails.
pub(super) static EIO: Syscalls = Syscalls {
    name: "eio",
    about: "EIO from every fsync and fdatasync of a node, for a while",
    rules: &["fsync,fdatasync:error=EIO"],
    lies: false,
    weight: 1,
};

/// Writing fails.
pub(super) static ENOSPC: Syscalls = Syscalls {
    name: "enospc",
    about: "ENOSPC from every pwrite, fallocate and ftruncate of a node, for a while",
    rules: &["pwrite64,fallocate,ftruncate:error=ENOSPC"],
    lies: false,
    weight: 1,
};

/// Writing fails as a broken disk does. Only where it is asked for, so that seeds keep their plans.
pub(super) static EIO_ON_WRITE: Syscalls = Syscalls {
    name: "eio-on-write",
    about: "EIO from every pwrite of a node, for a while",
    rules: &["pwrite64:error=EIO"],
    lies: false,
    weight: 0,
};

/// fsync finds no space, as it may on a file system that allocates late. Only where it is asked for.
pub(super) static ENOSPC_ON_FSYNC: Syscalls = Syscalls {
    name: "enospc-on-fsync",
    about: "ENOSPC from every fsync and fdatasync of a node, for a while",
    rules: &["fsync,fdatasync:error=ENOSPC"],
    lies: false,
    weight: 0,
};

/// fsync lies, and the power goes.
pub(super) static FSYNC_LIE: Syscalls = Syscalls {
    name: "fsync-lie",
    about: "fsync and fdatasync of one node do nothing and say yes, then its power is cut",
    rules: &["fsync,fdatasync:retval=0"],
    lies: true,
    weight: 1,
};

impl Syscalls {
    fn trace(field: &Field<'_>) -> PathBuf {
        let config = field.cluster.config();
        config.parent().unwrap_or(Path::new("/tmp")).join("strace.out")
    }
}

impl Fault for Syscalls {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn lane(&self) -> Lane {
        if self.lies { Lane::Last } else { Lane::Nodes }
    }

    fn weight(&self) -> u64 {
        self.weight
    }

    fn damages(&self) -> bool {
        self.lies
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (800, 2_500)
    }

    fn probe(&self) -> Coverage {
        if !Path::new(STRACE).exists() {
            return Coverage::NotCovered("strace is not installed".to_owned());
        }
        if self.lies
            && let Err(reason) = disks::probe()
        {
            return Coverage::NotCovered(reason.clone());
        }
        let mut command = std::process::Command::new(STRACE);
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:retval=0", "/bin/true"]);
        Coverage::of(disks::run(&mut command).map_err(|error| format!("{error:#}")))
    }

    fn needs_disks(&self) -> bool {
        self.lies
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let drawn = field.pick_one(step.whom)?;
        // Whoever is cut off has nothing to write.
        let busy = |node: &usize| field.runs(*node) && field.network.is_connected(*node);
        let node = std::iter::once(drawn).chain(field.others(drawn)).find(busy).unwrap_or(drawn);
        let pid = field.cluster.pid(&field.name(node))?;
        let out = Self::trace(field);
        let _ = std::fs::remove_file(&out);
        let mut command = nursery::command(Path::new(STRACE));
        command.args(["-f", "-qq", "-p", &pid.to_string(), "-o"]).arg(&out);
        for rule in self.rules {
            let calls = rule.split(':').next().unwrap_or_default();
            command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={rule}")]);
        }
        let mut hold = Hold::new(vec![node], self.about);
        hold.children.push(nursery::spawn(command)?);
        let attached = poll(ATTACHED_WITHIN, || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
            tracer.is_some_and(|tracer| tracer.trim() != "0") || status.is_empty()
        });
        ensure!(attached, "strace did not attach within {ATTACHED_WITHIN:?}");
        Ok(hold)
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        let node = hold.nodes[0];
        let trace = Self::trace(field);
        let injected = || {
            let seen = std::fs::read_to_string(&trace).unwrap_or_default();
            seen.matches("(INJECTED)").count()
        };
        poll(FIRES_WITHIN, || injected() > 0 || !field.runs(node));
        if self.lies {
            field.disks.get(node).context("find its disk")?.cut()?;
        }
        let ended = !field.runs(node);
        field.kill_running(&[node])?;
        hold.children.end();
        let injected = injected();
        if self.lies {
            let disk = field.disks.get_mut(node).context("find its disk")?;
            disk.unmount()?;
            disk.mount()?;
        }
        field.start(&[node])?;
        ensure!(injected > 0, "no system call was answered");
        let mut said = format!(
            "{injected} calls answered; the node {}",
            if ended { "had ended" } else { "ran on" }
        );
        if self.lies && poll(REFUSES_WITHIN, || !field.runs(node)) {
            field.lost.push(node);
            said.push_str(" and refused to start with what is left");
        }
        Ok(said)
    }
}
