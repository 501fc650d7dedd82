//! The command that makes an older version of a file its newest.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::create::Stored;
use super::rows;
use super::uses;
use super::version_add::add;
use super::version_delete::missing_version;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Makes a version like an older one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileRestoreVersion {
    /// The file.
    pub(crate) id: Uuid,
    /// The older version.
    pub(crate) version: u64,
    /// What the tenant may store, in bytes.
    pub(crate) quota: u64,
}

impl Command for FileRestoreVersion {
    type Reply = Stored;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Stored, Stop> {
        world.live()?;
        let file = rows::found(world, self.id, None)?;
        let old = rows::version(world, world.space, self.id, self.version)?;
        let old = old.ok_or_else(|| missing_version(self.id, self.version))?;
        rows::check_quota(world, world.space, old.content.size, self.quota)?;
        uses::take(world, &old.content.chunks)?;
        add(world, self.id, file, old.media_type, old.content)
    }
}
