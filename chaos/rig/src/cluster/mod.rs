//! A cluster of real processes on this machine.
//!
//! [`Cluster::up`] runs `cloudnest cluster up`, which starts every node as a child of its own and starts a node that died again
//! after a second. [`Cluster::detach`] ends that supervisor and runs each node by itself, so that one that is killed stays
//! dead until [`Cluster::start_node`].
//!
//! Invariants: nodes are signalled by process id only, and only while `/proc` says that the id is still a process with our
//! data directory on its command line. Dropping the cluster ends all of it; when the thread is panicking, the ends of the
//! logs are printed first.

mod output;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::http;
use crate::layout::{Layout, Node};
use crate::nursery;
use output::Output;

/// How often a condition is looked at that nobody announces.
const POLL: Duration = Duration::from_millis(20);
/// How long a node may take to answer `/readyz` at all.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long everything may take to stop after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// How long a process may be inside `execve`.
const EXEC_WITHIN: Duration = Duration::from_secs(5);
/// Lines of each log that are printed when a test fails.
const TAIL_LINES: usize = 60;

/// How to start a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes and addresses.
    pub layout: Layout,
    /// The program: see [`crate::binary`].
    pub binary: PathBuf,
    /// How long it may take until every cell has a leader.
    pub ready_within: Duration,
    /// Where the data goes; `None`: a temporary directory that goes away with the cluster.
    pub data: Option<PathBuf>,
    /// The value of `RUST_LOG` for the nodes; `None`: as it is.
    pub log: Option<String>,
}

impl Options {
    /// A cluster of this layout and program: a temporary directory, and a minute to be ready.
    pub fn new(layout: Layout, binary: PathBuf) -> Self {
        Self {
            layout,
            binary,
            ready_within: Duration::from_secs(60),
            data: None,
            log: None,
        }
    }
}

/// Something we started: the supervisor, or a node of a detached cluster.
#[derive(Debug)]
struct Process {
    child: Child,
    output: Output,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    /// Goes away last.
    directory: tempfile::TempDir,
    supervisor: Option<Process>,
    /// The nodes of a detached cluster by their place in the layout.
    singles: Vec<Option<Process>>,
    token: String,
}

