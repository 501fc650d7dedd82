//! What arrives of a content, on its way to chunks: hashed, cut, and kept for good, a chunk at a time. It holds two at most.

use std::sync::Arc;

use api::error::{Code, Error, Result};
use api::service::{ByteSource, RequestContext};
use bytes::Bytes;
use storage::Space;
use storage::blob::CHUNK_BYTES;

use crate::fair::unit::{self, Units};
use crate::files::digest::{Cutter, INITIAL, Inner, Leaf, absorb, finish, root};
use crate::files::rows::Content;
use crate::machine::refusal::Refusal;
use crate::node::platform::Platform;
use crate::service::error::{internal, refused};
use crate::service::toll::Toll;

/// Disks that a chunk is hashed for and written to: this node's is one of them.
const REPLICAS: u64 = 3;
/// A content of so many bytes passes at once. Raised: uploads of one tenant are noticed by others. Lowered: small files wait on a busy node.
const SMALL_BYTES: u64 = 64 * 1024;

/// What is no whole chunk yet is kept anew with each part of an upload that comes: of what was kept before so much counts. Raised: uploads in tiny
/// parts fill more of the disks for a day. Lowered: they are refused.
const AGAIN_PART: u64 = 4;

/// See the module.
pub(super) struct Intake<'a> {
    platform: &'a Arc<Platform>,
    cell: u64,
    ctx: &'a RequestContext,
    cutter: Cutter,
    /// Chunks that came, and that nobody has taken from here yet.
    pub(super) leaves: Vec<Leaf>,
    /// Whole chunks so far, those of before among them.
    pub(super) place: u64,
    /// SHA-256 after them.
    pub(super) inner: Inner,
    /// Bytes so far, those of before among them.
    pub(super) size: u64,
    /// Of these, what was there when it began, or is kept.
    counted: u64,
    room: Room,
}

/// Room for files, in bytes: what the plan gives of it, and what is taken.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) used: u64,
    pub(super) quota: u64,
}

impl Room {
    /// Of what has its place already: all of it was announced.
    pub(super) const TAKEN: Self = Self {
        used: 0,
        quota: u64::MAX,
    };

    /// Refuses more than there is room for.
    fn check(self, more: u64) -> Result<()> {
        let Self { used, quota } = self;
        match used.saturating_add(more) > quota {
            true => Err(refused(&Refusal::StorageFull { used, quota })),
            false => Ok(()),
        }
    }
}

impl<'a> Intake<'a> {
    /// From the beginning.
    pub(super) fn new(platform: &'a Arc<Platform>, ctx: &'a RequestContext, room: Room) -> Self {
        Self {
            room,
            ..Self::after(platform, ctx, (0, INITIAL), &[])
        }
    }

    /// After whole chunks and a tail.
    pub(super) fn after(platform: &'a Arc<Platform>, ctx: &'a RequestContext, (place, inner): (u64, Inner), tail: &[u8]) -> Self {
        Self {
            platform,
            cell: ctx.placement.cell,
            ctx,
            cutter: Cutter::after(tail),
            leaves: Vec::new(),
            place,
            inner,
            size: place * CHUNK_BYTES as u64 + tail.len() as u64,
            counted: place * CHUNK_BYTES as u64 + tail.len() as u64,
            room: Room::TAKEN,
        }
    }

    /// Takes a piece; in all there may be so many bytes.
    pub(super) async fn take(&mut self, piece: &[u8], most: u64) -> Result<()> {
        self.size += piece.len() as u64;
        if self.size > most {
            return Err(Error::new(Code::TooLarge, format!("there is more than {most} bytes of it")));
        }
        self.room.check(self.size)?;
        self.cutter.push(piece);
        while let Some(chunk) = self.cutter.next() {
            let (place, mut inner, own) = (self.place, self.inner, chunk.clone());
            let hashing = tokio::task::spawn_blocking(move || {
                absorb(&mut inner, &own);
                (Leaf::of(&own, place), inner)
            });
            let (leaf, inner) = hashing.await.map_err(|error| internal(&error))?;
            self.keep(chunk).await?;
            self.leaves.push(leaf);
            (self.place, self.inner) = (self.place + 1, inner);
        }
        Ok(())
    }

    /// What is left, kept for good: its leaf, and its bytes. None: nothing is left.
    pub(super) async fn tail(&mut self) -> Result<Option<(Leaf, Bytes)>> {
        let tail = self.cutter.tail();
        if tail.is_empty() {
            return Ok(None);
        }
        let leaf = Leaf::of(&tail, self.place);
        self.keep(tail.clone()).await?;
        Ok(Some((leaf, tail)))
    }

    async fn keep(&mut self, chunk: Bytes) -> Result<()> {
        self.pay(unit::of_kept(chunk.len())).await?;
        let bytes = chunk.len() as u64;
        let new = bytes.min(self.size - self.counted);
        let (account, limits) = self.platform.account(&self.ctx.placement);
        if !account.keep(&limits, counts(bytes, new)) {
            let detail = format!(
                "the tenant has sent several times what its plan {:?} stores of files within a day, which stays on the disks for so long: go on \
                 tomorrow",
                limits.plan
            );
            return Err(Error::new(Code::StorageFull, detail));
        }
        self.counted += new;
        let space = Space(self.ctx.placement.uid);
        self.platform.keep_chunk(self.cell, space, chunk).await.map(drop)
    }

    /// What is small passes at once; the rest of a file is of the elastic class.
    async fn pay(&self, cost: Units) -> Result<()> {
        let (platform, placement) = (self.platform, &self.ctx.placement);
        if self.size > SMALL_BYTES {
            return Toll::new(platform, placement, "try again; an upload in parts goes on where it was")
                .pay_here(cost, cost.part_of(REPLICAS))
                .await;
        }
        let (account, limits) = platform.account(placement);
        account.charge(&limits, cost);
        Ok(())
    }

    /// All of a body, as the content of a file.
    pub(super) async fn whole(mut self, mut body: Box<dyn ByteSource>, most: u64) -> Result<Content> {
        while let Some(piece) = body.next().await? {
            self.take(&piece, most).await?;
        }
        let tail = self.tail().await?;
        let sha256 = finish(self.inner, tail.as_ref().map_or(&[], |(_, tail)| tail), self.size);
        self.leaves.extend(tail.map(|(leaf, _)| leaf));
        Ok(Content {
            size: self.size,
            blake3: root(&self.leaves, self.size),
            sha256,
            chunks: self.leaves.iter().map(|leaf| leaf.hash).collect(),
        })
    }
}

/// What counts of bytes that are kept, of which so many were not kept before.
fn counts(bytes: u64, new: u64) -> u64 {
    new + (bytes - new) / AGAIN_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_in_small_parts_is_not_refused_for_what_was_kept_of_it_before() {
        let (chunk, part) = (CHUNK_BYTES as u64, 64 * 1024);
        let all: u64 = (1..=chunk / part).map(|parts| counts(parts * part, part)).sum();
        assert!(all > chunk && all < 3 * chunk, "{all} of {chunk}");
        assert_eq!(
            counts(chunk, 1),
            1 + (chunk - 1) / AGAIN_PART,
            "and parts of a byte fill nothing for free"
        );
    }
}
