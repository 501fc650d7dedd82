//! The command that gives a file a new version. Its chunks are on a quorum already.

use serde::{Deserialize, Serialize};
use storage::Direction;
use uuid::Uuid;

use super::create::{Stored, put_version, unsound};
use super::rows::{self, Content, File, VERSIONS, Version};
use super::uses;
use super::version_delete::remove;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::EventKind;
use crate::machine::world::World;

/// Gives a file a new version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileVersionAdd {
    /// The file.
    pub(crate) id: Uuid,
    /// The version that it must have; none: any.
    pub(crate) expect: Option<u64>,
    /// Its media type.
    pub(crate) media_type: String,
    /// What it consists of.
    pub(crate) content: Content,
    /// What the tenant may store, in bytes.
    pub(crate) quota: u64,
}

impl Command for FileVersionAdd {
    type Reply = Stored;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Stored, Stop> {
        world.live()?;
        let file = rows::found(world, self.id, None)?;
        if self.expect.is_some_and(|expect| expect != file.current) {
            return Err(Refusal::VersionMismatch { current: file.current }.into());
        }
        rows::check_quota(world, world.space, self.content.size, self.quota)?;
        uses::take(world, &self.content.chunks)?;
        add(world, self.id, file, self.media_type, self.content)
    }
}

/// Adds a version whose chunks are counted already. Where there are too many, the oldest goes.
pub(super) fn add(world: &mut World<'_>, id: Uuid, before: File, media_type: String, content: Content) -> Result<Stored, Stop> {
    if !content.is_sound() {
        return Err(unsound());
    }
    let (stamp, by) = (world.stamp, world.actor.clone());
    let number = before.last.saturating_add(1);
    let version = Version {
        content,
        media_type,
        stamp,
        by: by.clone(),
    };
    let mut file = File {
        current: number,
        last: number,
        kept: before.kept.saturating_add(1),
        revision: before.revision.saturating_add(1),
        updated: stamp,
        updated_by: by,
        ..before.clone()
    };
    rows::count(world, |totals| {
        totals.bytes = totals.bytes.saturating_add(version.content.size)
    })?;
    put_version(world, id, number, &version);
    if file.kept > VERSIONS {
        let oldest = rows::versions(world, world.space, id, Direction::Forward)
            .next()
            .transpose()?;
        if let Some((oldest, version)) = oldest {
            remove(world, id, oldest, &version)?;
            file.kept = VERSIONS;
        }
    }
    rows::store(world, id, Some(&before), file.clone(), EventKind::FileUpdated)?;
    Ok(Stored::new(id, file, version))
}
