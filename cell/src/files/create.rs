//! The command that makes a file with its first version. Its chunks are on a quorum already.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{self, Attached, Content, File, Version, VersionRow};
use super::uses;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::EventKind;
use crate::machine::world::World;
use crate::records::entries::Place;

/// Makes a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileCreate {
    /// Its id.
    pub(crate) id: Uuid,
    /// What it is called.
    pub(crate) name: String,
    /// Its media type.
    pub(crate) media_type: String,
    /// The record that it is attached to.
    pub(crate) attached: Option<Attached>,
    /// What it consists of.
    pub(crate) content: Content,
    /// What the tenant may store, in bytes.
    pub(crate) quota: u64,
}

/// A file as a command has left it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// Its id.
    pub(crate) id: Uuid,
    /// The file.
    pub(crate) file: File,
    /// Its current version, without the list of its chunks.
    pub(crate) version: Version,
}

impl Stored {
    pub(super) fn new(id: Uuid, file: File, mut version: Version) -> Self {
        version.content.chunks.clear();
        Self { id, file, version }
    }
}

impl Command for FileCreate {
    type Reply = Stored;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Stored, Stop> {
        world.live()?;
        rows::check_quota(world, world.space, self.content.size, self.quota)?;
        uses::take(world, &self.content.chunks)?;
        make(world, self.id, self.name, self.media_type, self.attached, self.content)
    }
}

/// Makes a file whose chunks are counted already.
pub(super) fn make(
    world: &mut World<'_>,
    id: Uuid,
    name: String,
    media_type: String,
    attached: Option<Attached>,
    content: Content,
) -> Result<Stored, Stop> {
    if !content.is_sound() {
        return Err(unsound());
    }
    // One that leaves still has its id.
    if world.get_raw(&storage::Table::key(&rows::key(world.space, id)))?.is_some() {
        let what = format!("file {id}");
        return Err(Refusal::AlreadyExists { what }.into());
    }
    check_attached(world, attached)?;
    let (stamp, by) = (world.stamp, world.actor.clone());
    let file = File {
        name,
        attached,
        current: 1,
        last: 1,
        kept: 1,
        revision: 1,
        created: stamp,
        updated: stamp,
        created_by: by.clone(),
        updated_by: by.clone(),
        leaves: false,
    };
    let version = Version {
        content,
        media_type,
        stamp,
        by,
    };
    rows::count(world, |totals| {
        totals.files = totals.files.saturating_add(1);
        totals.bytes = totals.bytes.saturating_add(version.content.size);
    })?;
    put_version(world, id, 1, &version);
    rows::store(world, id, None, file.clone(), EventKind::FileCreated)?;
    Ok(Stored::new(id, file, version))
}

/// Stores a version.
pub(super) fn put_version(world: &mut World<'_>, id: Uuid, number: u64, version: &Version) {
    let key = storage::table::FileVersion {
        space: world.space,
        id: id.into_bytes(),
        version: number,
    };
    world.put(&key, &VersionRow::V1(version.clone()));
}

/// Refuses a record to attach to that is not there.
pub(super) fn check_attached(world: &World<'_>, attached: Option<Attached>) -> Result<(), Stop> {
    let Some((collection, id)) = attached else { return Ok(()) };
    let space = world.space;
    let place = Place { space, collection, id };
    match place.read(world)? {
        Some(_) => Ok(()),
        None => Err(Refusal::NotFound {
            what: format!("record {id} to attach the file to"),
        }
        .into()),
    }
}

/// The refusal of a content that cannot be: no client can make one.
pub(super) fn unsound() -> Stop {
    Refusal::TooLarge {
        what: format!("a file has at most {} bytes", api::limits::FILE_BYTES),
    }
    .into()
}
