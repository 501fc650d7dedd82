//! Changes of a tenant's collections, and the operations that bring their records along.

use api::body::collection::{Collection, CollectionSchema, FieldType};
use api::body::control::Operation;
use api::error::{Code, Error, Result};
use api::ids::{Id, Name};
use api::service::{Changed, Reply, RequestContext, Stored};
use storage::Space;
use uuid::Uuid;

use super::Front;
use super::error::{internal, refused};
use super::view::in_scope;
use crate::documents;
use crate::machine::rows::Header;
use crate::records::collection_define::CollectionDefine;
use crate::records::collection_put::CollectionPut;
use crate::records::decide::View;
use crate::records::evolve::cancel::OperationCancel;
use crate::records::evolve::change::{self, CollectionChange};
use crate::records::evolve::drop::CollectionDrop;
use crate::records::evolve::pending::Pending;
use crate::records::evolve::work::{self, Work};
use crate::records::schema_check::{COLLECTIONS, Checked, check};

impl Front {
    pub(super) async fn put_collection(
        &self,
        ctx: &RequestContext,
        name: &Name,
        schema: CollectionSchema,
        if_match: Option<u64>,
    ) -> Result<Reply<Changed<Stored<Collection>>>> {
        if schema.fields.values().any(|field| field.kind == FieldType::Document) {
            // A node of the version before cannot read such a schema.
            self.platform.replica(&ctx.placement)?.check_level(documents::LEVEL)?;
        }
        let operation = Uuid::now_v7();
        let decide = |view: &View<'_>, header: &Header| decide_change(view, header, name, &schema, if_match, operation);
        let answer = match self.write_as(ctx, None, decide).await {
            Err(error) if error.code == Code::ChangeUnderWay => return self.same_change(ctx, name, &schema, error),
            answer => answer?,
        };
        let body = match answer.result.map_err(|refusal| refused(&refusal))? {
            change::Changed::Stored(stored) => Changed::Done(Stored {
                created: stored.put.created,
                body: stored.put.collection.to_api(Some(&stored.policy)),
            }),
            change::Changed::Begun(work) => self.begun(ctx, &work),
        };
        Ok(Reply {
            body,
            position: answer.position,
        })
    }

    /// Whoever asks again for the change that is under way is told of its operation.
    fn same_change(
        &self,
        ctx: &RequestContext,
        name: &Name,
        schema: &CollectionSchema,
        other: Error,
    ) -> Result<Reply<Changed<Stored<Collection>>>> {
        let moment = self.moment(ctx)?;
        let current = super::view::named(&moment, name)?;
        let Some(pending) = moment.catalog.pending(current.number) else {
            return Err(other);
        };
        let again = check(name, schema, Some(current), &moment.catalog, current.number)?;
        if again.collection != *pending.target() || again.policy != pending.change.policy {
            return Err(other);
        }
        let operation = self.show_operation(ctx, Id(pending.change.operation))?;
        Ok(Reply {
            body: Changed::Begun(Box::new(operation.body)),
            position: operation.position,
        })
    }

    pub(super) async fn delete_collection(
        &self,
        ctx: &RequestContext,
        name: &Name,
        if_match: Option<u64>,
    ) -> Result<Reply<Changed<()>>> {
        let operation = Uuid::now_v7();
        let decide = |view: &View<'_>, _: &Header| {
            let number = view.collection(name.as_str())?.number;
            Ok(CollectionDrop {
                number,
                if_match,
                operation,
            })
        };
        let answer = self.write_as(ctx, None, decide).await?;
        let work = answer.result.map_err(|refusal| refused(&refusal))?;
        Ok(Reply {
            body: work.map_or(Changed::Done(()), |work| self.begun(ctx, &work)),
            position: answer.position,
        })
    }

    /// An operation that has begun: this node leads the cell, and goes on with it.
    fn begun<T>(&self, ctx: &RequestContext, work: &Work) -> Changed<T> {
        self.platform.works.add(ctx.placement.cell, Space(ctx.placement.uid));
        Changed::Begun(Box::new(work.to_api(ctx.placement.slug.as_str())))
    }

    pub(super) fn list_operations(&self, ctx: &RequestContext) -> Result<Reply<Vec<Operation>>> {
        let moment = self.moment(ctx)?;
        let works = work::list(&moment.snapshot, Space(ctx.placement.uid)).map_err(|fault| internal(&fault))?;
        let seen = works.iter().filter(|work| in_scope(ctx, &work.name));
        Ok(Reply {
            body: seen.map(|work| work.to_api(ctx.placement.slug.as_str())).collect(),
            position: moment.header.position,
        })
    }

    pub(super) fn show_operation(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Operation>> {
        let moment = self.moment(ctx)?;
        let work = work::read(&moment.snapshot, Space(ctx.placement.uid), id.0).map_err(|fault| internal(&fault))?;
        let seen = work.filter(|work| in_scope(ctx, &work.name));
        let work = seen.ok_or_else(|| Error::new(Code::NotFound, format!("there is no operation {id}")))?;
        Ok(Reply {
            body: work.to_api(ctx.placement.slug.as_str()),
            position: moment.header.position,
        })
    }

    pub(super) async fn cancel_operation(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Operation>> {
        self.show_operation(ctx, id)?;
        let answer = self.write_as(ctx, None, |_, _| Ok(OperationCancel { id: id.0 })).await?;
        let work = answer.result.map_err(|refusal| refused(&refusal))?;
        self.platform.works.add(ctx.placement.cell, Space(ctx.placement.uid));
        Ok(Reply {
            body: work.to_api(ctx.placement.slug.as_str()),
            position: answer.position,
        })
    }
}

pub(super) fn decide_change(
    view: &View<'_>,
    header: &Header,
    name: &Name,
    schema: &CollectionSchema,
    if_match: Option<u64>,
    operation: Uuid,
) -> Result<CollectionChange> {
    let old = view.catalog.named(name.as_str());
    matches_version(name, old.map(|old| old.version), if_match)?;
    if old.is_none() && view.catalog.iter().count() >= COLLECTIONS {
        let detail = format!("a tenant has at most {COLLECTIONS} collections");
        return Err(Error::new(Code::TooLarge, detail));
    }
    let next = u32::try_from(header.next).map_err(|error| internal(&error))?;
    let number = old.map_or(next, |old| old.number);
    if let Some(pending) = view.catalog.pending(number) {
        return Err(under_way(name, pending));
    }
    let Checked {
        collection,
        policy,
        moved,
    } = check(name, schema, old.map(AsRef::as_ref), view.catalog, number)?;
    let put = CollectionPut {
        collection,
        created: old.is_none(),
        needs_empty: false,
    };
    Ok(CollectionChange {
        define: CollectionDefine { put, policy },
        moved,
        operation,
    })
}

fn under_way(name: &Name, pending: &Pending) -> Error {
    let detail = format!(
        "operation {} is changing {}: wait for it, or cancel it",
        pending.change.operation,
        name.as_str()
    );
    Error::new(Code::ChangeUnderWay, detail)
}

fn matches_version(name: &Name, current: Option<u64>, if_match: Option<u64>) -> Result<()> {
    match (if_match, current) {
        (Some(_), None) => Err(Error::new(
            Code::NotFound,
            format!("there is no collection {:?}", name.as_str()),
        )),
        (Some(wanted), Some(current)) if wanted != current => Err(Error::new(
            Code::VersionMismatch,
            format!("the collection has version {current}, not {wanted}"),
        )),
        _ => Ok(()),
    }
}
