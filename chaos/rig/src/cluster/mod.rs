//! A cluster of real processes on this machine.
//!
//! [`Cluster::up`] runs `cloudnest cluster up`, which starts every node as a child of its own and starts a node that died again
//! after a second. [`Cluster::detach`] ends that supervisor and runs each node by itself, so that one that is killed stays
//! dead until [`Cluster::start_node`].
//!
//! Invariants: nodes are signalled by process id only, and only while `/proc` says that the id is still a process with our
//! data directory on its command line. Dropping the cluster ends all of it; when the thread is panicking, the ends of the
//! logs are printed first.

mod nodes;
mod options;
mod output;
mod process;
mod tails;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::layout::{Layout, Node};
use crate::nursery;
pub use options::{Options, Own};
use output::Output;
use process::{Process, send, wait_child};
pub use process::{is_alive, poll};

/// How long a process may take to end once it was killed.
const EXIT_WITHIN: Duration = Duration::from_secs(10);
/// How long everything may take to stop after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(60);

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
    /// What a node is started with besides the cluster's configuration, by name.
    own: BTreeMap<String, Own>,
}

impl Cluster {
    /// Starts `cluster up` and waits until it prints `ready`.
    pub fn up(mut options: Options) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("cloudnest-rig-")
            .tempdir()
            .context("make a temporary directory")?;
        std::fs::write(directory.path().join("cluster.toml"), options.layout.to_toml()).context("write cluster.toml")?;
        if let Some(data) = &mut options.data {
            std::fs::create_dir_all(&*data).with_context(|| format!("make {}", data.display()))?;
            // The nodes are known by the path on their command line, which is absolute.
            *data = data.canonicalize().with_context(|| format!("find {}", data.display()))?;
        }
        let singles = options.layout.nodes.iter().map(|_| None).collect();
        let mut cluster = Self {
            options,
            directory,
            supervisor: None,
            singles,
            token: String::new(),
            own: BTreeMap::new(),
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
        let mut arguments = ["cluster", "up", "--config", text(&config)?, "--data", text(&data)?]
            .map(str::to_owned)
            .to_vec();
        arguments.extend_from_slice(&self.options.arguments);
        let process = self.spawn("cluster-up", &arguments, &Own::default())?;
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
            let pid = process.child.id();
            // The first thread of a process that was killed may be gone while the last is still on its way.
            let ended = |child: &mut std::process::Child| matches!(child.try_wait(), Ok(Some(_)));
            poll(EXIT_WITHIN, || ended(&mut process.child) || is_alive(pid));
            anyhow::ensure!(ended(&mut process.child), "{name} runs already");
        }
        let own = self.given(name);
        let (mut config, data) = (self.config(), self.data().join(name));
        if let Some(text) = &own.config {
            config = self.directory.path().join(format!("{name}.toml"));
            std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        }
        let mut arguments = ["node", "--config", text(&config)?, "--node", name, "--data", text(&data)?]
            .map(str::to_owned)
            .to_vec();
        let certificates = self.data().join("tls");
        if certificates.is_dir() {
            arguments.extend(["--tls".to_owned(), text(&certificates)?.to_owned()]);
        }
        arguments.extend_from_slice(own.arguments.as_ref().unwrap_or(&self.options.arguments));
        self.singles[place] = Some(self.spawn(name, &arguments, &own)?);
        Ok(())
    }

    /// What a node is to be started with from its next [`Cluster::start_node`] on.
    pub fn give(&mut self, name: &str, own: Own) {
        self.own.insert(name.to_owned(), own);
    }

    /// What a node is to be started with: to change a part of it.
    pub fn given(&self, name: &str) -> Own {
        self.own.get(name).cloned().unwrap_or_default()
    }

    fn spawn(&self, name: &str, arguments: &[String], own: &Own) -> Result<Process> {
        let mut command = nursery::command(own.binary.as_ref().unwrap_or(&self.options.binary));
        command.envs(
            self.options
                .environment
                .iter()
                .chain(&own.environment)
                .map(|(name, value)| (name, value)),
        );
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let log = self.directory.path().join(format!("{name}.stderr"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        command.stderr(log);
        if let Some(filter) = &self.options.log {
            command.env("CLOUDNEST_LOG", filter);
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

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests;
