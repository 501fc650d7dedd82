//! A new index over a million records while clients go on writing: how long it takes, and what the clients notice.
//!
//! Creates and patches, half and half, fall due at a fixed rate. After a while the schema is put with one index more, which the server
//! answers with an operation; once it is done the load goes on for a few seconds ([`crate::phases`]).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::http::{Request, get};
use rig::load::{Refused, Script};
use rig::tenant::Tenant;

use crate::operation::{self, Done};
use crate::patch::Patch;
use crate::phases::{self, Around};
use crate::report::{Measured, Row};
use crate::setup;
use crate::tasks::{BODY_BYTES, COLLECTION, Create, Mix, Place};

/// How long the index may take.
const WITHIN: Duration = Duration::from_secs(300);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Records that are there
    #[arg(long, default_value_t = 1_000_000)]
    pub records: u64,
    /// Writes a second, open loop
    #[arg(long, default_value_t = 2_000.0)]
    pub rate: f64,
    /// Seconds of load before the index is asked for
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Connections: bounds what is outstanding
    #[arg(long, default_value_t = 256)]
    pub outstanding: usize,
}

/// Adds an index over the named fields, under load. Three rows: before, during, after.
pub fn measure(cluster: &Cluster, tenant: &Tenant, place: &Place, size: &Size, schema: &[u8], order: &str) -> Result<Vec<Row>> {
    let load = phases::Load {
        title: format!("index over {} records, {} writes/s", size.records, size.rate),
        targets: cluster.addresses(),
        refused: Refused::Fails,
        rate: size.rate,
        around: Around {
            seconds_before: size.seconds,
            outstanding: size.outstanding,
        },
        within: WITHIN,
        kinds: &["create", "patch"],
    };
    let script = |connection| -> Box<dyn Script> {
        let seed = connection as u64 + 1;
        let create = Create::new(place.clone(), format!("backfill-{connection}"), 0);
        let patch = Patch::new(place.clone(), size.records, seed);
        Box::new(Mix::new(vec![(1, Box::new(create)), (1, Box::new(patch))], seed))
    };
    let address = *load.targets.first().context("a cluster has a node")?;
    let (mut rows, done) = phases::drive(&load, script, || add_index(address, tenant, schema))?;
    serves(address, tenant, order)?;
    rows[1].runs.iter_mut().for_each(|run| tell(run, &done, size.records));
    println!("{}: done in {:.1} s", load.title, done.took.as_secs_f64());
    Ok(rows.into())
}

/// The figures of the operation.
fn tell(measured: &mut Measured, done: &Done, records: u64) {
    let seconds = done.took.as_secs_f64();
    let more = [
        ("seconds until the index was there", seconds),
        ("records that were there, a second", records as f64 / seconds),
        ("records of the operation's progress", done.operation.progress as f64),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
}

/// Puts the schema and waits until its operation is done.
fn add_index(address: SocketAddr, tenant: &Tenant, schema: &[u8]) -> Result<Done> {
    let path = format!("/v1/tenants/{}/collections/{COLLECTION}", tenant.slug);
    let request = Request {
        method: "PUT",
        path: &path,
        token: &tenant.token,
        headers: "",
        body: schema,
    };
    operation::carry_out(address, request, &format!("/v1/tenants/{}/operations", tenant.slug), WITHIN)
}

/// A list in an order that only the new index serves.
fn serves(address: SocketAddr, tenant: &Tenant, order: &str) -> Result<()> {
    let path = format!("/v1/tenants/{}/records/{COLLECTION}?order={order}&limit=50", tenant.slug);
    let body = get(address, &path, &tenant.token, TIMEOUT)?;
    let page: serde_json::Value = serde_json::from_slice(&body).context("read the list")?;
    let items = page["items"].as_array().map_or(0, Vec::len);
    ensure!(items == 50, "the new index gave {items} records");
    Ok(())
}

/// Brings the records in, creates the place that writes go to, and adds the index: what the command does.
pub fn run(cluster: &Cluster, size: &Size, rules: bool) -> Result<Vec<Row>> {
    let runtime = setup::runtime()?;
    let (tenant, place) = runtime.block_on(async {
        let tenant = setup::tenant(cluster, "backfill", rules).await?;
        setup::import(&tenant, COLLECTION, size.records, BODY_BYTES).await?;
        crate::bulk::settled(cluster).await?;
        let place = setup::place(&tenant, rules).await?;
        anyhow::Ok((tenant, place))
    })?;
    let mut schema = crate::schema::tasks(rules)?;
    schema
        .indexes
        .insert("by_points".parse()?, crate::schema::index(&["points", "created_at"])?);
    let schema = serde_json::to_vec(&schema).context("write the schema")?;
    measure(cluster, &tenant, &place, size, &schema, "points,created_at")
}
