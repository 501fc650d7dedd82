//! A cluster to measure, its tenant, and what is in it before the clock runs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::body::collection::CollectionSchema;
use api::body::token::{NewToken, Role};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::probe::Probe;
use rig::tenant::{self, Tenant};
use rig::{binary, import};

use crate::board::BOARD;
use crate::schema;
use crate::tasks::{BODY_BYTES, COLLECTION, PRELOADED, Place, write_line};

/// How long an import may take.
const IMPORT_WITHIN: Duration = Duration::from_secs(300);
/// Records of one import.
const IMPORT_RECORDS: u64 = 25_000;

/// What to start.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// Nodes of a region: 1, 3 or 5
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Where the nodes keep their data (each in a directory of its name); a temporary directory where it is left out
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Start nodes and loader under SCHED_RR 1 (needs root and `chrt`): against noisy neighbours; distorts p99.9
    #[arg(long)]
    pub sched_rr: bool,
}

impl ClusterArgs {
    /// For one of several clusters of a run: where data is kept, each has a directory of its own.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self {
            data: self.data.as_ref().map(|data| data.join(name)),
            ..self.clone()
        }
    }
}

/// Starts a cluster of one region and waits for its leaders.
pub fn start(args: &ClusterArgs) -> Result<Cluster> {
    start_as(Layout::one_region(args.nodes)?, args)
}

/// Starts a cluster of this layout and waits for its leaders.
pub fn start_as(layout: Layout, args: &ClusterArgs) -> Result<Cluster> {
    let mut options = Options::new(layout, binary::find()?);
    options.data = args.data.clone();
    Cluster::up(options)
}

/// Microseconds since the epoch: names what is made in this run and in no other.
pub fn moment() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A runtime for calls besides the load.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")
}

/// A runtime for a load that many connections at a time make.
pub fn runtime_of_all_cores() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start a runtime")
}

/// A tenant with the collection that is written to, and nothing in it. `rules`: the collection has rules and a workflow.
pub async fn tenant(cluster: &Cluster, slug: &str, rules: bool) -> Result<Tenant> {
    tenant_in(cluster, cluster.layout().regions()[0], slug, rules).await
}

/// The same in another region than the first.
pub async fn tenant_in(cluster: &Cluster, region: &str, slug: &str, rules: bool) -> Result<Tenant> {
    let tenant = tenant::create_in(cluster, region, slug, None).await?;
    tasks(&tenant, rules).await?;
    Ok(tenant)
}

/// Makes the collection that is written to in a tenant that is there.
pub(crate) async fn tasks(tenant: &Tenant, rules: bool) -> Result<()> {
    collection(tenant, COLLECTION, &schema::tasks(rules)?).await
}

async fn collection(tenant: &Tenant, name: &str, schema: &CollectionSchema) -> Result<()> {
    let put = tenant.client.collection_put(&tenant.slug, name, schema, None).await;
    put.map(drop).with_context(|| format!("create the collection {name}"))
}

/// Makes the board and imports the records that reads and lists ask for.
pub async fn preload(tenant: &Tenant, rules: bool) -> Result<()> {
    collection(tenant, BOARD, &schema::board(rules)?).await?;
    import(tenant, COLLECTION, PRELOADED, BODY_BYTES).await?;
    import(tenant, BOARD, PRELOADED, BODY_BYTES).await
}

/// Imports records of so many bytes with the ids that follow from their numbers.
pub async fn import(tenant: &Tenant, collection: &str, records: u64, bytes: usize) -> Result<()> {
    for from in (0..records).step_by(usize::try_from(IMPORT_RECORDS)?) {
        let to = records.min(from + IMPORT_RECORDS);
        let mut lines = Vec::new();
        (from..to).for_each(|number| write_line(&mut lines, &format!("pre-{number}"), number, bytes, true));
        let id = format!("preload-{from}");
        let done = import::import(&tenant.client, &tenant.slug, collection, &id, &lines, IMPORT_WITHIN).await?;
        ensure!(
            done.summary.imported == to - from,
            "{} of {} records were imported: {:?}",
            done.summary.imported,
            to - from,
            done.failures
        );
    }
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

/// The tenant as scripts see it. `rules`: they ask with a member's token, whom rules bind; without, with the owner's.
pub async fn place(tenant: &Tenant, rules: bool) -> Result<Place> {
    let mut place = Place {
        tenant: tenant.slug.clone(),
        token: tenant.token.clone(),
    };
    if rules {
        let new = NewToken {
            name: "bench member".to_owned(),
            role: Role::Member,
            scopes: None,
            expires_at: None,
        };
        let made = tenant.client.token_create(&tenant.slug, &new, None).await;
        let secret = made.context("create a member's token")?.body.secret;
        place.token = secret.context("the member's token came without its secret")?;
    }
    Ok(place)
}
