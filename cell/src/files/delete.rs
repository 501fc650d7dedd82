//! The command that deletes a file, and the one that goes on with it: a file may have more chunks in all its versions than one command touches.

use serde::{Deserialize, Serialize};
use storage::Direction;
use uuid::Uuid;

use super::rows::{self, CHUNKS, File, FileRow};
use super::version_delete::remove;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::Stop;
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;

/// Deletes a file: it is not there any more, and as much of it is taken away as one command does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileDelete {
    /// The file.
    pub(crate) id: Uuid,
    /// The revision that it must have; none: any.
    pub(crate) expect: Option<u64>,
}

/// Goes on taking a file away that was deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileSweep {
    /// The file.
    pub(crate) id: Uuid,
}

impl Command for FileDelete {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        world.live()?;
        let file = rows::found(world, self.id, self.expect)?;
        if let Some(record) = file.attached {
            world.delete(&rows::attached(world.space, record, self.id));
        }
        world.event(EventKind::FileDeleted, Subject::File(self.id, file.current, file.attached))?;
        rows::count(world, |totals| {
            totals.files = totals.files.saturating_sub(1);
            totals.leaving = totals.leaving.saturating_add(1);
        })?;
        take_away(world, self.id, file)
    }
}

impl Command for FileSweep {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        world.live()?;
        let row: Option<FileRow> = world.row(&rows::key(world.space, self.id))?;
        match row {
            Some(FileRow::V1(file)) if file.leaves => take_away(world, self.id, file),
            _ => Ok(()),
        }
    }
}

/// Takes some versions away: one at least, and in the end the file.
fn take_away(world: &mut World<'_>, id: Uuid, file: File) -> Result<(), Stop> {
    let (mut some, mut chunks, mut is_all) = (Vec::new(), 0, true);
    for found in rows::versions(world, world.space, id, Direction::Forward) {
        let (number, version) = found?;
        chunks += version.content.chunks.len() + 1;
        if chunks > CHUNKS && !some.is_empty() {
            is_all = false;
            break;
        }
        some.push((number, version));
    }
    for (number, version) in &some {
        remove(world, id, *number, version)?;
    }
    let key = rows::key(world.space, id);
    if is_all {
        rows::count(world, |totals| totals.leaving = totals.leaving.saturating_sub(1))?;
        world.delete(&key);
    } else {
        world.put(&key, &FileRow::V1(File { leaves: true, ..file }));
    }
    Ok(())
}
