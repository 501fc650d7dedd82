//! How busy the shared cells of this region are, and which tenants to move.

use std::collections::BTreeMap;

use api::body::balance::{Balance, CellLoad, ProposedMove};
use api::error::Result;

use super::Front;
use super::error::internal;
use crate::directory::rows::tenant_by_uid;
use crate::directory::tenant_reserve::count;
use crate::placement::balance::{Measured, propose};

impl Front {
    pub(super) async fn show_balance(&self) -> Result<Balance> {
        let loads = self.platform.ask_loads().await;
        let snapshot = self.platform.directory.read()?;
        let topology = self.platform.topology();
        let name = |cell: u64| topology.cell(cell).map(|entry| entry.name.clone()).unwrap_or_default();
        let mut cells = Vec::with_capacity(loads.len());
        for (number, load) in &loads {
            cells.push(CellLoad {
                cell: name(*number),
                tenants: count(&snapshot, *number).map_err(|fault| internal(&fault))?.tenants,
                writes_per_second: load.writes,
                stored_bytes: load.stored,
                disk_free_bytes: load.free,
            });
        }
        // Who moves already, or is erased, is no candidate; what it writes counts.
        let mut slugs = BTreeMap::new();
        for (uid, _) in loads.values().flat_map(|load| &load.tenants) {
            let tenant = tenant_by_uid(&snapshot, *uid).map_err(|fault| internal(&fault))?;
            let moving = crate::directory::moves::read(&snapshot, *uid).map_err(|fault| internal(&fault))?;
            if let Some(tenant) = tenant.filter(|tenant| moving.is_none() && tenant.operation.is_none()) {
                slugs.insert(*uid, tenant.slug);
            }
        }
        let measured = loads.into_iter().map(|(cell, load)| Measured {
            cell,
            writes: load.writes,
            tenants: load.tenants.into_iter().filter(|(uid, _)| slugs.contains_key(uid)).collect(),
        });
        let moves = propose(measured.collect()).into_iter().map(|one| ProposedMove {
            tenant: slugs.get(&one.tenant).cloned().unwrap_or_default(),
            from: name(one.from),
            to: one.to.map(name),
            writes_per_second: one.writes,
        });
        Ok(Balance {
            region: self.platform.me.region.clone(),
            moves: moves.collect(),
            cells,
        })
    }
}
