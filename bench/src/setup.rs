//! A cluster to measure, its tenant, and what is in it before the clock runs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::probe::Probe;
use rig::tenant::{self, Tenant};
use rig::{binary, import};

use crate::tasks::{COLLECTION, PRELOADED, Place, write_line};

/// How long the preload may take.
const PRELOAD_WITHIN: Duration = Duration::from_secs(300);

/// What to start.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// Nodes of the one region: 1, 3 or 5
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Where the nodes keep their data (each in a directory of its name); a temporary directory where it is left out
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Start nodes and loader under SCHED_RR 1 (needs root and `chrt`): against noisy neighbours; distorts p99.9
    #[arg(long)]
    pub sched_rr: bool,
}

/// Starts the cluster and waits for its leaders.
pub fn start(args: &ClusterArgs) -> Result<Cluster> {
    let mut options = Options::new(Layout::one_region(args.nodes)?, binary::find()?);
    options.data = args.data.clone();
    Cluster::up(options)
}

/// A runtime for calls besides the load.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")
}

/// A tenant with the collection that is written to, and nothing in it.
pub async fn tenant(cluster: &Cluster, slug: &str) -> Result<Tenant> {
    let tenant = tenant::create(cluster, slug, None).await?;
    tenant
        .client
        .collection_put(slug, COLLECTION, &tenant::task_schema()?, None)
        .await
        .context("create the collection")?;
    Ok(tenant)
}

/// Imports the records that reads and lists ask for.
pub async fn preload(tenant: &Tenant) -> Result<()> {
    let mut lines = Vec::new();
    (0..PRELOADED).for_each(|number| write_line(&mut lines, &format!("pre-{number}"), number, true));
    let done = import::import(&tenant.client, &tenant.slug, COLLECTION, "preload", &lines, PRELOAD_WITHIN).await?;
    ensure!(
        done.summary.imported == PRELOADED,
        "{} of {PRELOADED} records were preloaded: {:?}",
        done.summary.imported,
        done.failures
    );
    Ok(())
}

/// What to sample at both ends of a window.
pub fn probe(cluster: &Cluster) -> Result<Probe> {
    Ok(Probe {
        pids: cluster.pids()?,
        metrics: cluster.addresses(),
        token: cluster.operator_token().to_owned(),
    })
}

/// The tenant as scripts see it.
pub fn place(tenant: &Tenant) -> Place {
    Place {
        tenant: tenant.slug.clone(),
        token: tenant.token.clone(),
    }
}
