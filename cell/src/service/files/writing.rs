//! Changes of files, and links to them.

use api::body::file::{File as Body, FilePatch, Link, NewLink};
use api::error::{Code, Error, FieldError, Result};
use api::ids::Id;
use api::limits::UPLOAD_BYTES;
use api::service::{ByteSource, Idempotency, NewFile, Reply, RequestContext};
use storage::Space;
use storage::blob::hex;
use uuid::Uuid;

use super::intake::{Intake, Room};
use super::{Front, attach, changeable};
use crate::files::change::FileChange;
use crate::files::create::{FileCreate, Stored};
use crate::files::delete::FileDelete;
use crate::files::link::Claim;
use crate::files::restore::FileRestoreVersion;
use crate::files::secret::{LinkSecretSet, secret};
use crate::files::version_add::FileVersionAdd;
use crate::files::version_delete::FileVersionDelete;
use crate::files::{list, name, rows};
use crate::machine::dispatch::Answer;
use crate::records::decide::View;
use crate::records::time::{format_stamp, now_micros};
use crate::service::error::{internal, refused};

/// The level that files came with.
pub(super) const LEVEL: u32 = 2;

impl Front {
    pub(super) async fn create_file(
        &self,
        ctx: &RequestContext,
        new: NewFile,
        body: Box<dyn ByteSource>,
        key: Option<Idempotency>,
    ) -> Result<Reply<Body>> {
        let media_type = checked(&new.name, new.content_type)?;
        self.platform.replica(&ctx.placement)?.check_level(LEVEL)?;
        let check = |view: &View<'_>| {
            attach(ctx, view, new.attached_to.as_ref())?;
            self.room(ctx)
        };
        let room = self.foresee(ctx, key.as_ref(), check).await?.unwrap_or(Room::TAKEN);
        let content = Intake::new(&self.platform, ctx, room).whole(body, UPLOAD_BYTES).await?;
        let key = key.map(|key| of_content(key, &content));
        let (id, quota) = (Uuid::now_v7(), self.quota(ctx)?);
        let answer = self.write_as(ctx, key, |view, _| {
            let attached = attach(ctx, view, new.attached_to.as_ref())?;
            Ok(FileCreate {
                id,
                name: new.name.clone(),
                media_type: media_type.clone(),
                attached,
                content: content.clone(),
                quota,
            })
        });
        self.shown(ctx, answer.await?)
    }

    pub(super) async fn put_file(
        &self,
        ctx: &RequestContext,
        id: Id,
        content_type: Option<String>,
        if_match: Option<String>,
        body: Box<dyn ByteSource>,
    ) -> Result<Reply<Body>> {
        let given = content_type.map(checked_media_type).transpose()?;
        self.platform.replica(&ctx.placement)?.check_level(LEVEL)?;
        // The file to change, and its current version.
        let found = |view: &View<'_>| {
            let file = changeable(ctx, view, id)?;
            let current = rows::version(view.snapshot, view.space, id.0, file.current).map_err(|fault| internal(&fault))?;
            let current = current.ok_or_else(|| internal(&"a file has no current version"))?;
            let is = hex(&current.content.blake3);
            if if_match.as_ref().is_some_and(|wanted| *wanted != is) {
                let detail = format!("the content of the file is \"{is}\" now; read it and decide again");
                return Err(Error::new(Code::VersionMismatch, detail));
            }
            Ok((file, current))
        };
        let check = |view: &View<'_>| found(view).and_then(|_| self.room(ctx));
        let room = self.foresee(ctx, None, check).await?.unwrap_or(Room::TAKEN);
        let content = Intake::new(&self.platform, ctx, room).whole(body, UPLOAD_BYTES).await?;
        let quota = self.quota(ctx)?;
        let answer = self.write_as(ctx, None, |view, _| {
            let (file, current) = found(view)?;
            Ok(FileVersionAdd {
                id: id.0,
                expect: if_match.is_some().then_some(file.current),
                media_type: given.clone().unwrap_or(current.media_type),
                content: content.clone(),
                quota,
            })
        });
        self.shown(ctx, answer.await?)
    }

    pub(super) async fn patch_file(
        &self,
        ctx: &RequestContext,
        id: Id,
        patch: FilePatch,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<Body>> {
        if let Some(message) = patch.name.as_deref().and_then(name::wrong_name) {
            let pointer = "/name".to_owned();
            return Err(Error::fields(vec![FieldError { pointer, message }]));
        }
        let answer = self.write_as(ctx, key, |view, _| {
            changeable(ctx, view, id)?;
            let attached = match &patch.attached_to {
                None => None,
                Some(wanted) => Some(attach(ctx, view, wanted.as_ref())?),
            };
            Ok(FileChange {
                id: id.0,
                expect: if_match,
                name: patch.name.clone(),
                attached,
            })
        });
        self.shown(ctx, answer.await?)
    }

    pub(super) async fn delete_file(&self, ctx: &RequestContext, id: Id, if_match: Option<u64>) -> Result<Reply<()>> {
        let answer = self.write_as(ctx, None, |view, _| {
            changeable(ctx, view, id)?;
            Ok(FileDelete {
                id: id.0,
                expect: if_match,
            })
        });
        done(answer.await?)
    }

    pub(super) async fn restore_file(
        &self,
        ctx: &RequestContext,
        id: Id,
        version: u64,
        key: Option<Idempotency>,
    ) -> Result<Reply<Body>> {
        let quota = self.quota(ctx)?;
        let answer = self.write_as(ctx, key, |view, _| {
            changeable(ctx, view, id)?;
            Ok(FileRestoreVersion {
                id: id.0,
                version,
                quota,
            })
        });
        self.shown(ctx, answer.await?)
    }

    pub(super) async fn delete_file_version(&self, ctx: &RequestContext, id: Id, version: u64) -> Result<Reply<()>> {
        let answer = self.write_as(ctx, None, |view, _| {
            changeable(ctx, view, id)?;
            Ok(FileVersionDelete { id: id.0, version })
        });
        done(answer.await?)
    }

    pub(super) async fn create_link(&self, ctx: &RequestContext, id: Id, new: NewLink) -> Result<Reply<Link>> {
        let file = self.content_of(ctx, id, new.version)?;
        let (space, replica) = (Space(ctx.placement.uid), self.platform.replica(&ctx.placement)?);
        let moment = replica.moment(space)?;
        let (known, position) = (
            secret(&moment.snapshot, space).map_err(|fault| internal(&fault))?,
            moment.header.position,
        );
        drop(moment);
        let (secret, position) = match known {
            Some(secret) => (secret, position),
            None => self.set_secret(ctx, false).await?,
        };
        let expires = now_micros() / 1_000_000 + new.expires_in;
        let claim = Claim {
            space: space.0,
            file: id.0,
            version: new.version,
            expires,
        };
        let version = new.version.map(|version| format!("version={version}&")).unwrap_or_default();
        let path = format!(
            "/v1/tenants/{}/files/{id}/content?{version}expires={expires}&signature={}",
            ctx.placement.slug,
            claim.sign(&secret)
        );
        drop(file);
        let expires_at = format_stamp(expires.saturating_mul(1_000_000));
        Ok(Reply {
            body: Link { path, expires_at },
            position,
        })
    }

    pub(super) async fn revoke_links(&self, ctx: &RequestContext) -> Result<Reply<()>> {
        let (_, position) = self.set_secret(ctx, true).await?;
        Ok(Reply { body: (), position })
    }

    /// Sets the secret that links are signed with; it, and the tenant's position.
    async fn set_secret(&self, ctx: &RequestContext, replaces: bool) -> Result<([u8; 32], u64)> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| internal(&error))?;
        let answer = self
            .write_as(ctx, None, |_, _| Ok(LinkSecretSet { secret, replaces }))
            .await?;
        let secret = answer.result.map_err(|refusal| refused(&refusal))?;
        Ok((secret, answer.position))
    }

    /// A file as a command has left it.
    fn shown(&self, ctx: &RequestContext, answer: Answer<Stored>) -> Result<Reply<Body>> {
        let Stored { id, file, version } = answer.result.map_err(|refusal| refused(&refusal))?;
        let replica = self.platform.replica(&ctx.placement).map_err(Error::unknown)?;
        let moment = replica.moment_after(Space(ctx.placement.uid)).map_err(Error::unknown)?;
        Ok(Reply {
            body: list::show(&moment.catalog, id, &file, &version),
            position: answer.position,
        })
    }
}

