//! The command that revokes an API key. The hash of its secret stays: who still uses it is told that it has ended, as only the
//! tenant's own tokens are.

use serde::{Deserialize, Serialize};
use storage::table::Token;
use uuid::Uuid;

use super::token_row::{self, StoredRole};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{EventKind, Subject};
use crate::machine::world::World;

/// Revokes a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TokenDelete {
    /// Its id.
    pub(crate) id: Uuid,
    /// Whether the one who asks may revoke tokens of owners.
    pub(crate) owner: bool,
}

impl Command for TokenDelete {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        world.live()?;
        let space = world.space;
        let missing = || Refusal::NotFound {
            what: format!("token {}", self.id),
        };
        let row = token_row::read(world, space, self.id)?.ok_or_else(missing)?;
        if row.role == StoredRole::Owner && !self.owner {
            return Err(missing().into());
        }
        let header = world.header_mut()?;
        header.access = header.access.saturating_add(1);
        world.event(EventKind::TokenRevoked, Subject::Token(self.id))?;
        world.delete(&Token {
            space,
            id: self.id.into_bytes(),
        });
        Ok(())
    }
}
