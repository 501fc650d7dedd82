//! The rows of the directory.

use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table::{DirectoryCors, DirectoryTenant, DirectoryTenantUid};
use uuid::Uuid;

use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::rows::{Header, SpaceStatus};
use crate::machine::world::World;

/// How far a tenant's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// Placed; its cell makes its space, or has made it.
    Active,
    /// Its cell erases its space.
    Deleting,
    /// It comes from an archive, and is not served before all of it has come.
    Arriving,
}

/// A tenant and its placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tenant {
    /// The public id.
    pub(crate) id: Uuid,
    /// The `TenantUid`: the number of its space, never used again.
    pub(crate) uid: u64,
    /// Its name in URLs.
    pub(crate) slug: String,
    /// Its region.
    pub(crate) region: String,
    /// The number of its cell.
    pub(crate) cell: u64,
    /// Raised by each move.
    pub(crate) epoch: u64,
    /// Its plan.
    pub(crate) plan: String,
    /// The template that its space starts with.
    pub(crate) template: Option<String>,
    /// How far its life has come.
    pub(crate) status: Status,
    /// Microseconds since the epoch.
    pub(crate) created: u64,
    /// The operation that erases it.
    pub(crate) operation: Option<Uuid>,
}

/// Versions of [`Tenant`].
#[derive(Serialize, Deserialize)]
pub(crate) enum TenantRow {
    /// The first.
    V1(Tenant),
}

/// What the directory counts of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CellCount {
    /// Tenants pinned to it.
    pub(crate) tenants: u64,
}

/// Versions of [`CellCount`].
#[derive(Serialize, Deserialize)]
pub(crate) enum CellRow {
    /// The first.
    V1(CellCount),
}

/// Long work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    /// Its id.
    pub(crate) id: Uuid,
    /// Such as `tenant.delete`.
    pub(crate) kind: String,
    /// The tenant that it is about.
    pub(crate) tenant: String,
    /// Whether it is done.
    pub(crate) done: bool,
    /// Keys done so far.
    pub(crate) progress: u64,
    /// Microseconds since the epoch.
    pub(crate) created: u64,
    /// Microseconds since the epoch.
    pub(crate) updated: u64,
}

/// Versions of [`Operation`].
#[derive(Serialize, Deserialize)]
pub(crate) enum OperationRow {
    /// The first.
    V1(Operation),
    /// With what a move says of itself.
    V2(super::moves::Told),
    /// Of a restore, and why it failed.
    V3(super::restore_tell::Restore),
}

/// An operator's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operator {
    /// What it is called.
    pub(crate) name: String,
    /// Microseconds since the epoch.
    pub(crate) created: u64,
}

/// Versions of [`Operator`].
#[derive(Serialize, Deserialize)]
pub(crate) enum OperatorRow {
    /// The first.
    V1(Operator),
}

/// Reads a tenant.
pub(crate) fn tenant(reader: &impl Reader, slug: &str) -> Result<Option<Tenant>, Fault> {
    let key = DirectoryTenant {
        space: Space::SYSTEM,
        slug: slug.to_owned(),
    };
    Ok(reader.row(&key)?.map(|TenantRow::V1(tenant)| tenant))
}

/// Reads a tenant by its uid.
pub(crate) fn tenant_by_uid(reader: &impl Reader, uid: u64) -> Result<Option<Tenant>, Fault> {
    let slug: Option<String> = reader.row(&DirectoryTenantUid {
        space: Space::SYSTEM,
        uid,
    })?;
    slug.map_or(Ok(None), |slug| tenant(reader, &slug))
}

/// Stores a tenant.
pub(crate) fn put_tenant(world: &mut World<'_>, tenant: &Tenant) {
    let space = Space::SYSTEM;
    world.put(&DirectoryTenantUid { space, uid: tenant.uid }, &tenant.slug);
    world.put(
        &DirectoryTenant {
            space,
            slug: tenant.slug.clone(),
        },
        &TenantRow::V1(tenant.clone()),
    );
}

/// Versions of the list of origins whose pages may use a tenant's API. A tenant without a list has no row.
#[derive(Serialize, Deserialize)]
pub(crate) enum CorsRow {
    /// The first.
    V1(Vec<String>),
}

/// The origins whose pages may use a tenant's API.
pub(crate) fn cors(reader: &impl Reader, uid: u64) -> Result<Vec<String>, Fault> {
    let space = Space::SYSTEM;
    let row = reader.row(&DirectoryCors { space, uid })?;
    Ok(row.map_or_else(Vec::new, |CorsRow::V1(origins)| origins))
}

/// Stores them. Nothing is written where there are none and were none: that is what a version that knew of no lists does.
pub(crate) fn put_cors(world: &mut World<'_>, uid: u64, origins: Vec<String>) -> Result<(), Fault> {
    let key = DirectoryCors {
        space: Space::SYSTEM,
        uid,
    };
    if !origins.is_empty() {
        world.put(&key, &CorsRow::V1(origins));
    } else if !cors(world, uid)?.is_empty() {
        world.delete(&key);
    }
    Ok(())
}

/// The directory's header, made by its first command. Its position counts the changes of the directory.
pub(crate) fn touch<'w>(world: &'w mut World<'_>) -> &'w mut Header {
    world.touch(|| Header {
        tenant: Uuid::nil(),
        slug: String::new(),
        name: "directory".to_owned(),
        status: SpaceStatus::Live,
        position: 0,
        stamp: 0,
        schema: 0,
        access: 0,
        next: 1,
    })
}
