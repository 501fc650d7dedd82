//! The command that changes records and keeps what it supersedes ([`super::history`]).
//!
//! It does what the command of before there was a history does, and that still applies as it did: a log is replayed by whoever reads it.

use serde::{Deserialize, Serialize};

use super::write::{RecordsWrite, Written};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Changes records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordsChange(pub(crate) RecordsWrite);

impl Command for RecordsChange {
    type Reply = Vec<Written>;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Vec<Written>, Stop> {
        world.keep_history();
        self.0.apply(world, catalogs)
    }
}
