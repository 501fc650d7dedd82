//! How busy and how full the cells are: what their leaders measure, and what every node of the region hears of it.
//!
//! A rate is a mean that forgets: half of what it says is of the last half minute. A leader that has just been elected measures anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::error::Error;
use bytes::Bytes;
use futures_util::future::join_all;
use raft::NodeId;
use serde::{Deserialize, Serialize};

use super::about::Disk;
use super::platform::Platform;
use super::relay::What;
use super::replica::Replica;
use crate::config::{CellKind, CellState};
use crate::directory::GROUP;
use crate::machine::envelope::open;
use crate::service::error::internal;

/// Between two measurements.
const LOOK: Duration = Duration::from_secs(5);
/// After how long half of a rate is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// Most tenants that a cell's load names: the busiest ones.
const TENANTS: usize = 200;
/// Writes a second below which a tenant is no longer remembered.
const QUIET: f64 = 0.01;

/// What a cell takes and has, as its leader says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Writes a second.
    pub(crate) writes: f64,
    /// The busiest tenants by their numbers, and writes a second of each.
    pub(crate) tenants: Vec<(u64, f64)>,
    /// Bytes of the leader's store.
    pub(crate) stored: u64,
    /// What is free on the leader's disk, in bytes; none: not known.
    pub(crate) free: Option<u64>,
}

/// Versions of [`Load`] on the wire.
#[derive(Serialize, Deserialize)]
pub(crate) enum LoadForm {
    /// The first.
    V1(Load),
}

/// What is known of loads.
#[derive(Default)]
pub(crate) struct Known {
    /// Writes a second of each tenant, by cells that are led here.
    rates: Mutex<BTreeMap<u64, BTreeMap<u64, f64>>>,
    /// The shared cells of the region.
    cells: Mutex<BTreeMap<u64, Load>>,
}

/// Measures and asks for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    let mut since = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let elapsed = since.elapsed();
        since = Instant::now();
        for replica in platform.replicas().filter(|replica| replica.number != GROUP) {
            platform.measure(&replica, elapsed);
        }
        let loads = platform.ask_loads().await;
        lock(&platform.loads.cells).extend(loads);
    }
}

impl Platform {
    /// Brings the rates of a replica up to date with what was applied meanwhile.
    fn measure(&self, replica: &Replica, elapsed: Duration) {
        let counted = replica.loads.take();
        let mut rates = lock(&self.loads.rates);
        if !replica.group.is_leader() {
            rates.remove(&replica.number);
            return;
        }
        let is_new = !rates.contains_key(&replica.number);
        let rates = rates.entry(replica.number).or_default();
        let kept = 0.5_f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        // What was counted before the first measurement as a leader says little, but more than nothing.
        let kept = if is_new { 0.0 } else { kept };
        rates.values_mut().for_each(|rate| *rate *= kept);
        for (space, count) in counted {
            *rates.entry(space.0).or_default() += (1.0 - kept) * count as f64 / elapsed.as_secs_f64();
        }
        rates.retain(|_, rate| *rate >= QUIET);
    }

    /// What a cell takes, where it is led here.
    pub(crate) fn own_load(&self, cell: u64) -> Option<Load> {
        let replica = self.cell(cell).filter(|replica| replica.group.is_leader())?;
        let rates = lock(&self.loads.rates).get(&cell).cloned().unwrap_or_default();
        let mut tenants: Vec<(u64, f64)> = rates.into_iter().collect();
        let writes = tenants.iter().map(|(_, rate)| rate).sum();
        tenants.sort_by(|one, other| other.1.total_cmp(&one.1));
        tenants.truncate(TENANTS);
        Some(Load {
            writes,
            tenants,
            stored: replica.store.stats().file_bytes,
            free: Disk::of(&self.data).map(|disk| disk.free),
        })
    }

    /// The shared cells of this region, as their leaders say; those whose leader does not answer are left out.
    pub(crate) async fn ask_loads(&self) -> BTreeMap<u64, Load> {
        let shared = |cell: &crate::config::CellEntry| cell.kind == CellKind::Shared && cell.state != CellState::Forming;
        let cells = self.region_cells().into_iter().filter(shared);
        let asked = cells.map(|cell| async move { Some((cell.number, self.load_of(cell.number).await.ok()?)) });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn load_of(&self, cell: u64) -> Result<Load, Error> {
        if let Some(load) = self.own_load(cell) {
            return Ok(load);
        }
        let leader = self.leader_of(cell, 0).filter(|leader| *leader != self.me.number);
        let leader = leader.ok_or_else(|| crate::service::error::not_leader(None))?;
        let bytes = self.ask(NodeId(leader), What::Load, cell, &Bytes::new()).await?;
        let LoadForm::V1(load) = open(&bytes).map_err(|error| internal(&error))?;
        Ok(load)
    }

    /// What was heard last of a shared cell of this region.
    pub(crate) fn heard_load(&self, cell: u64) -> Option<Load> {
        lock(&self.loads.cells).get(&cell).cloned()
    }
}

/// Maps of numbers are whole whatever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
