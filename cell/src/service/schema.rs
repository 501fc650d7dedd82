//! Changes of a tenant's collections.

use api::body::collection::{Collection, CollectionSchema};
use api::error::{Code, Error, Result};
use api::ids::Name;
use api::service::{Reply, RequestContext, Stored};
use storage::{Direction, Snapshot, Space, table};

use super::Front;
use super::error::{internal, refused};
use crate::machine::rows::Header;
use crate::records::collection_define::CollectionDefine;
use crate::records::collection_delete::CollectionDelete;
use crate::records::collection_put::CollectionPut;
use crate::records::decide::View;
use crate::records::schema_change::not_empty;
use crate::records::schema_check::{COLLECTIONS, check};

impl Front {
    pub(super) async fn put_collection(
        &self,
        ctx: &RequestContext,
        name: &Name,
        schema: CollectionSchema,
        if_match: Option<u64>,
    ) -> Result<Reply<Stored<Collection>>> {
        let decide = |view: &View<'_>, header: &Header| {
            let old = view.catalog.named(name.as_str());
            matches_version(name, old.map(|old| old.version), if_match)?;
            if old.is_none() && view.catalog.iter().count() >= COLLECTIONS {
                let detail = format!("a tenant has at most {COLLECTIONS} collections");
                return Err(Error::new(Code::TooLarge, detail));
            }
            let next = u32::try_from(header.next).map_err(|error| internal(&error))?;
            let number = old.map_or(next, |old| old.number);
            let checked = check(name, &schema, old.map(AsRef::as_ref), view.catalog, number)?;
            if let Some(why) = &checked.needs_empty
                && !is_empty(view.snapshot, view.space, number)?
            {
                return Err(not_empty(name.as_str(), why));
            }
            Ok(CollectionDefine {
                put: CollectionPut {
                    collection: checked.collection,
                    created: old.is_none(),
                    needs_empty: checked.needs_empty.is_some(),
                },
                policy: checked.policy,
            })
        };
        let answer = self.write_as(ctx, None, decide).await?;
        let stored = answer.result.map_err(|refusal| refused(&refusal))?;
        Ok(Reply {
            body: Stored {
                created: stored.put.created,
                body: stored.put.collection.to_api(Some(&stored.policy)),
            },
            position: answer.position,
        })
    }

    pub(super) async fn delete_collection(&self, ctx: &RequestContext, name: &Name, if_match: Option<u64>) -> Result<Reply<()>> {
        let answer = self
            .write_as(ctx, None, |view, _| {
                let number = view.collection(name.as_str())?.number;
                Ok(CollectionDelete { number, if_match })
            })
            .await?;
        Ok(Reply {
            body: (),
            position: answer.position,
        })
    }
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

fn is_empty(snapshot: &Snapshot, space: Space, number: u32) -> Result<bool> {
    let first = snapshot.scan(table::Record::range(space, number), Direction::Forward).next();
    Ok(first.transpose().map_err(|error| internal(&error))?.is_none())
}
