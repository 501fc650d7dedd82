//! The command that makes room for a space in the cell that it goes to, some keys at a time: what an earlier stay or attempt has left is
//! erased. It also takes back what has come when a move is called off.

use serde::{Deserialize, Serialize};
use storage::table::SpaceHeader;
use storage::{Direction, KeyRange, Table};
use uuid::Uuid;

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::limits::ERASE_KEYS;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{Header, Place, SpaceStatus};
use crate::machine::world::World;

/// Takes one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpaceClear {
    /// The attempt.
    pub(crate) attempt: u64,
    /// The tenant's public id.
    pub(crate) tenant: Uuid,
    /// Whether rows come afterwards; else the move is called off.
    pub(crate) comes: bool,
}

impl SpaceClear {
    /// Whether a space that stands there may be cleared. One that is served never is.
    fn may_clear(&self, header: Option<&Header>, place: Place) -> bool {
        match (header, place) {
            (None, _) => true,
            (Some(header), Place::Here) => header.status == SpaceStatus::Erased,
            (Some(_), Place::Held { .. }) => false,
            // What has departed with an attempt is never cleared by that one: its rows are the tenant's until it is live elsewhere.
            (Some(_), Place::Departed { attempt }) => attempt < self.attempt || (attempt == self.attempt && !self.comes),
            (Some(_), place) => place.attempt().is_some_and(|attempt| attempt <= self.attempt),
        }
    }
}

impl Command for SpaceClear {
    /// Whether nothing is left.
    type Reply = bool;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<bool, Stop> {
        let (space, attempt, place) = (world.space, self.attempt, world.place());
        // A repeated step does not take back what has come since.
        match place {
            Place::Copying { attempt: now, .. } | Place::Following { attempt: now, .. } | Place::Arrived { attempt: now, .. }
                if now == attempt && self.comes =>
            {
                return Ok(true);
            }
            place if !self.may_clear(world.header(), place) => return Err(Refusal::Stale.into()),
            _ => {}
        }
        let rows = KeyRange::space(space).after(&SpaceHeader { space }.key());
        let keys: Vec<_> = world
            .scan(rows, Direction::Forward)
            .take(ERASE_KEYS)
            .map(|row| row.map(|(key, _)| key))
            .collect::<Result<_, _>>()?;
        let is_done = keys.len() < ERASE_KEYS;
        for key in keys {
            world.delete_raw(key);
        }
        let header = Header {
            tenant: self.tenant,
            slug: String::new(),
            name: String::new(),
            status: if is_done { SpaceStatus::Erased } else { SpaceStatus::Erasing },
            position: 0,
            stamp: 0,
            schema: 0,
            access: 0,
            next: 0,
        };
        let place = match (is_done, self.comes) {
            (true, true) => Place::Copying { attempt, chunks: 0 },
            (true, false) => Place::Departed { attempt },
            (false, _) => Place::Clearing { attempt },
        };
        world.adopt(header, place);
        Ok(is_done)
    }
}
