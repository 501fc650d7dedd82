//! The command that gives a file another name, or attaches it to another record.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::create::{Stored, check_attached};
use super::rows::{self, Attached, File};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::EventKind;
use crate::machine::world::World;

/// Changes what is said of a file; its content stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileChange {
    /// The file.
    pub(crate) id: Uuid,
    /// The revision that it must have; none: any.
    pub(crate) expect: Option<u64>,
    /// Its new name; none: it keeps the one that it has.
    pub(crate) name: Option<String>,
    /// The record that it is to be attached to, or none; none at all: it stays as it is.
    pub(crate) attached: Option<Option<Attached>>,
}

impl Command for FileChange {
    type Reply = Stored;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Stored, Stop> {
        world.live()?;
        let before = rows::found(world, self.id, self.expect)?;
        let attached = self.attached.unwrap_or(before.attached);
        if attached != before.attached {
            check_attached(world, attached)?;
        }
        let file = File {
            name: self.name.unwrap_or_else(|| before.name.clone()),
            attached,
            revision: before.revision.saturating_add(1),
            updated: world.stamp,
            updated_by: world.actor.clone(),
            ..before.clone()
        };
        let version = rows::version(world, world.space, self.id, file.current)?;
        let version = version.ok_or_else(|| Refusal::NotFound {
            what: format!("version {} of file {}", file.current, self.id),
        })?;
        rows::store(world, self.id, Some(&before), file.clone(), EventKind::FileUpdated)?;
        Ok(Stored::new(self.id, file, version))
    }
}
