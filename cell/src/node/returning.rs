//! Chunks of files of a tenant that is restored: from the store of the backups to a majority of the cell's replicas, before its rows come.
//!
//! The space is on its way in, so that no replica removes what nothing names yet. Empty chunks of rows say meanwhile that somebody brings it.

use std::time::{Duration, Instant};

use api::error::{Code, Error};
use futures_util::{StreamExt, stream};
use storage::Space;
use storage::blob::ChunkHash;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::arriving::{Arrival, BEAT};
use crate::backup::keeper::UNDER_WAY;
use crate::backup::stored::Stored;

/// How long a chunk that too few replicas take is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

impl Arrival<'_> {
    /// Brings the chunks; the number that the first chunk of rows has now.
    pub(super) async fn bring_stored(&self, stored: &Stored) -> Result<u64, Error> {
        let bringing = stream::iter(stored.chunks.clone()).map(|hash| self.bring_one(stored, hash));
        let mut bringing = Box::pin(bringing.buffer_unordered(UNDER_WAY));
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next, mut left_out) = (0, 0_u64);
        loop {
            tokio::select! {
                brought = bringing.next() => match brought {
                    Some(brought) => left_out += u64::from(!brought?),
                    None => break,
                },
                _ = beat.tick() => {
                    self.take(next, Vec::new(), None).await?;
                    next += 1;
                }
            }
        }
        if left_out > 0 {
            tracing::warn!(
                tenant = self.tenant.slug,
                chunks = left_out,
                "the backup has not all chunks of the tenant's files: contents that need them cannot be read"
            );
        }
        Ok(next)
    }

    /// Brings one chunk; false: the backup never had it.
    async fn bring_one(&self, stored: &Stored, hash: ChunkHash) -> Result<bool, Error> {
        let fetched = stored.fetch(&hash).await;
        let fetched = fetched.map_err(|error| Error::new(Code::Unavailable, format!("the backup cannot be read: {error}")))?;
        let Some(bytes) = fetched else { return Ok(false) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let kept = self
                .platform
                .keep_chunk(self.tenant.cell, Space(self.tenant.uid), bytes.clone())
                .await;
            match kept {
                Ok(_) => return Ok(true),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(error) => tracing::debug!(%error, tenant = self.tenant.slug, "a chunk is sent again"),
            }
            sleep(PAUSE).await;
        }
    }
}
