//! Uploads that go on after they broke off: what has come is kept a few chunks at a time, and what a client has heard of is on a quorum.

use std::sync::Arc;

use api::body::file::Upload as Body;
use api::body::token::Role;
use api::error::{Code, Error, Result};
use api::ids::Id;
use api::service::{ByteSource, Checksum, NewUpload, Reply, RequestContext};
use sha1::Digest as _;
use storage::Space;
use uuid::Uuid;

use super::intake::Intake;
use super::writing::{LEVEL, checked, checked_media_type};
use super::{Front, attach, changeable, check_end};
use crate::files::abort::UploadAbort;
use crate::files::advance::UploadAdvance;
use crate::files::digest::{INITIAL, finish, root};
use crate::files::upload::{self, End, Upload, UploadBegin};
use crate::machine::dispatch::Answer;
use crate::machine::rows::Actor;
use crate::node::replica::Replica;
use crate::records::time::format_stamp;
use crate::service::error::{barrier, internal, refused};

/// Whole chunks after which the row of an upload is brought up to date. Raised: more is sent again after a break. Lowered: more commands.
const BATCH: usize = 8;

impl Front {
    pub(super) async fn begin_upload(&self, ctx: &RequestContext, new: NewUpload) -> Result<Reply<Body>> {
        let replica = self.platform.replica(&ctx.placement)?;
        replica.check_level(LEVEL)?;
        let media_type = match new.file {
            None => checked(&new.new.name, new.new.content_type.clone())?,
            Some(_) => checked_media_type(new.new.content_type.clone())?,
        };
        let (id, quota) = (Uuid::now_v7(), self.quota(ctx)?);
        let end = (new.length == 0).then(|| End {
            id: Uuid::now_v7(),
            blake3: root(&[], 0),
            sha256: finish(INITIAL, &[], 0),
        });
        let answer = self.write_as(ctx, None, |view, _| {
            let attached = match new.file {
                Some(file) => changeable(ctx, view, file).map(|_| None)?,
                None => attach(ctx, view, new.new.attached_to.as_ref())?,
            };
            let upload = Upload {
                name: new.new.name.clone(),
                media_type: media_type.clone(),
                file: new.file.map(|file| file.0),
                attached,
                metadata: new.metadata.clone(),
                length: new.length,
                chunks: 0,
                tail: None,
                inner: INITIAL,
                expires: 0,
                by: Actor::System,
                done: None,
            };
            Ok(UploadBegin {
                id,
                upload,
                quota,
                end: end.clone(),
            })
        });
        told(id, answer.await?)
    }

