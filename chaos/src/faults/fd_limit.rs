//! No file descriptors left: connections of clients take what there is, and those between nodes must still be had.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Coverage, Fault, Hold, Lane};
use crate::disks::run;
use crate::field::Field;
use crate::plan::Step;

/// Descriptors that a node may open beyond those that it has.
const SPARE: usize = 4;
/// Connections that take them.
const CONNECTIONS: usize = 32;

/// How often they are counted.
const LOOK: Duration = Duration::from_millis(2);

/// See the module.
pub(super) struct FdLimit;

fn limit(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/limits");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    soft.with_context(|| format!("read the limit in {path}"))
}

/// How many files a process has open.
fn descriptors(pid: u32) -> Result<usize> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
    Ok(open.context("count open files")?.count())
}

fn set(pid: u32, soft: u64) -> Result<()> {
    run(Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")]))
}

impl Fault for FdLimit {
    fn name(&self) -> &'static str {
        "fd-limit"
    }

    fn about(&self) -> &'static str {
        "a node may open four more files, and idle connections take them"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn weight(&self) -> u64 {
        1
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (1_000, 3_000)
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
        let before = limit(pid)?;
        let open = descriptors(pid)?;
        set(pid, (open + SPARE) as u64)?;
        // They are closed at the end of this step: by then the node has met its limit, or refused them.
        let address = field.cluster.nodes()[node].api;
        let taken: Vec<_> = (0..CONNECTIONS).filter_map(|_| TcpStream::connect(address).ok()).collect();
        // Others come and go meanwhile: what counts is the most that there were at a time.
        let (until, mut most) = (Instant::now() + Duration::from_millis(step.for_ms / 2), open);
        while Instant::now() < until {
            most = most.max(descriptors(pid)?);
            std::thread::sleep(LOOK);
        }
        let said = format!("{open} open files, then {most} with {} connections more", taken.len());
        let reached = most + 1 >= open + SPARE;
        Ok(Hold {
            mark: if reached { before } else { 0 },
            ..Hold::new(vec![node], said)
        })
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        let node = hold.nodes[0];
        let back = if hold.mark == 0 { 1_024 } else { hold.mark };
        if field.runs(node) {
            set(field.cluster.pid(&field.name(node))?, back)?;
        } else {
            field.start(&[node])?;
        }
        ensure!(hold.mark > 0, "the limit was not reached: {}", hold.said);
        Ok("raised again".to_owned())
    }
}
