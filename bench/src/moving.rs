//! A tenant that moves to a dedicated cell and back while it is read and written: what its clients notice.
//!
//! Half of the requests are point reads, a quarter creates, a quarter patches, at a fixed rate ([`crate::phases`]). None is sent twice.
//! Afterwards all replicas of each cell must hold the same.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use api::body::control::TenantMove;
use rig::cluster::Cluster;
use rig::http::Request;
use rig::layout::Layout;
use rig::load::{Refused, Script};
use rig::{tenant, verify};

use crate::holds::Holds;
use crate::operation;
use crate::patch::Patch;
use crate::phases::{self, Around, READ};
use crate::report::Row;
use crate::setup;
use crate::tasks::{COLLECTION, Create, Mix, PRELOADED, Place, Read};

/// The tenant.
const SLUG: &str = "moving";
/// Bytes of a record's fields.
const RECORD_BYTES: usize = 1_000;
/// How long one move may take.
const MOVE_WITHIN: Duration = Duration::from_secs(900);
/// How long the replicas may take to reach one position afterwards.
const AGREE_WITHIN: Duration = Duration::from_secs(180);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Megabytes of records that the tenant has, a thousand bytes each (at least 10)
    #[arg(long, default_value_t = 1_000)]
    pub megabytes: u64,
    /// Requests a second, open loop
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Runs, one after the other with the same tenant
    #[arg(long, default_value_t = 1)]
    pub runs: usize,
    /// The load
    #[command(flatten)]
    pub around: Around,
}

/// One region with a shared cell and a dedicated one.
pub fn layout(nodes: usize) -> Result<Layout> {
    let mut layout = Layout::one_region(nodes)?;
    layout.dedicated = 1;
    Ok(layout)
}

/// Brings the records in and moves the tenant there and back: what the command does. Three rows.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    let records = (size.megabytes * 1_000_000 / RECORD_BYTES as u64).max(PRELOADED);
    let runtime = setup::runtime()?;
    let (place, home) = runtime.block_on(async {
        let tenant = setup::tenant(cluster, SLUG, false).await?;
        setup::import(&tenant, COLLECTION, records, RECORD_BYTES).await?;
        crate::bulk::settled(cluster).await?;
        let operator = tenant::client(&cluster.addresses(), cluster.operator_token())?;
        let shown = operator.tenant_show(SLUG).await.context("look where the tenant is")?;
        anyhow::Ok((setup::place(&tenant, false).await?, shown.body.cell))
    })?;
    let mut all = [Row::default(), Row::default(), Row::default()];
    for run in 0..size.runs {
        let mut rows = there_and_back(cluster, size, &place, &home, records, run)?;
        // The load is over: nobody writes.
        let errors = &mut rows[1].runs[0].errors;
        match runtime.block_on(verify::replicas_agree(cluster, AGREE_WITHIN)) {
            Ok(agreements) => agreements.iter().for_each(|agreed| {
                println!("{}: all replicas hold the same {} keys", agreed.cell, agreed.keys);
            }),
            Err(error) => {
                println!("the replicas are not equal: {error:#}");
                errors.insert(format!("replicas: {error:#}"), 1);
            }
        }
        let mut rows = rows.into_iter();
        all = all.map(|row| row.and(rows.next().unwrap_or_default()));
    }
    Ok(all.into())
}

/// One run.
fn there_and_back(cluster: &Cluster, size: &Size, place: &Place, home: &str, records: u64, run: usize) -> Result<[Row; 3]> {
    let load = phases::Load {
        title: format!("move of {records} records, {} requests/s", size.rate),
        targets: cluster.addresses(),
        refused: Refused::Elsewhere { groups: 1 },
        rate: size.rate,
        around: size.around,
        within: 2 * MOVE_WITHIN,
        kinds: &[READ, "create", "patch"],
    };
    let script = |connection| -> Box<dyn Script> {
        let seed = connection as u64 + 1;
        let read = Read::new(place.clone(), "", records, seed);
        let create = Create::new(place.clone(), format!("move-{run}-{connection}"), 0);
        let patch = Patch::new(place.clone(), records, seed);
        Box::new(Mix::new(
            vec![(2, Box::new(read)), (1, Box::new(create)), (1, Box::new(patch))],
            seed,
        ))
    };
    let address = *load.targets.first().context("a cluster has a node")?;
    let before = Holds::of(cluster)?;
    let (mut rows, seconds) = phases::drive(&load, script, || {
        let there = move_to(address, cluster.operator_token(), SLUG, None)?;
        Ok([there, move_to(address, cluster.operator_token(), SLUG, Some(home))?])
    })?;
    let mut figures = Holds::of(cluster)?.since(&before).figures();
    figures.push(("seconds of the move to the dedicated cell".to_owned(), seconds[0]));
    figures.push(("seconds of the move back".to_owned(), seconds[1]));
    figures.iter().for_each(|(name, value)| println!("  {name}: {value:.3}"));
    rows[1].runs[0].more.extend(figures);
    Ok(rows)
}

/// Moves a tenant to a cell, or to a dedicated one. Returns how many seconds it took.
pub(crate) fn move_to(address: SocketAddr, token: &str, slug: &str, cell: Option<&str>) -> Result<f64> {
    let to = TenantMove {
        cell: cell.map(str::to_owned),
        dedicated: cell.is_none(),
        ..TenantMove::default()
    };
    let body = serde_json::to_vec(&to).context("write the move")?;
    let request = Request {
        method: "POST",
        path: &format!("/v1/tenants/{slug}/move"),
        token,
        headers: "",
        body: &body,
    };
    let done = operation::carry_out(address, request, "/v1/operations", MOVE_WITHIN)?;
    Ok(done.took.as_secs_f64())
}
