//! Changes of a tenant's collections.

use api::body::collection::{Collection, CollectionSchema};
use api::error::{Code, Error, Result};
use api::ids::Name;
use api::service::{Reply, RequestContext, Stored};
use storage::{Direction, Snapshot, Space, table};

use super::Front;
use super::error::{internal, no_space, refused};
use super::writing::current_access;
use crate::machine::rows::Actor;
use crate::node::replica::Proposal;
use crate::records::collection_delete::CollectionDelete;
use crate::records::collection_put::CollectionPut;
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
        let replica = self.platform.replica(&ctx.placement)?;
        let space = Space(ctx.placement.uid);
        let answer = replica
            .write(
                space,
                Actor::Token(ctx.principal.token.0),
                None,
                &ctx.timing,
                |snapshot, header| {
                    let header = header.ok_or_else(no_space)?;
                    let access = current_access(ctx, snapshot, header)?;
                    let catalog = replica.catalog(snapshot, space, header)?;
                    let old = catalog.named(name.as_str());
                    matches_version(name, old.map(|old| old.version), if_match)?;
                    if old.is_none() && catalog.iter().count() >= COLLECTIONS {
                        return Err(Error::new(
                            Code::TooLarge,
                            format!("a tenant has at most {COLLECTIONS} collections"),
                        ));
                    }
                    let next = u32::try_from(header.next).map_err(|error| internal(&error))?;
                    let number = old.map_or(next, |old| old.number);
                    let checked = check(name, &schema, old.map(AsRef::as_ref), &catalog, number)?;
                    if let Some(why) = &checked.needs_empty
                        && !is_empty(snapshot, space, number)?
                    {
                        return Err(not_empty(name.as_str(), why));
                    }
                    let needs_empty = checked.needs_empty.is_some();
                    let command = CollectionPut {
                        collection: checked.collection,
                        created: old.is_none(),
                        needs_empty,
                    };
                    Ok(Proposal {
                        command,
                        schema: Some(header.schema),
                        access: Some(access),
                    })
                },
            )
            .await?;
        let stored = answer.result.map_err(|refusal| refused(&refusal))?;
        Ok(Reply {
            body: Stored {
                created: stored.version == 1,
                body: stored.to_api(),
            },
            position: answer.position,
        })
    }

    pub(super) async fn delete_collection(&self, ctx: &RequestContext, name: &Name, if_match: Option<u64>) -> Result<Reply<()>> {
        let replica = self.platform.replica(&ctx.placement)?;
        let space = Space(ctx.placement.uid);
        let answer = replica
            .write(
                space,
                Actor::Token(ctx.principal.token.0),
                None,
                &ctx.timing,
                |snapshot, header| {
                    let header = header.ok_or_else(no_space)?;
                    let access = current_access(ctx, snapshot, header)?;
                    let catalog = replica.catalog(snapshot, space, header)?;
                    let missing = || Error::new(Code::NotFound, format!("there is no collection {:?}", name.as_str()));
                    let number = catalog.named(name.as_str()).ok_or_else(missing)?.number;
                    Ok(Proposal {
                        command: CollectionDelete { number, if_match },
                        schema: Some(header.schema),
                        access: Some(access),
                    })
                },
            )
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
