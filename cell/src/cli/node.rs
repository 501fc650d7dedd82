//! `node`: one node of a cluster, in this process, until a signal asks it to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;

use super::compat::Compat;
use super::runtime::Stop;
use super::{Failure, Result, certificates, files};
use crate::config::{Config, NodeEntry, Secret};
use crate::node::{Node, Settings};

/// Where the data of nodes is, unless something else is said.
pub(super) const DATA: &str = "./cloudnest-data";
/// Longest time for a node to drain. Raised: a node that hangs delays its restart. Lowered: transfers are cut off.
const DRAIN: Duration = Duration::from_secs(30);

/// Run one node of a cluster
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  cloudnest node --config cluster.toml --node eu-west-1a --data /var/lib/cloudnest\n\nSIGTERM drains: the node hands leadership over, finishes what is in flight, and exits 0."
)]
pub(super) struct NodeCommand {
    /// The cluster's configuration
    #[arg(long, default_value = "cluster.toml", value_name = "FILE")]
    config: PathBuf,
    /// Which of its nodes this is
    #[arg(long, value_name = "NAME")]
    node: String,
    /// Its data; ./cloudnest-data/NAME where neither this nor the configuration says so
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Certificates made by `cluster up` or `certs create`, where the configuration has no [tls]
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
    #[command(flatten)]
    compat: Compat,
    /// The process whose end is also this one's
    #[arg(long, hide = true, value_name = "PID")]
    supervised: Option<u32>,
}

impl NodeCommand {
    pub(super) async fn run(self) -> Result {
        if let Some(parent) = self.supervised {
            die_with(parent)?;
        }
        let mut stop = Stop::listen()?;
        let config = load(&self.config)?;
        let entry = find(&config, &self.node, &self.config)?.clone();
        let data = match &self.data {
            Some(data) => data.clone(),
            None => entry.data.clone().unwrap_or_else(|| Path::new(DATA).join(&entry.name)),
        };
        let data = files::absolute(&data)?;
        files::directory(&data)?;
        let tls = certificates::of_node(&config, &entry, &data, self.tls.as_deref())?;
        let settings = Settings {
            operator_secret: operator_secret(&config, &data)?,
            name: entry.name.clone(),
            config: Arc::new(config),
            data,
            tls,
            level: self.compat.level(),
            dev: false,
        };
        let node = tokio::select! {
            started = Node::start(settings) => started.with_context(|| format!("start the node {}", entry.name))?,
            _ = stop.asked() => return Ok(()),
        };
        until_asked(node, &mut stop).await
    }
}

/// Waits for a signal and drains a node.
pub(super) async fn until_asked(node: Node, stop: &mut Stop) -> Result {
    let signal = tokio::select! {
        signal = stop.asked() => signal,
        () = node.asked_to_end() => "an operator",
    };
    tracing::info!(target: "cloudnest", signal, "draining");
    tokio::select! {
        drained = tokio::time::timeout(DRAIN, node.stop()) => match drained {
            Ok(stopped) => Ok(stopped.context("drain the node")?),
            Err(_) => Err(Failure::Failed(anyhow!("the node was not drained within {} s", DRAIN.as_secs()))),
        },
        again = stop.asked() => Err(Failure::Failed(anyhow!("{again} came while the node was draining"))),
    }
}

/// Reads a configuration; every mistake is printed.
pub(super) fn load(path: &Path) -> Result<Config> {
    Config::load(path).map_err(|errors| {
        let count = errors.0.len();
        for error in &errors.0 {
            eprintln!("{error}");
        }
        let s = if count == 1 { "" } else { "s" };
        Failure::Failed(anyhow!("{} has {count} mistake{s}", path.display()))
    })
}

/// The node of a name, or wrong usage.
pub(super) fn find<'c>(config: &'c Config, name: &str, path: &Path) -> Result<&'c NodeEntry> {
    config.node(name).ok_or_else(|| {
        let names: Vec<&str> = config.topology.nodes.iter().map(|node| node.name.as_str()).collect();
        Failure::Usage(format!(
            "{} has no node {name:?}; there are: {}",
            path.display(),
            names.join(", ")
        ))
    })
}

/// The operator's first token. One that is not there is no mistake: once the cluster is initialised, its directory knows it.
fn operator_secret(config: &Config, data: &Path) -> Result<Option<String>> {
    match &config.operator_token {
        Some(secret @ Secret::File(_)) => return Ok(Some(secret.read().context("read operator_token")?)),
        Some(secret @ Secret::Env(_)) => {
            if let Ok(token) = secret.read() {
                return Ok(Some(token));
            }
        }
        None => {}
    }
    // `cluster up` leaves it beside the data: a node that it started can be started by hand.
    data.parent()
        .map_or(Ok(None), |parent| files::read(&parent.join("operator.token")))
}

/// Asks the system to kill this process when its supervisor ends, however that happens.
#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> Result {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).context("ask to end with the supervisor")?;
    // It may have ended before the system was asked.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == Some(parent) {
        Ok(())
    } else {
        Err(Failure::Failed(anyhow!("the supervisor {parent} has ended already")))
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> Result {
    Ok(())
}
