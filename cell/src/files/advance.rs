//! The command that says how far an upload is, and in the end makes a file of it. What it names is on a quorum already.

use serde::{Deserialize, Serialize};
use storage::blob::{CHUNK_BYTES, ChunkHash};
use uuid::Uuid;

use super::digest::{Inner, Leaf};
use super::rows::CHUNKS;
use super::upload::{self, End, KEPT_MICROS, LeafRow, Upload};
use super::uses;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Brings an upload further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UploadAdvance {
    /// The upload.
    pub(crate) id: Uuid,
    /// How far it must be, in bytes.
    pub(crate) from: u64,
    /// Whole chunks that follow those that it has; the first of them begins with its tail.
    pub(crate) leaves: Vec<Leaf>,
    /// What comes after them: its name and length.
    pub(crate) tail: Option<(ChunkHash, u32)>,
    /// The inner value of SHA-256 after the whole chunks.
    pub(crate) inner: Inner,
    /// All of it has come.
    pub(crate) end: Option<End>,
}

impl Command for UploadAdvance {
    type Reply = Upload;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Upload, Stop> {
        world.live()?;
        let (space, id) = (world.space, self.id);
        let before = upload::read(world, space, id)?.ok_or_else(|| upload::missing(id))?;
        let offset = before.offset();
        if before.done.is_some() || offset != self.from {
            return Err(Refusal::OffsetMismatch { offset }.into());
        }
        let now = Upload {
            chunks: before.chunks.saturating_add(self.leaves.len() as u64),
            tail: self.tail,
            inner: self.inner,
            expires: world.stamp.saturating_add(KEPT_MICROS),
            ..before.clone()
        };
        let is_sound = self
            .tail
            .is_none_or(|(_, bytes)| (1..CHUNK_BYTES).contains(&(bytes as usize)));
        if !is_sound || now.chunks > CHUNKS as u64 || now.offset() < offset || now.offset() > now.length {
            return Err(Refusal::OffsetMismatch { offset }.into());
        }
        let named: Vec<_> = self
            .leaves
            .iter()
            .map(|leaf| leaf.hash)
            .chain(self.tail.map(|(hash, _)| hash))
            .collect();
        uses::take(world, &named)?;
        if let Some((hash, _)) = before.tail {
            uses::give_back(world, &[hash])?;
        }
        for (number, leaf) in (before.chunks..).zip(&self.leaves) {
            world.put(&upload::chunk_key(space, id, number), &LeafRow::V1(*leaf));
        }
        match self.end {
            Some(end) => upload::finish(world, id, now, end),
            None => Ok(upload::put(world, id, now)),
        }
    }
}
