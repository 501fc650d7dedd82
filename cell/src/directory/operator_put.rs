//! The command that lets an operator in: the hash of a token, and what it is called.

use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table::OperatorToken;

use super::rows::{self, Operator, OperatorRow};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Stores an operator's token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OperatorPut {
    /// The hash of the secret.
    pub(crate) hash: [u8; 32],
    /// What it is called.
    pub(crate) name: String,
}

impl Command for OperatorPut {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        let created = world.stamp;
        rows::touch(world);
        let row = OperatorRow::V1(Operator {
            name: self.name,
            created,
        });
        world.put(
            &OperatorToken {
                space: Space::SYSTEM,
                hash: self.hash,
            },
            &row,
        );
        Ok(())
    }
}
