//! Export: a stream that is read on a thread of its own, as fast as the client takes it.
//!
//! A snapshot pins what it reads, so that exports are few at a time and end when the client stops reading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::{Code, Error, Result};
use api::service::{LineSender, Reply, RequestContext};
use bytes::Bytes;
use storage::Space;
use tokio::runtime::Handle;

use super::Front;
use crate::fair::unit;
use crate::records::export;

/// Most exports of a node at a time. Raised: more pages are pinned. Lowered: tenants wait for each other.
pub(super) const EXPORTS: usize = 8;
/// Longest time of one export: it pins what it reads.
pub(super) const EXPORT_TIME: Duration = Duration::from_secs(600);
/// How long the client may read nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(api::limits::STREAM_IDLE_SECONDS);

impl Front {
    pub(super) fn export_all(&self, ctx: &RequestContext, out: LineSender) -> Result<Reply<()>> {
        let busy = |_| {
            let detail = format!("{EXPORTS} exports are under way on this node: try again later");
            Error::new(Code::TooManyRequests, detail).retry_after(Duration::from_secs(5))
        };
        let place = Arc::clone(&self.exports).try_acquire_owned().map_err(busy)?;
        let moment = self.moment(ctx)?;
        let (space, slug) = (Space(ctx.placement.uid), ctx.placement.slug.clone());
        let position = moment.header.position;
        let runtime = Handle::current();
        let (account, limits) = self.platform.account(&ctx.placement);
        // Nobody waits for what it computes.
        self.platform.fair.elastic.handle().spawn_blocking(move || {
            let _place = place;
            let deadline = Instant::now() + EXPORT_TIME;
            let send = |chunk: Bytes| {
                account.charge(&limits, unit::of_export(chunk.len()));
                let sent = runtime.block_on(tokio::time::timeout(PATIENCE, out.send(Ok(chunk))));
                matches!(sent, Ok(Ok(()))) && Instant::now() < deadline
            };
            let written = export::write(&moment.snapshot, space, &moment.catalog, slug.as_str(), position, send);
            if let Err(error) = written {
                // Whoever does not read it any more has gone.
                let _ = runtime.block_on(tokio::time::timeout(PATIENCE, out.send(Err(Box::new(error)))));
            }
        });
        Ok(Reply { body: (), position })
    }
}
