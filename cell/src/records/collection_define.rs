//! The command that creates a collection or replaces its schema, with its policy.

use serde::{Deserialize, Serialize};
use storage::table;

use super::collection_put::CollectionPut;
use super::policy::{Policy, PolicyRow};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Creates or replaces a collection and its policy. Decided on the schema version that the command carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectionDefine {
    /// The schema.
    pub(crate) put: CollectionPut,
    /// Its policy.
    pub(crate) policy: Policy,
}

impl Command for CollectionDefine {
    type Reply = CollectionDefine;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<CollectionDefine, Stop> {
        let defined = self.clone();
        let number = self.put.collection.number;
        self.put.apply(world, catalogs)?;
        write(world, number, &self.policy);
        Ok(defined)
    }
}

/// Stores a policy; one that allows everything leaves no row.
pub(crate) fn write(world: &mut World<'_>, collection: u32, policy: &Policy) {
    let key = table::CollectionPolicy {
        space: world.space,
        collection,
    };
    if policy.is_empty() {
        world.delete(&key);
    } else {
        world.put(&key, &PolicyRow::V1(policy.clone()));
    }
}
