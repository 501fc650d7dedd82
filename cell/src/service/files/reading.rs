//! Reads of files: what is said of them, and what they hold.

use std::ops::Range;
use std::sync::Arc;

use api::body::file::{File as Body, FileVersion};
use api::body::record::Page;
use api::body::token::Role;
use api::error::{Code, Error, Result};
use api::ids::Id;
use api::service::{Claim, FileContent, FileList, LineSender, Placement, Principal, Reply, RequestContext};
use bytes::Bytes;
use storage::Space;
use storage::blob::CHUNK_BYTES;
use tracing::Instrument;
use uuid::Uuid;

use super::{Front, check_scope, no_file};
use crate::fair::unit;
use crate::files::rows::{self, File, Version};
use crate::files::secret::secret;
use crate::files::sight::Looker;
use crate::files::{link, list};
use crate::node::moment::Moment;
use crate::node::replica::Replica;
use crate::records::time::now_micros;
use crate::service::error::internal;
use crate::service::streams::PATIENCE;
use crate::service::toll::Toll;
use crate::service::writing::{asker, principal};

/// What a link is called that somebody follows.
const LINK: &str = "link";

impl Front {
    pub(super) async fn list_files(&self, ctx: &RequestContext, list: &FileList) -> Result<Reply<Page<Body>>> {
        let moment = self.moment(ctx)?;
        let position = moment.header.position;
        let (asking, list) = (ctx.clone(), list.clone());
        let reading = move || {
            let principal = principal(&asking);
            let looker = looker(&asking, &moment, &principal);
            let attached = match &list.attached_to {
                None => None,
                Some(wanted) => {
                    // First: a token for other collections does not hear which there are.
                    check_scope(&asking, &wanted.collection)?;
                    let detail = || format!("there is no collection {:?}", wanted.collection);
                    let found = moment.catalog.named(&wanted.collection);
                    let found = found.ok_or_else(|| Error::new(Code::NotFound, detail()))?;
                    Some((found.number, wanted.record.0))
                }
            };
            list::page(&moment.snapshot, &looker, attached, list.limit, list.cursor.as_deref())
        };
        let body = tokio::task::spawn_blocking(reading)
            .await
            .map_err(|error| internal(&error))??;
        Ok(Reply { body, position })
    }

