//! Export: a stream that is read on a thread of its own, as fast as the client takes it.

use std::sync::Arc;

use api::error::Result;
use api::service::{LineSender, Reply, RequestContext};
use storage::Space;

use super::Front;
use crate::records::export;

impl Front {
    pub(super) fn export_all(&self, ctx: &RequestContext, out: LineSender) -> Result<Reply<()>> {
        let moment = self.moment(ctx)?;
        let (space, slug, position) = (Space(ctx.placement.uid), ctx.placement.slug.clone(), moment.header.position);
        tokio::task::spawn_blocking(move || {
            let catalog = Arc::clone(&moment.catalog);
            let send = |chunk| out.blocking_send(Ok(chunk)).is_ok();
            if let Err(error) = export::write(&moment.snapshot, space, &catalog, slug.as_str(), position, send) {
                // Whoever does not read it any more has gone.
                let _ = out.blocking_send(Err(error));
            }
        });
        Ok(Reply { body: (), position })
    }
}
