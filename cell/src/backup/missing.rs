//! Tenants that the directory places in a cell which does not have them: it was lost with all its replicas, and has come up empty.
//!
//! They are what `cell restore` brings back, and why what earlier lives of the cell have left in the backup stays (`sweep`).
//!
//! Invariant: the directory is read before the cell. What a move has done by then is known, so that a space that it brings or has taken
//! away is not taken for one that was lost.

use storage::{Snapshot, Space};

use crate::directory::rows::{self, Status, Tenant};
use crate::directory::{moves, query};
use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::rows::{Place, SpaceStatus};

/// Tenants that are read at a time.
const PAGE: usize = 1_000;

/// Where the directory has a tenant, as seen from a cell that has, or gets, its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In this cell.
    Here,
    /// In another one.
    Elsewhere,
    /// Nowhere: it was deleted, or is about to be. Its number is never used again.
    Gone,
}

/// Where the directory has the tenant of a number.
pub(crate) fn whereabouts(directory: &impl Reader, cell: u64, uid: u64) -> Result<Whereabouts, Fault> {
    Ok(match rows::tenant_by_uid(directory, uid)? {
        None => Whereabouts::Gone,
        Some(tenant) if tenant.status == Status::Deleting => Whereabouts::Gone,
        Some(tenant) if tenant.cell != cell => Whereabouts::Elsewhere,
        Some(_) => Whereabouts::Here,
    })
}

/// The tenant of a number, if it is served in this cell by what the directory says.
pub(crate) fn placed(directory: &impl Reader, cell: u64, uid: u64) -> Result<Option<Tenant>, Fault> {
    let tenant = rows::tenant_by_uid(directory, uid)?;
    Ok(tenant.filter(|tenant| is_of(tenant, cell)))
}

/// The tenants of a cell whose spaces are not there, or only in part. `store`: what the cell has.
pub(crate) fn missing(directory: &Snapshot, store: &Snapshot, cell: u64) -> Result<Vec<Tenant>, Fault> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let (tenants, more) = query::tenants(directory, after.as_deref(), PAGE)?;
        after = tenants.last().map(|last| last.slug.clone()).filter(|_| more);
        for tenant in tenants.into_iter().filter(|tenant| is_of(tenant, cell)) {
            if is_missing(directory, store, &tenant)? {
                found.push(tenant);
            }
        }
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// Whether the space of a tenant that is placed in the cell of this store is not there, or only in part.
pub(crate) fn is_missing(directory: &impl Reader, store: &impl Reader, tenant: &Tenant) -> Result<bool, Fault> {
    let Some((header, place)) = store.placed(Space(tenant.uid))? else {
        return Ok(true);
    };
    Ok(match place {
        Place::Here => header.status != SpaceStatus::Live,
        Place::Held { .. } => false,
        // It has just left: the directory says so by now.
        Place::Departed { .. } => moves::read(directory, tenant.uid)?.is_none(),
        // A move that has switched is about to make it live.
        _ => moves::read(directory, tenant.uid)?.is_none_or(|moving| moving.to != tenant.cell),
    })
}

