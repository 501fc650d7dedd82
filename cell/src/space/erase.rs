//! The command that erases a space, some keys at a time. What stays is its header, so that a late command cannot bring it
//! back and its number is never used again.

use serde::{Deserialize, Serialize};
use storage::table::SpaceHeader;
use storage::{Direction, Key, KeyRange, Table};
use uuid::Uuid;

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::limits::ERASE_KEYS;
use crate::machine::reader::Reader;
use crate::machine::refusal::Stop;
use crate::machine::rows::{Header, SpaceStatus};
use crate::machine::world::World;

/// Takes one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpaceErase {
    /// The tenant's public id, for a space that was never made: it must not be made later either.
    pub(crate) tenant: Uuid,
    /// The last key that the step before removed: what lies before it need not be walked past again. None: from the start.
    pub(crate) after: Option<Vec<u8>>,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Erased {
    /// Keys removed by this step.
    pub(crate) keys: u64,
    /// Whether nothing is left.
    pub(crate) done: bool,
    /// The last key that it removed.
    pub(crate) last: Option<Vec<u8>>,
}

impl Command for SpaceErase {
    type Reply = Erased;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Erased, Stop> {
        let space = world.space;
        let header = SpaceHeader { space }.key();
        let header_range = KeyRange::space(space).after(&header);
        let after = self
            .after
            .and_then(|bytes| Key::from_bytes(bytes.into()).ok())
            .filter(|key| header_range.contains(key.as_bytes()));
        let range = match &after {
            Some(key) => header_range.after(key),
            None => header_range,
        };
        let rows = world.scan(range, Direction::Forward).take(ERASE_KEYS);
        let keys: Vec<_> = rows.map(|row| row.map(|(key, _)| key)).collect::<Result<_, _>>()?;
        let done = keys.len() < ERASE_KEYS;
        let last = keys.last().map(|key| key.as_bytes().to_vec());
        let erased = Erased {
            keys: keys.len() as u64,
            done,
            last,
        };
        for key in keys {
            world.delete_raw(key);
        }
        let status = if done { SpaceStatus::Erased } else { SpaceStatus::Erasing };
        let (schema, access) = world.header().map_or((0, 0), |header| (header.schema, header.access));
        let position = world.position();
        world.create(Header {
            tenant: self.tenant,
            slug: String::new(),
            name: String::new(),
            status,
            position,
            stamp: 0,
            schema,
            access,
            next: 0,
        });
        Ok(erased)
    }
}
