//! `cluster up`: every node of a configuration on this machine, as child processes.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::super::certificates::Order;
use super::super::compat::Compat;
use super::super::files::{self, Access, Lock};
use super::super::runtime::Stop;
use super::super::{Failure, Result, certificates, node, secret};
use super::bootstrap::BringUp;
use super::child::Plan;
use super::supervisor;
use crate::config::{Config, NodeEntry, Secret};

/// The variable in which children find the operator's token.
const TOKEN_VARIABLE: &str = "CLOUDNEST_OPERATOR_TOKEN";

/// The file that says which region made the directory alone.
const FOUNDER: &str = "directory.founder";

/// Run every node of the configuration on this machine
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster up\n  cloudnest cluster up --region eu-west-1 --data /tmp/cloudnest\n\nPrints `node NAME pid PID` at each start of a node, and `ready` when every cell has a leader. A node that ends unasked is started again after a second. Each node logs to node.log in its data directory. Ctrl-C or SIGTERM stops all."
)]
pub(crate) struct Up {
    /// The cluster's configuration
    #[arg(long, default_value = "cluster.toml", value_name = "FILE")]
    config: PathBuf,
    /// Only the nodes of this region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Each node's data is in DIR/NAME, the operator's token in DIR/operator.token
    #[arg(long, default_value = node::DATA, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    compat: Compat,
}

impl Up {
    pub(crate) async fn run(self) -> Result {
        let stop = Stop::listen()?;
        let config = node::load(&self.config)?;
        let regions = self.regions(&config)?;
        let data = files::absolute(&self.data)?;
        files::directory(&data)?;
        let locks = locks(&data, &regions)?;
        let token = operator_token(&config, &data)?;
        let tls = match &config.tls {
            Some(_) => None,
            None => {
                let dir = data.join("tls");
                certificates::issue(&dir, &config, Order::default())?;
                Some(dir)
            }
        };
        let nodes: Vec<&NodeEntry> = regions.iter().flat_map(|region| config.region_nodes(region)).collect();
        let mut plans = Vec::new();
        for node in nodes {
            plans.push(Plan {
                name: node.name.clone(),
                config: files::absolute(&self.config)?,
                data: node.data.clone().unwrap_or_else(|| data.join(&node.name)),
                tls: tls.clone(),
                level: self.compat.older(),
                environment: environment(&config, &token),
            });
        }
        let alone = self
            .region
            .as_deref()
            .map_or(Ok(false), |region| is_alone(&config, region, &data))?;
        let bring_up = BringUp {
            config: &config,
            regions: &regions,
            token: &token,
            alone,
        };
        supervisor::run(bring_up, plans, &data, stop).await?;
        drop(locks);
        Ok(())
    }

    fn regions(&self, config: &Config) -> Result<Vec<String>> {
        let all: Vec<String> = config.topology.regions.iter().map(|region| region.name.clone()).collect();
        match &self.region {
            None => Ok(all),
            Some(region) if all.contains(region) => Ok(vec![region.clone()]),
            Some(region) => Err(Failure::Usage(format!(
                "{} has no region {region:?}; there are: {}",
                self.config.display(),
                all.join(", ")
            ))),
        }
    }
}

/// Whether the directory of a cluster of which one region is started is made with the voters of that region alone. It is on a machine that
/// is the whole cluster, where no other region was ever started; which region did it is kept, so that no other one makes a second.
fn is_alone(config: &Config, region: &str, data: &Path) -> Result<bool> {
    let founder = data.join(FOUNDER);
    let _lock = files::lock(&data.join("directory.lock"), None)?;
    if let Some(known) = files::read(&founder)? {
        return Ok(known == region);
    }
    let local = config.topology.nodes.iter().all(|node| node.peer.ip().is_loopback());
    let voters = config.topology.directory_voters.iter().filter_map(|name| config.node(name));
    let (near, far): (Vec<_>, Vec<_>) = voters.partition(|node| node.region == region);
    let started = |node: &&NodeEntry| node.data.clone().unwrap_or_else(|| data.join(&node.name)).exists();
    if !local || near.is_empty() || far.is_empty() || far.iter().any(started) {
        return Ok(false);
    }
    files::write(&founder, region, Access::Public)?;
    Ok(true)
}

/// One supervisor a region and data directory: two would start every node twice.
fn locks(data: &Path, regions: &[String]) -> Result<Vec<Lock>> {
    let lock = |region: &String| {
        let busy = format!("another `cluster up` runs {region} with the data in {}", data.display());
        files::lock(&data.join(format!("up-{region}.lock")), Some(busy))
    };
    regions.iter().map(lock).collect()
}

/// The operator's token: the one that the configuration names, the one of the last start, or a new one. It is in
/// DIR/operator.token afterwards.
fn operator_token(config: &Config, data: &Path) -> Result<String> {
    let path = data.join("operator.token");
    let _lock = files::lock(&data.join("operator.token.lock"), None)?;
    let kept = files::read(&path)?.filter(|token| !token.is_empty());
    let named = match &config.operator_token {
        // The file may be the one that is about to be written.
        Some(Secret::File(file)) => files::read(file)?,
        Some(secret @ Secret::Env(_)) => secret.read().ok(),
        None => None,
    };
    if let (Some(named), Some(kept)) = (&named, &kept)
        && named != kept
    {
        eprintln!(
            "The configuration names another operator token than {}: a cluster that runs already keeps its own.",
            path.display()
        );
    }
    let token = match named.or(kept) {
        Some(token) => token,
        None => secret::operator_token()?,
    };
    if !secret::is_operator_token(&token) {
        let form = "cno_ and 32 or more letters and digits";
        return Err(Failure::Failed(anyhow!("the operator token is not one: it must be {form}")));
    }
    files::write(&path, &format!("{token}\n"), Access::Private)?;
    if let Some(Secret::File(file)) = &config.operator_token
        && !file.exists()
    {
        files::write(file, &format!("{token}\n"), Access::Private)?;
    }
    Ok(token)
}

fn environment(config: &Config, token: &str) -> Vec<(String, String)> {
    let mut variables = vec![(TOKEN_VARIABLE.to_owned(), token.to_owned())];
    if let Some(Secret::Env(name)) = &config.operator_token
        && name != TOKEN_VARIABLE
    {
        variables.push((name.clone(), token.to_owned()));
    }
    variables
}