impl Cluster {
    /// Starts `cluster up` and waits until it prints `ready`.
    pub fn up(options: Options) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("cloudnest-rig-")
            .tempdir()
            .context("make a temporary directory")?;
        std::fs::write(directory.path().join("cluster.toml"), options.layout.to_toml()).context("write cluster.toml")?;
        let singles = options.layout.nodes.iter().map(|_| None).collect();
        let mut cluster = Self {
            options,
            directory,
            supervisor: None,
            singles,
            token: String::new(),
        };
        cluster.start_supervisor()?;
        Ok(cluster)
    }

    /// Starts `cluster up` again after [`Cluster::stop`], on the same data.
    pub fn up_again(&mut self) -> Result<()> {
        anyhow::ensure!(
            self.supervisor.is_none() && self.singles.iter().all(Option::is_none),
            "the cluster runs already"
        );
        self.start_supervisor()
    }

    fn start_supervisor(&mut self) -> Result<()> {
        let (config, data) = (self.config(), self.data());
        let arguments = ["cluster", "up", "--config", text(&config)?, "--data", text(&data)?].map(str::to_owned);
        let process = self.spawn("cluster-up", &arguments)?;
        let deadline = Instant::now() + self.options.ready_within;
        let ready = process.output.wait(deadline, |seen| seen.ready);
        self.supervisor = Some(process);
        if !ready {
            bail!(
                "cluster up was not ready within {:?}\n{}",
                self.options.ready_within,
                self.tails()
            );
        }
        let token = self.data().join("operator.token");
        self.token = std::fs::read_to_string(&token)
            .with_context(|| format!("read {}", token.display()))?
            .trim()
            .to_owned();
        Ok(())
    }

    /// Ends the supervisor and its nodes and starts every node by itself: from here on nobody starts a dead node but
    /// [`Cluster::start_node`].
    pub fn detach(&mut self) -> Result<()> {
        self.stop()?;
        for node in self.options.layout.nodes.clone() {
            self.start_node(&node.name)?;
        }
        for node in &self.options.layout.nodes {
            self.wait_ready(&node.name, self.options.ready_within)?;
        }
        Ok(())
    }

    /// Starts a node of a detached cluster that does not run. Does not wait until it is ready.
    pub fn start_node(&mut self, name: &str) -> Result<()> {
        let place = self.place(name)?;
        if let Some(process) = &mut self.singles[place] {
            anyhow::ensure!(
                process.child.try_wait().context("look at a child")?.is_some(),
                "{name} runs already"
            );
        }
        let (config, data) = (self.config(), self.data().join(name));
        let arguments = ["node", "--config", text(&config)?, "--node", name, "--data", text(&data)?].map(str::to_owned);
        self.singles[place] = Some(self.spawn(name, &arguments)?);
        Ok(())
    }

    fn spawn(&self, name: &str, arguments: &[String]) -> Result<Process> {
        let mut command = nursery::command(&self.options.binary);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let log = self.directory.path().join(format!("{name}.stderr"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        command.stderr(log);
        if let Some(filter) = &self.options.log {
            command.env("RUST_LOG", filter);
        }
        let mut child = nursery::spawn(command)?;
        let stdout = child.stdout.take().context("take the child's output")?;
        let output = Output::follow(stdout, &self.directory.path().join(format!("{name}.stdout")))?;
        Ok(Process { child, output })
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.options.layout.nodes
    }

    /// The layout that it was started from.
    pub fn layout(&self) -> &Layout {
        &self.options.layout
    }

    /// Where the nodes serve the API.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes().iter().map(|node| node.api).collect()
    }

    /// The operator's token.
    pub fn operator_token(&self) -> &str {
        &self.token
    }

    /// The `cluster.toml` that it runs on.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("cluster.toml")
    }

    /// Where the nodes keep their data, each in a directory of its name.
    pub fn data(&self) -> PathBuf {
        self.options
            .data
            .clone()
            .unwrap_or_else(|| self.directory.path().join("data"))
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.options.binary
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

    /// Ends everything with SIGTERM. An exit code other than 0, or a process that does not end within a minute, is an error.
    pub fn stop(&mut self) -> Result<()> {
        let singles = self.singles.iter_mut().filter_map(Option::take);
        let processes: Vec<_> = self.supervisor.take().into_iter().chain(singles).collect();
        for process in &processes {
            send(process.child.id(), Signal::TERM, &self.data()).context("stop the cluster")?;
        }
        for mut process in processes {
            let status = wait_child(&mut process.child, STOP_WITHIN);
            if status.is_err() {
                process.end(&self.data());
            }
            let status = status.with_context(|| format!("stop the cluster\n{}", self.tails()))?;
            anyhow::ensure!(
                status.success(),
                "a process ended with {status} after SIGTERM\n{}",
                self.tails()
            );
        }
        Ok(())
    }

    /// The ends of all logs.
    pub fn tails(&self) -> String {
        let mut out = String::new();
        let mut names: Vec<_> = std::fs::read_dir(self.directory.path())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        names.retain(|path| path.extension().is_some_and(|kind| kind == "stdout" || kind == "stderr"));
        names.sort();
        for path in names {
            let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            out.push_str(&format!(
                "--- {name}: the last {} of {} lines\n{}\n",
                tail.len(),
                lines.len(),
                tail.join("\n")
            ));
        }
        out
    }

    fn place(&self, name: &str) -> Result<usize> {
        self.nodes()
            .iter()
            .position(|node| node.name == name)
            .with_context(|| format!("there is no node {name}"))
    }
}

impl Process {
    /// Kills it and, if it is the supervisor, the nodes that it started. Order matters: a supervisor that lives would start
    /// its nodes again.
    fn end(&mut self, data: &Path) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.output.pids() {
            let _ = send(pid, Signal::CONT, data);
            let _ = send(pid, Signal::KILL, data);
        }
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the nodes said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tails());
        }
        let data = self.data();
        for process in self.supervisor.iter_mut().chain(self.singles.iter_mut().flatten()) {
            process.end(&data);
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
fn send(pid: u32, signal: Signal, data: &Path) -> Result<()> {
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

fn wait_child(child: &mut Child, within: Duration) -> Result<std::process::ExitStatus> {
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

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests;
