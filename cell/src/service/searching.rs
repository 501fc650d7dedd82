//! Searches of a tenant's records.

use std::sync::Arc;
use std::time::Instant;

use api::body::search::{SearchQuery, SearchReply, SearchSettings};
use api::error::{Error, FieldError, Result};
use api::service::{Consistency, Reply, RequestContext, Stage};
use storage::Space;
use storage::search::{Language, SearchIndex};
use tokio::runtime::Handle;

use super::Front;
use super::admission::crowded;
use super::error::{internal, refused};
use super::view::in_scope;
use super::writing::{asker, principal};
use crate::fair::threads::core_time;
use crate::fair::unit;
use crate::node::moment::Moment;
use crate::search::answer::{Answer, Search, Unanswered};
use crate::search::effort::Effort;
use crate::search::language::{SearchSet, Settings, USUAL, settings};

impl Front {
    /// What is found by words. Rows are read from one moment; the index may be behind it, and never shows what a row does not have any more.
    pub(super) async fn search_records(
        &self,
        ctx: &RequestContext,
        query: SearchQuery,
        fresh: Consistency,
    ) -> Result<Reply<SearchReply>> {
        let replica = self.platform.replica(&ctx.placement)?;
        let seeker = replica
            .seeker
            .clone()
            .ok_or_else(|| internal(&"a replica of a cell has no search"))?;
        let space = Space(ctx.placement.uid);
        let wanted = match fresh {
            Consistency::Local => None,
            Consistency::AtLeast(position) => Some(position),
            Consistency::Strong => Some(replica.moment(space)?.header.position),
        };
        let progress = match wanted {
            Some(position) => seeker.wait(space, position).await?,
            None => seeker.progress(space).unwrap_or(crate::search::seeker::Progress::UNKNOWN),
        };
        let start = Instant::now();
        let index = seeker.index()?;
        let moment = replica.moment(space)?;
        let position = moment.header.position;
        let asking = Asking {
            ctx: ctx.clone(),
            index,
            moment,
            query,
        };
        let (asking, glanced) = computed(&Handle::current(), asking, Effort::glance, ()).await?;
        let answered = match glanced {
            Err(Unanswered::Long) => {
                let (fair, (_, limits)) = (&self.platform.fair, self.platform.account(&ctx.placement));
                let turn = fair.searches.enter(ctx.placement.uid, limits.weight, unit::LIST);
                let turn = turn.await.map_err(crowded)?;
                let rest = self.resting(ctx, limits.weight)?;
                let effort = move || Effort::whole().resting(rest());
                computed(&fair.query_threads.handle(), asking, effort, turn).await?.1
            }
            answered => answered,
        };
        ctx.timing.add(Stage::Query, start.elapsed());
        let Answer { reply, in_index } = answered.map_err(|unanswered| match unanswered {
            Unanswered::Refused(error) => error,
            Unanswered::Index(error) => {
                self.platform.searches.failed(&error);
                seeker.failed(error)
            }
            Unanswered::Long => internal(&"a search has ended like a glance"),
        })?;
        self.platform.searches.answered(start.elapsed(), in_index);
        let body = SearchReply {
            indexed: progress.position.min(position),
            building: progress.building,
            ..reply
        };
        Ok(Reply { body, position })
    }
}

/// A search on its way to a thread that computes it.
struct Asking {
    ctx: RequestContext,
    index: Arc<SearchIndex>,
    moment: Moment,
    query: SearchQuery,
}

type Answered = std::result::Result<Answer, Unanswered>;

/// Answers a search on a thread of a runtime, which keeps `turn` until then.
async fn computed(
    threads: &Handle,
    asking: Asking,
    effort: impl FnOnce() -> Effort + Send + 'static,
    turn: impl Send + 'static,
) -> Result<(Asking, Answered)> {
    let computing = threads.spawn_blocking(move || {
        let (_turn, core) = (turn, core_time());
        let answered = asking.answer(effort());
        asking.ctx.timing.computed(core_time().saturating_sub(core));
        (asking, answered)
    });
    computing.await.map_err(|error| internal(&error))
}

impl Asking {
    fn answer(&self, effort: Effort) -> Answered {
        let principal = principal(&self.ctx);
        let search = Search {
            index: &self.index,
            snapshot: &self.moment.snapshot,
            space: Space(self.ctx.placement.uid),
            catalog: &self.moment.catalog,
            asker: asker(&self.ctx, &principal),
            query: &self.query,
            is_scoped: self.ctx.principal.scopes.is_some(),
            effort,
        };
        search.answer(|name| in_scope(&self.ctx, name))
    }
}

/// How a tenant's records are searched, as users see it.
fn shown(settings: Option<&Settings>) -> SearchSettings {
    let code = settings.map_or(USUAL, |settings| &settings.language);
    SearchSettings {
        language: (!code.is_empty()).then(|| code.to_owned()),
    }
}

impl Front {
    pub(super) fn show_search(&self, ctx: &RequestContext) -> Result<Reply<SearchSettings>> {
        let moment = self.moment(ctx)?;
        let settings = settings(&moment.snapshot, Space(ctx.placement.uid)).map_err(|fault| internal(&fault))?;
        Ok(Reply {
            body: shown(settings.as_ref()),
            position: moment.header.position,
        })
    }

    pub(super) async fn set_search(&self, ctx: &RequestContext, wanted: SearchSettings) -> Result<Reply<SearchSettings>> {
        let language = wanted.language.unwrap_or_default();
        if !language.is_empty() && Language::of(&language).is_none() {
            let known: Vec<_> = Language::codes().collect();
            return Err(Error::fields(vec![FieldError {
                pointer: "/language".to_owned(),
                message: format!("must be null or one of {}", known.join(", ")),
            }]));
        }
        let settings = Settings { language };
        let answer = self.write_as(ctx, None, |_, _| Ok(SearchSet(settings.clone()))).await?;
        answer.result.map_err(|refusal| refused(&refusal))?;
        Ok(Reply {
            body: shown(Some(&settings)),
            position: answer.position,
        })
    }
}
