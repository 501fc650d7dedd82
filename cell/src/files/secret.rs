//! The command that sets what links to a tenant's files are signed with. A new one makes all links worthless that were signed before.

use serde::{Deserialize, Serialize};
use storage::table::LinkSecret;
use storage::{Space, table};

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Stop};
use crate::machine::world::World;

/// Versions of the row.
#[derive(Serialize, Deserialize)]
pub(crate) enum SecretRow {
    /// The first: a key of BLAKE3.
    V1([u8; 32]),
}

/// Sets the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkSecretSet {
    /// It.
    pub(crate) secret: [u8; 32],
    /// Whether it takes the place of one that is there.
    pub(crate) replaces: bool,
}

impl Command for LinkSecretSet {
    /// The secret that the tenant has now.
    type Reply = [u8; 32];

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<[u8; 32], Stop> {
        world.live()?;
        if let Some(known) = secret(world, world.space)?
            && !self.replaces
        {
            return Ok(known);
        }
        world.put(&LinkSecret { space: world.space }, &SecretRow::V1(self.secret));
        // Replies that carry it are stored nowhere: the command takes no idempotency key.
        Ok(self.secret)
    }
}

/// What links are signed with; none: there are none.
pub(crate) fn secret(reader: &impl Reader, space: Space) -> Result<Option<[u8; 32]>, Fault> {
    let row: Option<SecretRow> = reader.row(&table::LinkSecret { space })?;
    Ok(row.map(|SecretRow::V1(secret)| secret))
}