    pub(super) fn get_file(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Body>> {
        let moment = self.moment(ctx)?;
        let principal = principal(ctx);
        let body = list::seen(&moment.snapshot, &looker(ctx, &moment, &principal), id.0)?;
        Ok(Reply {
            body: body.ok_or_else(|| no_file(id))?,
            position: moment.header.position,
        })
    }

    pub(super) fn list_file_versions(
        &self,
        ctx: &RequestContext,
        id: Id,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Reply<Page<FileVersion>>> {
        let moment = self.moment(ctx)?;
        let file = seen(ctx, &moment, id)?;
        let body = list::versions(&moment.snapshot, Space(ctx.placement.uid), id.0, file.current, limit, cursor)?;
        Ok(Reply {
            body,
            position: moment.header.position,
        })
    }

    pub(super) fn get_content(&self, ctx: &RequestContext, id: Id, version: Option<u64>) -> Result<Reply<FileContent>> {
        self.content_of(ctx, id, version)
            .map(|(file, number, version, position)| Reply {
                body: FileContent {
                    name: file.name,
                    version: number,
                    content_type: version.media_type,
                    size: version.content.size,
                    blake3: version.content.blake3,
                    sha256: version.content.sha256,
                },
                position,
            })
    }

    /// A version of a file, with its number and the tenant's position.
    pub(super) fn content_of(&self, ctx: &RequestContext, id: Id, version: Option<u64>) -> Result<(File, u64, Version, u64)> {
        let moment = self.moment(ctx)?;
        let file = seen(ctx, &moment, id)?;
        let number = version.unwrap_or(file.current);
        let found = rows::version(&moment.snapshot, Space(ctx.placement.uid), id.0, number).map_err(|fault| internal(&fault))?;
        let found = found.ok_or_else(|| Error::new(Code::NotFound, format!("there is no version {number} of file {id}")))?;
        Ok((file, number, found, moment.header.position))
    }

    /// Sends a part of a version. Its first chunk is there before this answers: what fails at once is answered as such.
    pub(super) async fn read_content(
        &self,
        ctx: &RequestContext,
        id: Id,
        version: u64,
        part: Range<u64>,
        out: LineSender,
    ) -> Result<()> {
        let (_, _, found, _) = self.content_of(ctx, id, Some(version))?;
        let replica = self.platform.replica(&ctx.placement)?;
        let chunks = Pieces {
            chunks: found.content.chunks,
            part,
        };
        let (front, ctx) = (self.clone(), ctx.clone());
        let Some(first) = chunks.piece(&front, &replica, &ctx, 0).await? else {
            return Ok(());
        };
        let sending = async move {
            let mut piece = Ok(Some(first));
            for number in 1.. {
                let next = match piece {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => return,
                    Err(error) => Err(Box::new(error)),
                };
                let is_over = next.is_err();
                let sent = tokio::time::timeout(PATIENCE, out.send(next)).await;
                if is_over || !matches!(sent, Ok(Ok(()))) {
                    // It has failed, or nobody reads it any more.
                    return;
                }
                piece = chunks.piece(&front, &replica, &ctx, number).await;
            }
        };
        tokio::spawn(sending.in_current_span());
        Ok(())
    }

    /// Who follows a link.
    pub(super) fn linked(&self, placement: &Placement, claim: &Claim) -> Result<Principal> {
        let (space, replica) = (Space(placement.uid), self.platform.replica(placement)?);
        let moment = replica.moment(space)?;
        let known = secret(&moment.snapshot, space).map_err(|fault| internal(&fault))?;
        let said = link::Claim {
            space: space.0,
            file: claim.file.0,
            version: claim.version,
            expires: claim.expires,
        };
        if !known.is_some_and(|known| said.is_signed(&known, &claim.signature)) {
            return Err(Error::new(
                Code::Forbidden,
                "the link is not one of this tenant's, or is no longer",
            ));
        }
        if claim.expires <= now_micros() / 1_000_000 {
            return Err(Error::new(
                Code::Forbidden,
                "the link has expired: ask whoever gave it to you for another",
            ));
        }
        // Whoever made the link was allowed to read what it leads to, and it leads to nothing else.
        Ok(Principal {
            token: Id(Uuid::nil()),
            version: moment.header.access,
            name: Arc::from(LINK),
            role: Role::Admin,
            scopes: None,
            expires_at: Some(claim.expires.saturating_mul(1_000_000)),
        })
    }
}

/// A part of a content, by its chunks.
struct Pieces {
    chunks: Vec<[u8; 32]>,
    part: Range<u64>,
}

impl Pieces {
    /// What of the part is in the chunk that has this number among those that have any; none: there is none.
    async fn piece(&self, front: &Front, replica: &Arc<Replica>, ctx: &RequestContext, number: u64) -> Result<Option<Bytes>> {
        let long = CHUNK_BYTES as u64;
        let at = self.part.start / long + number;
        let begin = at * long;
        if begin >= self.part.end {
            return Ok(None);
        }
        let chunk = usize::try_from(at).ok().and_then(|at| self.chunks.get(at));
        let chunk = chunk.ok_or_else(|| internal(&"a content is shorter than it says"))?;
        let length = self.part.end.min(begin + long) - self.part.start.max(begin);
        let cost = unit::of_content(usize::try_from(length).unwrap_or(CHUNK_BYTES));
        if number > 0 {
            Toll::new(&front.platform, &ctx.placement, "ask for the rest with Range")
                .pay(cost)
                .await?;
        }
        let bytes = front.platform.chunk(replica, Space(ctx.placement.uid), *chunk).await?;
        let within = |at: u64| {
            usize::try_from(at.saturating_sub(begin))
                .unwrap_or(usize::MAX)
                .min(bytes.len())
        };
        let piece = bytes.slice(within(self.part.start)..within(self.part.end));
        if number == 0 {
            let (account, limits) = front.platform.account(&ctx.placement);
            account.charge(&limits, cost);
        }
        Ok(Some(piece))
    }
}

fn looker<'a>(ctx: &'a RequestContext, moment: &'a Moment, principal: &'a str) -> Looker<'a> {
    Looker {
        catalog: &moment.catalog,
        space: Space(ctx.placement.uid),
        asker: asker(ctx, principal),
        scopes: ctx.principal.scopes.as_deref(),
    }
}

/// A file that is there, for who may see it.
fn seen(ctx: &RequestContext, moment: &Moment, id: Id) -> Result<File> {
    let principal = principal(ctx);
    let looker = looker(ctx, moment, &principal);
    let file = rows::file(&moment.snapshot, looker.space, id.0).map_err(|fault| internal(&fault))?;
    let file = file.ok_or_else(|| no_file(id))?;
    match looker
        .sees(&moment.snapshot, file.attached)
        .map_err(|fault| internal(&fault))?
    {
        true => Ok(file),
        false => Err(no_file(id)),
    }
}