    pub(super) fn get_upload(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Body>> {
        let moment = self.moment(ctx)?;
        let upload = own(ctx, upload::read(&moment.snapshot, Space(ctx.placement.uid), id.0), id)?;
        Ok(Reply {
            body: show(id.0, &upload),
            position: moment.header.position,
        })
    }

    pub(super) async fn delete_upload(&self, ctx: &RequestContext, id: Id) -> Result<Reply<()>> {
        let answer = self.write_as(ctx, None, |view, _| {
            own(ctx, upload::read(view.snapshot, view.space, id.0), id)?;
            Ok(UploadAbort {
                id: id.0,
                expired: false,
            })
        });
        let answer = answer.await?;
        answer.result.map_err(|refusal| refused(&refusal))?;
        Ok(Reply {
            body: (),
            position: answer.position,
        })
    }

    pub(super) async fn write_upload(
        &self,
        ctx: &RequestContext,
        id: Id,
        offset: u64,
        checksum: Option<Checksum>,
        mut body: Box<dyn ByteSource>,
    ) -> Result<Reply<Body>> {
        let replica = self.platform.replica(&ctx.placement)?;
        // How far it is, is known to whoever has applied all of it.
        replica.group.read_barrier().await.map_err(barrier)?;
        let moment = replica.moment(Space(ctx.placement.uid))?;
        let upload = own(ctx, upload::read(&moment.snapshot, Space(ctx.placement.uid), id.0), id)?;
        drop(moment);
        if upload.offset() != offset {
            let detail = format!(
                "{} bytes of the upload have come: go on from there, not from {offset}",
                upload.offset()
            );
            return Err(Error::new(Code::OffsetMismatch, detail));
        }
        let mut writer = Writer::new(self, ctx, &replica, id.0, upload).await?;
        let mut summed = checksum.map(Summed::new);
        let broke = loop {
            match body.next().await {
                Ok(Some(piece)) => {
                    if let Some(summed) = &mut summed {
                        summed.update(&piece);
                    }
                    writer.intake.take(&piece, writer.upload.length).await?;
                    let is_last = writer.intake.size == writer.upload.length;
                    if summed.is_none() && !is_last && writer.intake.leaves.len() >= BATCH {
                        writer.advance(false).await?;
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        match (summed, broke) {
            // All of what has a checksum, or nothing.
            (Some(_), Some(error)) => return Err(error),
            (Some(summed), None) => summed.check()?,
            (None, Some(error)) => {
                writer.advance(true).await?;
                return Err(error);
            }
            (None, None) => {}
        }
        writer.advance(true).await
    }
}

/// An upload that gets further.
struct Writer<'a> {
    front: &'a Front,
    ctx: &'a RequestContext,
    id: Uuid,
    upload: Upload,
    intake: Intake<'a>,
    position: u64,
}

impl<'a> Writer<'a> {
    async fn new(front: &'a Front, ctx: &'a RequestContext, replica: &Arc<Replica>, id: Uuid, upload: Upload) -> Result<Self> {
        let space = Space(ctx.placement.uid);
        let tail = match upload.tail {
            Some((hash, _)) => front.platform.chunk(replica, space, hash).await?,
            None => bytes::Bytes::new(),
        };
        let (place, inner) = (upload.chunks, upload.inner);
        let mut intake = Intake::after(&front.platform, ctx, (place, inner), &tail);
        if upload.done.is_some() {
            intake.size = upload.length;
        }
        Ok(Self {
            front,
            ctx,
            id,
            upload,
            intake,
            position: replica.moment(space)?.header.position,
        })
    }

    /// Says how far it is; `is_over`: nothing more comes now, so that what is no whole chunk is kept too.
    async fn advance(&mut self, is_over: bool) -> Result<Reply<Body>> {
        let size = self.intake.size;
        // All of it may have come before, and nobody has made a file of it.
        let ends = is_over && size == self.upload.length && self.upload.done.is_none();
        if size == self.upload.offset() && !ends {
            return Ok(Reply {
                body: show(self.id, &self.upload),
                position: self.position,
            });
        }
        let tail = if is_over { self.intake.tail().await? } else { None };
        let end = match ends {
            true => Some(self.end(tail.as_ref().map(|(leaf, bytes)| (*leaf, &bytes[..])))?),
            false => None,
        };
        let tail = tail.map(|(leaf, bytes)| (leaf.hash, u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
        let command = UploadAdvance {
            id: self.id,
            from: self.upload.offset(),
            leaves: std::mem::take(&mut self.intake.leaves),
            tail,
            inner: self.intake.inner,
            end,
        };
        let (front, ctx, ended) = (self.front, self.ctx, ends.then_some(&self.upload));
        let answer = front.write_as(ctx, None, |view, _| check_end(ctx, view, ended).map(|()| command.clone()));
        let answer = answer.await?;
        if let Ok(upload) = &answer.result {
            (self.upload, self.position) = (upload.clone(), answer.position);
        }
        told(self.id, answer)
    }

    /// What it becomes.
    fn end(&self, tail: Option<(crate::files::digest::Leaf, &[u8])>) -> Result<End> {
        let moment = self.front.moment(self.ctx)?;
        let space = Space(self.ctx.placement.uid);
        let mut leaves = upload::leaves(&moment.snapshot, space, self.id).map_err(|fault| internal(&fault))?;
        leaves.extend_from_slice(&self.intake.leaves);
        leaves.extend(tail.map(|(leaf, _)| leaf));
        Ok(End {
            id: Uuid::now_v7(),
            blake3: root(&leaves, self.upload.length),
            sha256: finish(self.intake.inner, tail.map_or(&[], |(_, bytes)| bytes), self.upload.length),
        })
    }
}

/// The hash of a body, and the one that it must have.
enum Summed {
    Sha1(sha1::Sha1, [u8; 20]),
    Sha256(sha2::Sha256, [u8; 32]),
}

impl Summed {
    fn new(wanted: Checksum) -> Self {
        match wanted {
            Checksum::Sha1(wanted) => Self::Sha1(sha1::Sha1::new(), wanted),
            Checksum::Sha256(wanted) => Self::Sha256(sha2::Sha256::new(), wanted),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(hasher, _) => hasher.update(piece),
            Self::Sha256(hasher, _) => hasher.update(piece),
        }
    }

    fn check(self) -> Result<()> {
        let is_right = match self {
            Self::Sha1(hasher, wanted) => <[u8; 20]>::from(hasher.finalize()) == wanted,
            Self::Sha256(hasher, wanted) => <[u8; 32]>::from(hasher.finalize()) == wanted,
        };
        match is_right {
            true => Ok(()),
            false => Err(Error::new(
                Code::ChecksumMismatch,
                "what came does not have the hash of Upload-Checksum; nothing of it was taken: send it again",
            )),
        }
    }
}

/// An upload, for who began it, and for admins. Anybody else hears that there is none.
fn own(
    ctx: &RequestContext,
    found: std::result::Result<Option<Upload>, crate::machine::refusal::Fault>,
    id: Id,
) -> Result<Upload> {
    let upload = found.map_err(|fault| internal(&fault))?;
    let is_own = |upload: &Upload| {
        let is_admin = matches!(ctx.principal.role, Role::Owner | Role::Admin) && ctx.principal.scopes.is_none();
        is_admin || upload.by == Actor::Token(ctx.principal.token.0)
    };
    upload.filter(is_own).ok_or_else(|| refused(&upload::missing(id.0)))
}

fn told(id: Uuid, answer: Answer<Upload>) -> Result<Reply<Body>> {
    let upload = answer.result.map_err(|refusal| refused(&refusal))?;
    Ok(Reply {
        body: show(id, &upload),
        position: answer.position,
    })
}

fn show(id: Uuid, upload: &Upload) -> Body {
    Body {
        id: Id(id),
        length: upload.length,
        offset: upload.offset(),
        metadata: upload.metadata.clone(),
        expires_at: format_stamp(upload.expires),
        file: upload.done.map(Id),
    }
}