fn is_of(tenant: &Tenant, cell: u64) -> bool {
    tenant.cell == cell && tenant.status == Status::Active
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::directory::move_begin::MoveBegin;
    use crate::directory::move_turn::{MoveTurn, Turn};
    use crate::directory::tenant_delete::TenantDelete;
    use crate::directory::tenant_forget::TenantForget;
    use crate::directory::tenant_reserve::TenantReserve;
    use crate::machine::stage::Stage;
    use crate::placement::clear::SpaceClear;
    use crate::space::create::SpaceCreate;

    const CELL: u64 = 2;
    const OTHER: u64 = 3;

    fn reserve(directory: &mut Stage) -> Tenant {
        let reserve = TenantReserve {
            id: Uuid::from_u128(1),
            slug: "acme".to_owned(),
            region: "one".to_owned(),
            cell: CELL,
            dedicated: false,
            plan: "free".to_owned(),
            template: None,
        };
        directory.apply(reserve).result.expect("entered")
    }

    /// What a cell lacks.
    fn lacks(directory: &Stage, store: &Stage, cell: u64) -> usize {
        missing(&directory.snapshot(), &store.snapshot(), cell)
            .expect("no fault")
            .len()
    }

    fn half_there(tenant: &Tenant) -> Stage {
        let mut store = Stage::of(Space(tenant.uid));
        let (attempt, tenant, comes) = (5, tenant.id, true);
        store.apply(SpaceClear { attempt, tenant, comes }).result.expect("cleared");
        store
    }

    #[test]
    fn a_cell_lacks_what_the_directory_places_there_and_its_store_does_not_have() {
        let mut directory = Stage::of(Space::SYSTEM);
        let tenant = reserve(&mut directory);
        let mut store = Stage::of(Space(tenant.uid));
        assert_eq!(lacks(&directory, &store, CELL), 1, "it came up empty");
        assert_eq!(lacks(&directory, &store, OTHER), 0, "that is not where it is");
        assert_eq!(lacks(&directory, &half_there(&tenant), CELL), 1, "a restore of it broke off");
        let create = SpaceCreate {
            tenant: tenant.id,
            slug: tenant.slug,
            name: "Acme".to_owned(),
            collections: Vec::new(),
            token: None,
        };
        store.apply(create).result.expect("made");
        assert_eq!(lacks(&directory, &store, CELL), 0);
    }

    #[test]
    fn a_tenant_that_was_deleted_since_it_was_listed_is_gone() {
        let mut directory = Stage::of(Space::SYSTEM);
        let tenant = reserve(&mut directory);
        let store = Stage::of(Space(tenant.uid));
        let listed = missing(&directory.snapshot(), &store.snapshot(), CELL).expect("no fault");
        assert_eq!(listed, std::slice::from_ref(&tenant));
        let look = |directory: &Stage| {
            let snapshot = directory.snapshot();
            let found = placed(&snapshot, CELL, tenant.uid).expect("no fault").is_some();
            (whereabouts(&snapshot, CELL, tenant.uid).expect("no fault"), found)
        };
        assert_eq!(look(&directory), (Whereabouts::Here, true));
        let delete = TenantDelete {
            slug: tenant.slug.clone(),
            operation: Uuid::from_u128(9),
        };
        directory.apply(delete).result.expect("begun");
        assert_eq!(look(&directory), (Whereabouts::Gone, false));
        let (uid, keys) = (tenant.uid, 0);
        directory.apply(TenantForget { uid, keys }).result.expect("forgotten");
        assert_eq!(look(&directory), (Whereabouts::Gone, false));
        // Another one of its name is another one.
        reserve(&mut directory);
        assert_eq!(look(&directory), (Whereabouts::Gone, false));
    }

    #[test]
    fn a_tenant_that_a_move_has_brought_is_not_lost_and_where_it_was_it_is_elsewhere() {
        let mut directory = Stage::of(Space::SYSTEM);
        let tenant = reserve(&mut directory);
        let operation = Uuid::from_u128(9);
        let begin = MoveBegin {
            slug: tenant.slug.clone(),
            to: OTHER,
            dedicated: false,
            operation,
        };
        directory.apply(begin).result.expect("begun");
        let target = half_there(&tenant);
        assert_eq!(lacks(&directory, &target, OTHER), 0);
        assert_eq!(
            lacks(&directory, &half_there(&tenant), CELL),
            1,
            "a move from there brings nothing there"
        );
        let uid = tenant.uid;
        let attempt = moves::read(&directory.snapshot(), uid)
            .expect("no fault")
            .expect("a move")
            .attempt;
        let turn = Turn::Switch { attempt };
        directory.apply(MoveTurn { uid, operation, turn }).result.expect("switched");
        assert_eq!(lacks(&directory, &target, OTHER), 0, "the move goes on");
        let at = |cell| whereabouts(&directory.snapshot(), cell, uid).expect("no fault");
        assert_eq!((at(CELL), at(OTHER)), (Whereabouts::Elsewhere, Whereabouts::Here));
    }
}