/// A change that has nothing to show.
fn done(answer: Answer<()>) -> Result<Reply<()>> {
    answer.result.map_err(|refusal| refused(&refusal))?;
    Ok(Reply {
        body: (),
        position: answer.position,
    })
}

/// The media type of a new file, if it may be called so.
pub(super) fn checked(name: &str, media_type: String) -> Result<String> {
    if let Some(why) = name::wrong_name(name) {
        return Err(Error::new(Code::InvalidParameter, format!("the name of the file {why}")));
    }
    checked_media_type(media_type)
}

/// A media type, or the one of what is not known.
pub(super) fn checked_media_type(media_type: String) -> Result<String> {
    if media_type.is_empty() {
        return Ok(name::UNKNOWN.to_owned());
    }
    match name::wrong_media_type(&media_type) {
        None => Ok(media_type),
        Some(why) => Err(Error::new(
            Code::InvalidParameter,
            format!("the media type of the file {why}"),
        )),
    }
}

/// A key whose body is what the front said of it, and the content that came.
fn of_content(key: Idempotency, content: &rows::Content) -> Idempotency {
    let mut body = blake3::Hasher::new();
    body.update(&key.body).update(&content.blake3);
    Idempotency {
        body: *body.finalize().as_bytes(),
        ..key
    }
}
