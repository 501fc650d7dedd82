//! Brings the regions of a cluster up: waits until every node lives, initialises each region once, waits for leaders.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use api::client::Client;
use futures_util::future::try_join_all;

use super::super::{Failure, Result};
use crate::config::{Config, NodeEntry};

/// Between two looks.
const POLL: Duration = Duration::from_millis(100);
/// Longest time for one answer: a region is initialised only once its nodes have greeted each other.
const ANSWER: Duration = Duration::from_secs(15);
/// How often it is said what is being waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster that comes up.
#[derive(Clone, Copy)]
pub(super) struct BringUp<'c> {
    pub(super) config: &'c Config,
    pub(super) regions: &'c [String],
    pub(super) token: &'c str,
    /// Whether the directory is made with the voters of the one region alone.
    pub(super) alone: bool,
}

impl BringUp<'_> {
    /// Resolves when every cell of every region has a leader.
    pub(super) async fn run(self) -> Result {
        try_join_all(self.regions.iter().map(|region| one_region(self, region))).await?;
        Ok(())
    }
}

async fn one_region(bring_up: BringUp<'_>, region: &str) -> Result {
    let BringUp {
        config, token, alone, ..
    } = bring_up;
    let nodes = config.region_nodes(region);
    let clients = nodes
        .iter()
        .map(|node| Ok((*node, client(config, node, token)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut said = Instant::now();
    for (node, client) in &clients {
        while let Err(error) = client.livez().await {
            complain(&mut said, &format!("waiting for the node {}: {error}", node.name));
            tokio::time::sleep(POLL).await;
        }
    }
    // Any node will do; one that cannot now may be able to later.
    for (node, client) in clients.iter().cycle() {
        match client.initialize(alone).await {
            Ok(_) => break,
            Err(error) => complain(
                &mut said,
                &format!("waiting for {} to initialise {region}: {error}", node.name),
            ),
        }
        tokio::time::sleep(POLL).await;
    }
    let wanted: BTreeSet<&str> = config.region_cells(region).iter().map(|cell| cell.name.as_str()).collect();
    for (_, client) in clients.iter().cycle() {
        match leaderless(client, &wanted).await {
            Ok(missing) if missing.is_empty() => break,
            Ok(missing) => complain(&mut said, &format!("waiting for a leader of {}", missing.join(", "))),
            Err(error) => complain(&mut said, &format!("waiting for the cells of {region}: {error}")),
        }
        tokio::time::sleep(POLL).await;
    }
    // Its leader enters what the cluster consists of first of all.
    for (_, client) in clients.iter().cycle() {
        match client.cluster().await {
            Ok(_) => break,
            Err(error) => complain(&mut said, &format!("waiting for the directory: {error}")),
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The cells that have no leader, as a node sees them.
async fn leaderless(client: &Client, wanted: &BTreeSet<&str>) -> std::result::Result<Vec<String>, api::client::ClientError> {
    let cells = client.cells().await?;
    let led: BTreeSet<&str> = cells
        .iter()
        .filter(|cell| cell.leader.is_some())
        .map(|cell| cell.name.as_str())
        .collect();
    let known = cells.iter().map(|cell| cell.name.as_str()).chain(wanted.iter().copied());
    let missing: BTreeSet<&str> = known.filter(|name| !led.contains(name)).collect();
    Ok(missing.into_iter().map(str::to_owned).collect())
}

fn complain(said: &mut Instant, what: &str) {
    if said.elapsed() >= PATIENCE {
        eprintln!("{what}");
        *said = Instant::now();
    }
}

/// A client of a node on this machine: by its address, because its endpoint may be the one of a load balancer, and over TLS by its
/// very certificate, because that is made out to the endpoint.
fn client(config: &Config, node: &NodeEntry, token: &str) -> Result<Client> {
    let address = match node.api.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), node.api.port()),
        _ => node.api,
    };
    let client = match &config.api_tls {
        None => Client::new(&format!("http://{address}"), token),
        Some(files) => {
            let path = files.of_node(&node.name).certificate;
            let pem = std::fs::read(&path).with_context(|| format!("read the certificate for clients in {}", path.display()))?;
            Client::new(&format!("https://{address}"), token).and_then(|client| client.with_certificate(&pem))
        }
    };
    Ok(client.map_err(|error| Failure::Failed(error.into()))?.with_timeout(ANSWER))
}
