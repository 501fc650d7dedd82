//! The command that ends an upload without a file, and forgets one that has ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows;
use super::upload;
use super::uses;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Ends an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UploadAbort {
    /// The upload.
    pub(crate) id: Uuid,
    /// Only if it has expired.
    pub(crate) expired: bool,
}

impl Command for UploadAbort {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        world.live()?;
        let (space, id) = (world.space, self.id);
        let found = upload::read(world, space, id)?.ok_or_else(|| upload::missing(id))?;
        if self.expired && found.expires >= world.stamp {
            return Ok(());
        }
        let leaves = upload::leaves(world, space, id)?;
        let named: Vec<_> = leaves
            .iter()
            .map(|leaf| leaf.hash)
            .chain(found.tail.map(|(hash, _)| hash))
            .collect();
        uses::give_back(world, &named)?;
        for number in 0..leaves.len() as u64 {
            world.delete(&upload::chunk_key(space, id, number));
        }
        let uploading = if found.done.is_some() { 0 } else { found.length };
        rows::count(world, |totals| {
            totals.uploads = totals.uploads.saturating_sub(1);
            totals.uploading = totals.uploading.saturating_sub(uploading);
        })?;
        world.delete(&upload::key(space, id));
        Ok(())
    }
}
