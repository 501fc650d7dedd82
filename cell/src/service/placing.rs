//! Where a new tenant goes: its region, its cell and its plan.

use api::error::{Code, Error, Result};

use super::Front;
use super::error::internal;
use super::tenants::wrong;
use crate::config::{CellKind, CellState, Plan};
use crate::directory::tenant_reserve::count;
use crate::directory::topology;

/// A disk with less room than this takes new tenants only where there is no other, in bytes: 5 GiB.
const ROOM_BYTES: u64 = 5 << 30;
/// Cells whose stores differ by less are equally full, in bytes: 256 MiB.
const ROOM_STEP: u64 = 256 << 20;

impl Front {
    /// The cell of a new tenant: the shared one with the most room, or a dedicated one that is free. A cell whose disk is nearly full
    /// comes last; then what is stored counts, roughly, because all grow; then how many tenants there are.
    pub(super) fn choose_cell(&self, snapshot: &storage::Snapshot, slug: &str, region: &str, dedicated: bool) -> Result<u64> {
        let kind = if dedicated { CellKind::Dedicated } else { CellKind::Shared };
        let mut cells = Vec::new();
        let topology = self.platform.topology();
        for cell in topology
            .region_cells(region)
            .into_iter()
            .filter(|cell| cell.kind == kind && cell.state != CellState::Forming)
        {
            let tenants = count(snapshot, cell.number).map_err(|fault| internal(&fault))?.tenants;
            let load = self.platform.heard_load(cell.number).unwrap_or_default();
            let used = (
                load.free.is_some_and(|free| free < ROOM_BYTES),
                load.stored / ROOM_STEP,
                tenants,
            );
            if !dedicated || tenants == 0 {
                cells.push((used, cell.number));
            }
        }
        let none = || {
            let what = match dedicated {
                true => format!("dedicated cell of {region} is free"),
                false => format!("shared cell is in {region}"),
            };
            Error::new(Code::Unavailable, format!("no {what}: add one to the configuration"))
        };
        least_used(slug, &cells).ok_or_else(none)
    }

    pub(super) fn other_region(&self, region: &str) -> Error {
        match self.platform.elsewhere(region) {
            Some(elsewhere) => {
                let detail = format!("tenants of {region} are made at {}", elsewhere.endpoint);
                Error {
                    elsewhere: Some(elsewhere),
                    ..Error::new(Code::WrongRegion, detail)
                }
            }
            None => {
                let topology = self.platform.topology();
                let names: Vec<_> = topology.regions.iter().map(|region| region.name.as_str()).collect();
                wrong(
                    "/region",
                    format!("{region:?} is not a region; there are: {}", names.join(", ")),
                )
            }
        }
    }

    /// The name of a plan that is there; none is asked for: of the first. One that this node does not know may be of a change that it has not
    /// heard of yet.
    pub(super) async fn plan(&self, plan: Option<&str>) -> Result<String> {
        if let Some(found) = named_plan(&self.platform.topology().plans, plan) {
            return Ok(found);
        }
        self.platform.freshen_directory().await;
        let stored = topology::read(&self.platform.directory.read()?).map_err(|fault| internal(&fault))?;
        let plans = stored.map_or_else(Vec::new, |(_, topology)| topology.plans);
        let names = || plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>().join(", ");
        named_plan(&plans, plan).ok_or_else(|| wrong("/plan", format!("is not a plan; there are: {}", names())))
    }
}

fn named_plan(plans: &[Plan], name: Option<&str>) -> Option<String> {
    let found = match name {
        None => plans.first(),
        Some(name) => plans.iter().find(|plan| plan.name == name),
    };
    found.map(|plan| plan.name.clone())
}

/// The cell that is used least. Among several the tenant's name decides: those that are made at the same time see the same counts, and would all go to
/// the first.
fn least_used<U: Ord + Copy>(slug: &str, cells: &[(U, u64)]) -> Option<u64> {
    let place = |cell: u64| {
        let mut hash = blake3::Hasher::new();
        hash.update(slug.as_bytes()).update(&cell.to_be_bytes());
        *hash.finalize().as_bytes()
    };
    cells
        .iter()
        .min_by_key(|(used, cell)| (*used, place(*cell)))
        .map(|(_, cell)| *cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_that_are_made_at_once_spread_over_cells_that_are_used_alike() {
        let mut chosen = std::collections::BTreeMap::<u64, usize>::new();
        for number in 0..300 {
            let cell = least_used(&format!("tenant-{number}"), &[(7, 2), (7, 3), (7, 4), (8, 5)]);
            *chosen.entry(cell.expect("a cell")).or_default() += 1;
        }
        assert!(
            chosen.keys().eq(&[2, 3, 4]) && chosen.values().all(|count| *count > 60),
            "{chosen:?}"
        );
        assert_eq!(least_used("tenant", &[(1, 2), (0, 3)]), Some(3));
        assert_eq!(least_used::<u64>("tenant", &[]), None);
    }
}
