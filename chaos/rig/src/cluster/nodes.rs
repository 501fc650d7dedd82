//! One node at a time: its process, signals to it, and waiting for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::Cluster;
use super::process::{poll, send, wait_child};
use crate::{http, nursery};

/// How long a node may take to answer `/readyz` at all.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

impl Cluster {
    /// Its place in the layout.
    pub(super) fn place(&self, name: &str) -> Result<usize> {
        self.nodes()
            .iter()
            .position(|node| node.name == name)
            .with_context(|| format!("there is no node {name}"))
    }

    /// The process id that a node has now, or had last.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let place = self.place(name)?;
        if let Some(single) = &self.singles[place] {
            return Ok(single.child.id());
        }
        let supervisor = self.supervisor.as_ref().with_context(|| format!("{name} was not started"))?;
        supervisor.output.pid(name).with_context(|| format!("{name} was not started"))
    }

    /// The process ids of all nodes.
    pub fn pids(&self) -> Result<Vec<u32>> {
        self.nodes().iter().map(|node| self.pid(&node.name)).collect()
    }

    /// Kills a node with SIGKILL; returns its process id. Under the supervisor it comes back: see [`Cluster::wait_restarted`].
    pub fn kill(&self, name: &str) -> Result<u32> {
        self.signal(name, Signal::KILL)
    }

    /// Stops a node in its tracks (SIGSTOP).
    pub fn pause(&self, name: &str) -> Result<u32> {
        self.signal(name, Signal::STOP)
    }

    /// Lets a paused node go on (SIGCONT).
    pub fn resume(&self, name: &str) -> Result<u32> {
        self.signal(name, Signal::CONT)
    }

    /// Asks a node to drain and end (SIGTERM).
    pub fn terminate(&self, name: &str) -> Result<u32> {
        self.signal(name, Signal::TERM)
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<u32> {
        let pid = self.pid(name)?;
        send(pid, signal, &self.data()).with_context(|| format!("signal {name}"))?;
        Ok(pid)
    }

    /// Waits until the supervisor has started a node again that had the process id `old`. Returns the new one.
    pub fn wait_restarted(&self, name: &str, old: u32, within: Duration) -> Result<u32> {
        let supervisor = self
            .supervisor
            .as_ref()
            .context("the cluster is detached: nobody restarts a node")?;
        let restarted = supervisor.output.wait(Instant::now() + within, |seen| {
            seen.pids.get(name).is_some_and(|pid| *pid != old)
        });
        if !restarted {
            bail!("{name} (process {old}) was not started again within {within:?}");
        }
        self.pid(name)
    }

    /// Waits until a node of a detached cluster has ended; returns whether its exit code was 0.
    pub fn wait_ended(&mut self, name: &str, within: Duration) -> Result<bool> {
        let place = self.place(name)?;
        let process = self.singles[place]
            .as_mut()
            .with_context(|| format!("{name} was not started by itself"))?;
        let status = wait_child(&mut process.child, within).with_context(|| format!("wait for {name}"))?;
        self.singles[place] = None;
        Ok(status.success())
    }

    /// What a supervisor does: starts every node of a detached cluster that has ended by itself. Returns whose.
    pub fn revive(&mut self) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for (node, single) in self.options.layout.nodes.iter().zip(&mut self.singles) {
            if let Some(process) = single
                && process.child.try_wait().context("look at a child")?.is_some()
            {
                ended.push(node.name.clone());
            }
        }
        for name in &ended {
            self.start_node(name)?;
        }
        Ok(ended)
    }

    /// Runs the program as an operator of this cluster would: `arguments`, then the configuration and the operator's token.
    pub fn operate(&self, arguments: &[&str]) -> Result<std::process::Child> {
        let mut command = nursery::command(&self.options.binary);
        command.args(arguments).arg("--config").arg(self.config());
        command.env("CLOUDNEST_TOKEN", &self.token).stdin(std::process::Stdio::null());
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        nursery::spawn(command)
    }

    /// Waits until a node answers `/readyz` with 200.
    pub fn wait_ready(&self, name: &str, within: Duration) -> Result<()> {
        let address = self.options.layout.node(name)?.api;
        let mut last = String::new();
        let ready = poll(within, || match http::status(address, "/readyz", "", READY_TIMEOUT) {
            Ok((200, _)) => true,
            Ok((status, body)) => {
                last = format!("{status} {}", String::from_utf8_lossy(&body));
                false
            }
            Err(error) => {
                last = format!("{error:#}");
                false
            }
        });
        if !ready {
            bail!(
                "{name} was not ready within {within:?}; the last answer: {last}\n{}",
                self.tails()
            );
        }
        Ok(())
    }
}
