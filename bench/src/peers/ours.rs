//! CloudNest itself, as one of those that take turns.

use anyhow::Result;
use rig::cluster::Cluster;

use super::{Peer, Turn};
use crate::report::Measured;
use crate::tasks::{BODY_BYTES, COLLECTION, PRELOADED, Place};
use crate::{run, setup};

/// The tenant that is asked.
const SLUG: &str = "peers";

/// A cluster with a tenant that has the preloaded records.
pub(super) struct Ours<'a> {
    cluster: &'a Cluster,
    place: Place,
}

impl<'a> Ours<'a> {
    /// Makes the tenant and brings its records in.
    pub(super) fn prepare(cluster: &'a Cluster) -> Result<Self> {
        let place = setup::runtime()?.block_on(async {
            let tenant = setup::tenant(cluster, SLUG, false).await?;
            setup::import(&tenant, COLLECTION, PRELOADED, BODY_BYTES).await?;
            setup::place(&tenant, false).await
        })?;
        Ok(Self { cluster, place })
    }
}

impl Peer for Ours<'_> {
    fn name(&self) -> &'static str {
        "CloudNest"
    }

    fn pids(&self) -> Result<Vec<u32>> {
        self.cluster.pids()
    }

    fn take(&mut self, turn: Turn) -> Result<Measured> {
        let name = format!("peers-{:?}-{}-{}", turn.workload, turn.clients, turn.round);
        run::once(self.cluster, &self.place, turn.workload, turn.clients, turn.seconds, &name)
    }
}
