//! Processes that we started, and conditions that nobody announces.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::output::Output;
use crate::http;

/// How often a condition is looked at that nobody announces.
const POLL: Duration = Duration::from_millis(20);
/// How long a process may be inside `execve`.
const EXEC_WITHIN: Duration = Duration::from_secs(5);

/// Something we started: the supervisor, or a node of a detached cluster.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) output: Output,
}

impl Process {
    /// Kills it and, if it is the supervisor, the nodes that it started. Order matters: a supervisor that lives would start
    /// its nodes again.
    pub(super) fn end(&mut self, data: &Path) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.output.pids() {
            let _ = send(pid, Signal::CONT, data);
            let _ = send(pid, Signal::KILL, data);
        }
    }
}

/// Looks until `done` is true or the time is up; returns the last answer.
pub fn poll(within: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// Signals a process, provided that it is one of ours: `data` stands on its command line.
pub(super) fn send(pid: u32, signal: Signal, data: &Path) -> Result<()> {
    let mut line = Vec::new();
    // The kernel shows an empty command line while a process is inside `execve`, and for ever once it is a zombie.
    poll(EXEC_WITHIN, || {
        line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !line.is_empty() || !is_alive(pid)
    });
    anyhow::ensure!(
        http::find(&line, data.as_os_str().as_encoded_bytes()).is_some(),
        "process {pid} is not of this cluster, or not any more"
    );
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).context("read a process id")?;
    kill_process(raw, signal).with_context(|| format!("signal process {pid}"))
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.starts_with(" Z") && !rest.starts_with(" X"))
}

pub(super) fn wait_child(child: &mut Child, within: Duration) -> Result<std::process::ExitStatus> {
    let mut status = None;
    let mut failure = None;
    poll(within, || match child.try_wait() {
        Ok(seen) => {
            status = seen;
            seen.is_some()
        }
        Err(error) => {
            failure = Some(error);
            true
        }
    });
    if let Some(error) = failure {
        return Err(error).context("look at a child");
    }
    status.with_context(|| format!("process {} did not end within {within:?}", child.id()))
}
