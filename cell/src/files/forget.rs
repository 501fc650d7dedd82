//! The command that forgets chunks which nothing has named for a while. Each replica removes their bytes by itself, later.

use serde::{Deserialize, Serialize};
use storage::blob::ChunkHash;
use storage::table::ChunkUse;

use super::rows::chunk_use;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// How long a chunk stays that nothing names, in microseconds of stamped time: whoever is about to name it has so long.
pub(crate) const UNUSED_MICROS: u64 = 24 * 3_600 * 1_000_000;
/// Chunks that one command forgets.
pub(crate) const STEP: usize = 1_000;

/// Forgets chunks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChunksForget {
    /// These, as far as nothing names them.
    pub(crate) chunks: Vec<ChunkHash>,
}

impl Command for ChunksForget {
    /// How many it forgot.
    type Reply = u64;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<u64, Stop> {
        world.live()?;
        let (space, before) = (world.space, world.stamp.saturating_sub(UNUSED_MICROS));
        let mut forgotten = 0;
        for hash in self.chunks.into_iter().take(STEP) {
            let used = chunk_use(world, space, hash)?;
            if used.is_some_and(|used| used.count == 0 && used.since < before) {
                world.delete(&ChunkUse { space, hash });
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }
}
