//! The command that deletes an older version of a file.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{self, File, Version};
use super::uses;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::EventKind;
use crate::machine::world::World;

/// Deletes a version that is not the current one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileVersionDelete {
    /// The file.
    pub(crate) id: Uuid,
    /// The version.
    pub(crate) version: u64,
}

impl Command for FileVersionDelete {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        world.live()?;
        let before = rows::found(world, self.id, None)?;
        let version = rows::version(world, world.space, self.id, self.version)?;
        let version = version.ok_or_else(|| missing_version(self.id, self.version))?;
        if self.version == before.current {
            return Err(Refusal::CurrentVersion { version: self.version }.into());
        }
        remove(world, self.id, self.version, &version)?;
        let file = File {
            kept: before.kept.saturating_sub(1),
            revision: before.revision.saturating_add(1),
            updated: world.stamp,
            updated_by: world.actor.clone(),
            ..before.clone()
        };
        rows::store(world, self.id, Some(&before), file, EventKind::FileUpdated)
    }
}

/// Takes a version away.
pub(super) fn remove(world: &mut World<'_>, id: Uuid, number: u64, version: &Version) -> Result<(), Stop> {
    uses::give_back(world, &version.content.chunks)?;
    rows::count(world, |totals| {
        totals.bytes = totals.bytes.saturating_sub(version.content.size)
    })?;
    world.delete(&storage::table::FileVersion {
        space: world.space,
        id: id.into_bytes(),
        version: number,
    });
    Ok(())
}

pub(super) fn missing_version(id: Uuid, version: u64) -> Refusal {
    Refusal::NotFound {
        what: format!("version {version} of file {id}"),
    }
}
