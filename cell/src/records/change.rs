//! The commands that change records and keep what they supersede ([`super::history`]).
//!
//! They do what the commands of before there was a history do, and those still apply as they did: a log is replayed by whoever reads it.

use serde::{Deserialize, Serialize};

use super::import::{ImportChunk, Imported};
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

/// Stores some lines of an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImportLines(pub(crate) ImportChunk);

impl Command for ImportLines {
    type Reply = Imported;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Imported, Stop> {
        world.keep_history();
        self.0.apply(world, catalogs)
    }
}
