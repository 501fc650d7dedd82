//! Reads of a tenant's records and schema.

use std::sync::Arc;
use std::time::Instant;

use api::body::collection::Collection;
use api::body::record::{ListQuery, Page, Record};
use api::body::rendered::Rendered;
use api::error::{Code, Error, Result};
use api::ids::{Id, Name};
use api::service::{Reply, RequestContext, Stage};
use storage::Space;

use super::Front;
use super::admission::crowded;
use super::error::internal;
use super::writing::{asker, principal};
use crate::fair::threads::nap;
use crate::fair::unit;
use crate::node::moment::Moment;
use crate::records::budget::Budget;
use crate::records::expand::Expand;
use crate::records::guard::Sight;
use crate::records::query;
use crate::records::rest::Rest;

/// Lists longer than this, and those that count or expand, are read on a thread of their own; others where the request is, unless they
/// take longer than a glance.
const LIST_INLINE: usize = 100;

impl Front {
    /// The tenant of a request at this moment.
    pub(super) fn moment(&self, ctx: &RequestContext) -> Result<Moment> {
        self.platform.replica(&ctx.placement)?.moment(Space(ctx.placement.uid))
    }

    pub(super) fn get_record(&self, ctx: &RequestContext, collection: &Name, id: Id, expand: &[String]) -> Result<Reply<Record>> {
        let start = Instant::now();
        let moment = self.moment(ctx)?;
        let found = named(&moment, collection)?;
        let (space, guard) = (Space(ctx.placement.uid), moment.catalog.guard(found));
        let body = if guard.is_none() && expand.is_empty() {
            query::get(&moment.snapshot, space, found, id, Sight::default(), &Expand::default())?
        } else {
            let principal = principal(ctx);
            let asker = asker(ctx, &principal);
            let expand = Expand::read(&moment.catalog, found, expand, asker, |name| in_scope(ctx, name))?;
            let sight = Sight::new(guard.map(AsRef::as_ref), asker);
            query::get(&moment.snapshot, space, found, id, sight, &expand)?
        };
        ctx.timing.add(Stage::Query, start.elapsed());
        ctx.timing.read(1, start.elapsed());
        Ok(Reply {
            body,
            position: moment.header.position,
        })
    }

    pub(super) async fn list_records(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        query: ListQuery,
    ) -> Result<Reply<Rendered<Page<Record>>>> {
        let start = Instant::now();
        let moment = self.moment(ctx)?;
        let found = Arc::clone(named(&moment, collection)?);
        let (space, position) = (Space(ctx.placement.uid), moment.header.position);
        let guard = moment.catalog.guard(&found).cloned();
        let is_short = query.limit <= LIST_INLINE && !query.count && query.expand.is_empty();
        let (asking, principal) = (ctx.clone(), principal(ctx));
        let read = move |mut budget: Budget| {
            let asker = asker(&asking, &principal);
            let sight = Sight::new(guard.as_deref(), asker);
            let expand = Expand::read(&moment.catalog, &found, &query.expand, asker, |name| in_scope(&asking, name))?;
            let page = query::list_within(&moment.snapshot, space, &found, &query, sight, &expand, &mut budget);
            let (rows, core) = budget.spent();
            asking.timing.read(rows, core);
            page
        };
        let glanced = if is_short { read(Budget::glance())? } else { None };
        let body = match glanced {
            Some(page) => page,
            None => {
                let (fair, (_, limits)) = (&self.platform.fair, self.platform.account(&ctx.placement));
                let turn = fair.queries.enter(ctx.placement.uid, limits.weight, unit::LIST);
                let turn = turn.await.map_err(crowded)?;
                let rest = self.resting(ctx, limits.weight)?;
                let reading = move || {
                    let _turn = turn;
                    read(Budget::whole().resting(rest()))
                };
                let whole = fair.query_threads.handle().spawn_blocking(reading).await;
                let whole = whole.map_err(|error| internal(&error))??;
                whole.ok_or_else(|| internal(&"a list has ended before its page was whole"))?
            }
        };
        ctx.timing.add(Stage::Query, start.elapsed());
        Ok(Reply { body, position })
    }

    /// Makes what a long list or search rests with: beside other tenants it takes units of the elastic class for what it goes on to use.
    pub(super) fn resting(&self, ctx: &RequestContext, weight: u64) -> Result<impl FnOnce() -> Rest + Send + use<>> {
        let (platform, tenant) = (Arc::clone(&self.platform), ctx.placement.uid);
        let turns = Arc::clone(&platform.replica(&ctx.placement)?.turns);
        let elastic = platform.fair.elastic.handle();
        Ok(move || -> Rest {
            Box::new(move |core, most| {
                if turns.crowd().is_shared {
                    nap();
                    let units = platform.fair.elastic.take(tenant, weight, unit::of_core(core));
                    // Where they do not come in time it goes on all the same: its budget ends it.
                    let _ = elastic.block_on(async { tokio::time::timeout(most, units).await });
                }
            })
        })
    }

    pub(super) fn list_collections(&self, ctx: &RequestContext) -> Result<Reply<Vec<Collection>>> {
        let moment = self.moment(ctx)?;
        let body = moment
            .catalog
            .iter()
            .filter(|found| in_scope(ctx, &found.name))
            .map(|found| moment.catalog.show(found))
            .collect();
        Ok(Reply {
            body,
            position: moment.header.position,
        })
    }

    pub(super) fn get_collection(&self, ctx: &RequestContext, name: &Name) -> Result<Reply<Collection>> {
        let moment = self.moment(ctx)?;
        let found = named(&moment, name)?;
        let body = moment.catalog.show(found);
        Ok(Reply {
            body,
            position: moment.header.position,
        })
    }
}

/// Whether a token may see a collection.
pub(super) fn in_scope(ctx: &RequestContext, collection: &str) -> bool {
    ctx.principal
        .scopes
        .as_ref()
        .is_none_or(|scopes| scopes.iter().any(|scope| scope == collection))
}

/// A collection by its name.
pub(super) fn named<'m>(moment: &'m Moment, name: &Name) -> Result<&'m Arc<crate::records::schema::Collection>> {
    moment
        .catalog
        .named(name.as_str())
        .ok_or_else(|| Error::new(Code::NotFound, format!("there is no collection {:?}", name.as_str())))
}
