//! Many tenants at once, each with its part of the records.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use rig::cluster::Cluster;
use rig::tenant::{self, Tenant};

use crate::setup;
use crate::tasks::{BODY_BYTES, COLLECTION, Place};

/// Tenants that are filled at once.
const AT_ONCE: usize = 16;

/// What is there.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The tenants.
    pub places: Vec<Place>,
    /// Records of each: those whose ids follow from the numbers below this.
    pub each: u64,
}

/// Makes tenants with the benchmark's collection, and imports the same number of records into each: of all together at least `records`.
///
/// They are made one after the other: a new one goes to the cell that has the fewest, and of several at once each would see the same
/// cell. None keeps a connection when it is filled, so that thousands of them take no more files than a few.
pub async fn fill(cluster: &Cluster, tenants: usize, records: u64) -> Result<Filled> {
    ensure!(tenants > 0, "there must be a tenant");
    let mut places = Vec::new();
    for number in 0..tenants {
        let tenant = tenant::create(cluster, &format!("tenant-{number}"), None).await?;
        places.push(setup::place(&tenant, false).await?);
    }
    let each = records.div_ceil(tenants as u64);
    let addresses = cluster.addresses();
    let filled = iter(&places).map(|place| async {
        let tenant = Tenant {
            slug: place.tenant.clone(),
            token: place.token.clone(),
            client: tenant::client(&addresses, &place.token)?,
        };
        setup::tasks(&tenant, false).await?;
        setup::import(&tenant, COLLECTION, each, BODY_BYTES).await
    });
    filled.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(Filled { places, each })
}

/// Checks that the tenants are in so many cells, of which none has more than its share and one.
pub async fn spread_over(cluster: &Cluster, places: &[Place], cells: usize) -> Result<()> {
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token())?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // The cells of thousands of tenants in one are not worth asking for.
    for place in places.iter().filter(|_| cells > 1) {
        let shown = operator.tenant_show(&place.tenant).await.context("look where a tenant is")?;
        *counts.entry(shown.body.cell).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    ensure!(
        cells == 1 || (counts.len() == cells && most <= places.len().div_ceil(cells) + 1),
        "the tenants are not spread over {cells} cells: {counts:?}"
    );
    Ok(())
}
