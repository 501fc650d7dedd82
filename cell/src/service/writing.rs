//! Writes of records: decided on what this leader has, proposed, and rendered from what the log made of them.

use std::sync::Arc;

use api::body::record::{Batch, BatchOperation, BatchReply, BatchResult, BatchVerb, Record};
use api::error::{Code, Error, Result};
use api::ids::Id;
use api::service::{Idempotency, Reply, RequestContext, Stored};
use bytes::Bytes;
use storage::{Snapshot, Space};
use uuid::Uuid;

use super::Front;
use super::error::{barrier, internal, no_space};
use crate::access::token_row;
use crate::expr::Auth;
use crate::machine::dispatch::{Answer, Command};
use crate::machine::envelope::open;
use crate::machine::idempotency::{IdempotencyKey, stored};
use crate::machine::refusal::Refusal;
use crate::machine::rows::{Actor, Header};
use crate::node::moment::Moment;
use crate::node::replica::{Proposal, Replica, Unwritten};
use crate::records::decide::{self, View};
use crate::records::guard::Asker;
use crate::records::render;
use crate::records::schema::Collection;
use crate::records::time::now_micros;
use crate::records::value::RecordRow;
use crate::records::write::Written;

impl Front {
    /// One operation on one record; its record and whether it is new.
    pub(super) async fn write_record(
        &self,
        ctx: &RequestContext,
        mut operation: BatchOperation,
        key: Option<Idempotency>,
    ) -> Result<Reply<Stored<Record>>> {
        let is_fresh = operation.id.is_none();
        operation.id.get_or_insert_with(|| Id(Uuid::now_v7()));
        ctx.timing.changes(1);
        let decide = |view: &View<'_>, _: &Header| {
            let decided = decide::single(view, &operation)?;
            self.check_room(ctx, view, &decided.0.operations)?;
            Ok(if is_fresh { decide::fresh(decided) } else { decided })
        };
        let answer = self.write_as(ctx, key, decide).await?;
        self.stored(ctx, operation.collection.as_str(), answer)
    }

    /// The reply of a command that stored one record.
    pub(super) fn stored(
        &self,
        ctx: &RequestContext,
        collection: &str,
        answer: Answer<Vec<Written>>,
    ) -> Result<Reply<Stored<Record>>> {
        let written = first(answer.result)?;
        let row = written.row.ok_or_else(|| internal(&"a stored record has no row"))?;
        let collection = self.shown_in(ctx, collection)?;
        let body = shown(&collection, written.id, &row)?;
        Ok(Reply {
            body: Stored {
                body,
                created: written.created,
            },
            position: answer.position,
        })
    }

    /// Deletes a record.
    pub(super) async fn delete_record(&self, ctx: &RequestContext, operation: BatchOperation) -> Result<Reply<()>> {
        ctx.timing.changes(1);
        let answer = self.write_as(ctx, None, |view, _| decide::single(view, &operation)).await?;
        Ok(Reply {
            body: (),
            position: answer.position,
        })
    }

    /// Several operations, all or none.
    pub(super) async fn write_batch(
        &self,
        ctx: &RequestContext,
        batch: Batch,
        key: Option<Idempotency>,
    ) -> Result<Reply<BatchReply>> {
        let mut operations = batch.operations;
        for operation in operations.iter_mut().filter(|operation| operation.op == BatchVerb::Create) {
            operation.id.get_or_insert_with(|| Id(Uuid::now_v7()));
        }
        ctx.timing.changes(operations.len());
        let decide = |view: &View<'_>, _: &Header| {
            let decided = decide::batch(view, &operations)?;
            self.check_room(ctx, view, &decided.0.operations)?;
            Ok(decided)
        };
        let answer = self.write_as(ctx, key, decide).await?;
        let written = answer.result.map_err(|refusal| super::error::refused(&refusal))?;
        let mut results = Vec::with_capacity(written.len());
        for (operation, written) in operations.iter().zip(written) {
            let collection = self.shown_in(ctx, operation.collection.as_str())?;
            let record = written.row.map(|row| shown(&collection, written.id, &row)).transpose()?;
            results.push(BatchResult {
                op: operation.op,
                id: Id(written.id),
                record,
            });
        }
        Ok(Reply {
            body: BatchReply { results },
            position: answer.position,
        })
    }

    /// Decides and proposes a command of the one who asks, on what this leader has. The command carries the versions of the schema
    /// and of the tokens that it was decided under.
    pub(super) async fn write_as<C: Command>(
        &self,
        ctx: &RequestContext,
        key: Option<Idempotency>,
        decide: impl Fn(&View<'_>, &Header) -> Result<C> + Send + Sync,
    ) -> Result<Answer<C::Reply>> {
        let replica = self.platform.replica(&ctx.placement)?;
        let space = Space(ctx.placement.uid);
        let key = key.map(|key| scoped(ctx, key));
        let actor = Actor::Token(ctx.principal.token.0);
        let principal = principal(ctx);
        let decide = |snapshot: &Snapshot, header: Option<&Header>| {
            let header = header.ok_or_else(no_space)?;
            let access = current_access(ctx, snapshot, header)?;
            let catalog = replica.catalog(snapshot, space, header)?;
            let view = View {
                snapshot,
                catalog: &catalog,
                space,
                asker: Some(asker(ctx, &principal)),
            };
            Ok(Proposal {
                command: decide(&view, header)?,
                schema: Some(header.schema),
                access: Some(access),
            })
        };
        let written = replica.write(space, actor, key, &ctx.timing, decide).await;
        written.map_err(|unwritten| match unwritten {
            Unwritten::Refused(refusal) => self.heard(ctx, refusal),
            Unwritten::Failed(error) => {
                // What has no room is decided twice, and counted once.
                self.platform.count_full(&error);
                error
            }
        })
    }

    /// Looks before a body comes whether the write would be refused after it: whoever is refused need not send it. None: a request with this key
    /// was answered before, and is to be answered with the same.
    pub(super) async fn foresee<T>(
        &self,
        ctx: &RequestContext,
        key: Option<&Idempotency>,
        check: impl FnOnce(&View<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let (replica, space) = (self.platform.replica(&ctx.placement)?, Space(ctx.placement.uid));
        // What was answered before, by whichever leader, is in what is looked at.
        replica.group.read_barrier().await.map_err(barrier)?;
        let moment = replica.moment(space)?;
        if let Some(key) = key
            && !matches!(stored(&moment.snapshot, space, &scoped(ctx, *key)), Ok(None))
        {
            return Ok(None);
        }
        let principal = principal(ctx);
        let view = View {
            snapshot: &moment.snapshot,
            catalog: &moment.catalog,
            space,
            asker: Some(asker(ctx, &principal)),
        };
        check(&view).map(Some)
    }

    /// A refusal as who asks may hear it.
    fn heard(&self, ctx: &RequestContext, refusal: Refusal) -> Error {
        let principal = principal(ctx);
        heard(self.moment(ctx).ok().as_ref(), &asker(ctx, &principal), refusal)
    }

    /// The collection that a reply shows records of. The write has happened: what fails from here on says so.
    fn shown_in(&self, ctx: &RequestContext, name: &str) -> Result<Arc<Collection>> {
        // The tenant may have left for another cell right after it.
        let replica = self.platform.replica(&ctx.placement).map_err(Error::unknown)?;
        let moment = replica.moment_after(Space(ctx.placement.uid)).map_err(Error::unknown)?;
        moment
            .catalog
            .named(name)
            .cloned()
            .ok_or_else(|| Error::new(Code::NotFound, format!("there is no collection {name:?} any more")).unknown())
    }
}

/// A refusal as somebody may hear it: without the ids of records that rules may hide.
pub(super) fn heard(moment: Option<&Moment>, asker: &Asker<'_>, refusal: Refusal) -> Error {
    let hides = |name: &str| {
        let Some(moment) = moment else { return true };
        let collection = moment.catalog.named(name);
        let guard = collection.and_then(|collection| moment.catalog.guard(collection));
        guard.is_some_and(|guard| !guard.shows_all(asker))
    };
    super::error::refused(&refusal.without_names(&hides))
}

fn shown(collection: &Arc<Collection>, id: Uuid, row: &Bytes) -> Result<Record> {
    let RecordRow::V1(record) = open(row).map_err(|error| internal(&error).unknown())?;
    render::record(collection, id, &record, None).map_err(|error| internal(&error).unknown())
}

impl Replica {
    /// The catalog at a snapshot.
    pub(crate) fn catalog(
        &self,
        snapshot: &Snapshot,
        space: Space,
        header: &Header,
    ) -> Result<Arc<crate::machine::catalog::Catalog>> {
        self.catalogs()
            .get(snapshot, space, header.schema)
            .map_err(|fault| internal(&fault))
    }
}

/// The version of the tokens that a command is decided under. The token of the request is looked up again where any token
/// has changed since it was authenticated.
pub(super) fn current_access(ctx: &RequestContext, snapshot: &Snapshot, header: &Header) -> Result<u64> {
    if header.access != ctx.principal.version {
        let row = token_row::read(snapshot, Space(ctx.placement.uid), ctx.principal.token.0).map_err(|fault| internal(&fault))?;
        row.ok_or_else(|| Error::new(Code::Unauthenticated, "the token has been revoked"))?;
    }
    Ok(header.access)
}

/// The principal of a request, as records show it.
pub(super) fn principal(ctx: &RequestContext) -> String {
    Actor::Token(ctx.principal.token.0).to_string()
}

/// Who asks, for rules. `principal`: how records show it.
pub(super) fn asker<'a>(ctx: &'a RequestContext, principal: &'a str) -> Asker<'a> {
    Asker {
        auth: Auth {
            id: principal,
            name: &ctx.principal.name,
            role: ctx.principal.role,
        },
        now: now_micros(),
    }
}

/// An idempotency key within its principal.
fn scoped(ctx: &RequestContext, key: Idempotency) -> IdempotencyKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(ctx.principal.token.0.as_bytes());
    hasher.update(&key.scope);
    IdempotencyKey {
        scope: *hasher.finalize().as_bytes(),
        body: key.body,
    }
}

/// The one result of a command with one operation.
fn first(result: std::result::Result<Vec<Written>, Refusal>) -> Result<Written> {
    let written = result.map_err(|refusal| super::error::refused(&refusal))?;
    written
        .into_iter()
        .next()
        .ok_or_else(|| internal(&"a command with one operation has no result"))
}
