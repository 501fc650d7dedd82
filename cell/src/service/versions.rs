//! The versions of a record: its history, and the way back to one of them.

use std::time::Instant;

use api::body::record::{Page, Record as Body, RecordVersion};
use api::error::Result;
use api::ids::{Id, Name};
use api::service::{Idempotency, Reply, RequestContext, Stage, Stored};
use storage::Space;

use super::Front;
use super::view::named;
use super::writing::{asker, principal};
use crate::machine::rows::Header;
use crate::records::decide::View;
use crate::records::restore::restore;
use crate::records::versions;

impl Front {
    pub(super) fn list_versions(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Reply<Page<RecordVersion>>> {
        let start = Instant::now();
        let moment = self.moment(ctx)?;
        let found = named(&moment, collection)?;
        let principal = principal(ctx);
        let sight = moment.sight(found, asker(ctx, &principal));
        let body = versions::list(&moment.snapshot, Space(ctx.placement.uid), found, id, sight, limit, cursor)?;
        ctx.timing.add(Stage::Query, start.elapsed());
        Ok(Reply {
            body,
            position: moment.header.position,
        })
    }

    pub(super) async fn restore_record(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        version: u64,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<Stored<Body>>> {
        let decide = |view: &View<'_>, _: &Header| {
            let decided = restore(view, collection.as_str(), id.0, version, if_match)?;
            self.check_room(ctx, view, &decided.0.operations)?;
            Ok(decided)
        };
        let answer = self.write_as(ctx, key, decide).await?;
        self.stored(ctx, collection.as_str(), answer)
    }
}
