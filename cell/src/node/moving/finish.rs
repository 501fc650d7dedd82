//! After the switch: the one cell stops, the other one takes writes, and what is left behind is erased. And the end of a move that was
//! called off.

use std::time::{Duration, Instant};

use api::error::Error;

use super::Mover;
use super::transfer::rest;
use crate::directory::move_turn::Turn;
use crate::directory::moves::Phase;
use crate::placement::turn::Turn as SpaceStep;
use crate::service::error::refused;
use crate::space::erase::SpaceErase;

/// Between two words to the directory on how far the erasure is.
const TELL: Duration = Duration::from_secs(1);

impl Mover<'_> {
    /// Finishes a move that has switched. `held`: since when writes are held, where that is known.
    pub(super) async fn finish(&mut self, held: Option<Instant>) -> Result<(), Error> {
        self.source_turn(SpaceStep::Depart).await?;
        // Only now: from here on the first cell answers no read that could miss a write of the second.
        self.target_turn(SpaceStep::Live).await?;
        let (tenant, cell) = (&self.moving.slug, self.moving.to);
        if let Some(since) = held {
            self.platform.moves.counts.held(since.elapsed());
            tracing::info!(tenant, cell, held = ?since.elapsed(), "a tenant is served by another cell");
        } else {
            tracing::debug!(
                tenant,
                cell,
                "a tenant is served by another cell; its move had switched before"
            );
        }
        let keys = self.erase().await?;
        self.ask(Turn::End).await?;
        self.platform.moves.counts.done();
        tracing::info!(tenant, cell, keys, "moved a tenant");
        Ok(())
    }

    /// Ends a move that was called off.
    pub(super) async fn call_off(&self) -> Result<(), Error> {
        self.release().await?;
        self.clear(false).await?;
        self.ask(Turn::End).await?;
        self.platform.moves.counts.called_off();
        tracing::info!(tenant = self.moving.slug, "called the move of a tenant off");
        Ok(())
    }

    /// Erases what is left behind; how many keys.
    async fn erase(&self) -> Result<u64, Error> {
        let (mut keys, mut after, mut told) = (0, None, None::<Instant>);
        loop {
            if told.is_none_or(|told| told.elapsed() >= TELL) {
                self.tell(Phase::Erasing, keys).await?;
                told = Some(Instant::now());
            }
            let began = Instant::now();
            let tenant = self.moving.tenant;
            let erased = self.at_source(SpaceErase { tenant, after }).await?;
            let erased = erased.map_err(|refusal| refused(&refusal))?;
            keys += erased.keys;
            if erased.done {
                return Ok(keys);
            }
            after = erased.last;
            rest(began).await;
        }
    }
}
