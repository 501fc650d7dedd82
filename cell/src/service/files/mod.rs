//! Files as the HTTP front sees them: one short method a call. What a call does is in [`reading`], [`writing`] and [`uploading`].

mod intake;
mod reading;
mod uploading;
mod writing;

use std::ops::Range;

use api::body::file::{AttachedTo, File, FilePatch, FileVersion, Link, NewLink, Upload};
use api::body::record::Page;
use api::error::{Code, Error, Result};
use api::ids::Id;
use api::service::{
    ByteSource, Checksum, Claim, FileContent, FileList, Files, Idempotency, LineSender, NewFile, NewUpload, Placement, Principal,
    Reply, RequestContext,
};
use async_trait::async_trait;
use storage::Space;

use self::intake::Room;
use super::Front;
use super::error::internal;
use super::room::{Stored, left_for_files};
use crate::files::rows::{self, Attached};
use crate::files::sight::Looker;
use crate::records::decide::View;

#[async_trait]
impl Files for Front {
    async fn files(&self, ctx: &RequestContext, list: FileList) -> Result<Reply<Page<File>>> {
        self.list_files(ctx, &list).await
    }

    async fn file(&self, ctx: &RequestContext, id: Id) -> Result<Reply<File>> {
        self.get_file(ctx, id)
    }

    async fn file_create(
        &self,
        ctx: &RequestContext,
        new: NewFile,
        body: Box<dyn ByteSource>,
        key: Option<Idempotency>,
    ) -> Result<Reply<File>> {
        self.create_file(ctx, new, body, key).await
    }

    async fn file_put(
        &self,
        ctx: &RequestContext,
        id: Id,
        content_type: Option<String>,
        if_match: Option<String>,
        body: Box<dyn ByteSource>,
    ) -> Result<Reply<File>> {
        self.put_file(ctx, id, content_type, if_match, body).await
    }

    async fn file_patch(
        &self,
        ctx: &RequestContext,
        id: Id,
        patch: FilePatch,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<File>> {
        self.patch_file(ctx, id, patch, if_match, key).await
    }

    async fn file_delete(&self, ctx: &RequestContext, id: Id, if_match: Option<u64>) -> Result<Reply<()>> {
        self.delete_file(ctx, id, if_match).await
    }

    async fn file_versions(
        &self,
        ctx: &RequestContext,
        id: Id,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Reply<Page<FileVersion>>> {
        self.list_file_versions(ctx, id, limit, cursor)
    }

    async fn file_restore(&self, ctx: &RequestContext, id: Id, version: u64, key: Option<Idempotency>) -> Result<Reply<File>> {
        self.restore_file(ctx, id, version, key).await
    }

    async fn file_version_delete(&self, ctx: &RequestContext, id: Id, version: u64) -> Result<Reply<()>> {
        self.delete_file_version(ctx, id, version).await
    }

    async fn file_content(&self, ctx: &RequestContext, id: Id, version: Option<u64>) -> Result<Reply<FileContent>> {
        self.get_content(ctx, id, version)
    }

    async fn file_read(&self, ctx: &RequestContext, id: Id, version: u64, part: Range<u64>, out: LineSender) -> Result<()> {
        self.read_content(ctx, id, version, part, out).await
    }

    async fn link_create(&self, ctx: &RequestContext, id: Id, new: NewLink) -> Result<Reply<Link>> {
        self.create_link(ctx, id, new).await
    }

    async fn links_revoke(&self, ctx: &RequestContext) -> Result<Reply<()>> {
        self.revoke_links(ctx).await
    }

    async fn link_principal(&self, placement: &Placement, claim: &Claim) -> Result<Principal> {
        self.linked(placement, claim)
    }

    async fn upload_create(&self, ctx: &RequestContext, new: NewUpload) -> Result<Reply<Upload>> {
        self.begin_upload(ctx, new).await
    }

    async fn upload(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Upload>> {
        self.get_upload(ctx, id)
    }

    async fn upload_write(
        &self,
        ctx: &RequestContext,
        id: Id,
        offset: u64,
        checksum: Option<Checksum>,
        body: Box<dyn ByteSource>,
    ) -> Result<Reply<Upload>> {
        self.write_upload(ctx, id, offset, checksum, body).await
    }

    async fn upload_delete(&self, ctx: &RequestContext, id: Id) -> Result<Reply<()>> {
        self.delete_upload(ctx, id).await
    }
}

/// Who looks, at the moment of a decision.
fn looker<'a>(ctx: &'a RequestContext, view: &View<'a>) -> Result<Looker<'a>> {
    Ok(Looker {
        catalog: view.catalog,
        space: view.space,
        asker: view.asker.ok_or_else(|| internal(&"nobody asks for a file"))?,
        scopes: ctx.principal.scopes.as_deref(),
    })
}

/// A file that is there, for somebody who may change it.
fn changeable(ctx: &RequestContext, view: &View<'_>, id: Id) -> Result<rows::File> {
    let file = rows::file(view.snapshot, view.space, id.0).map_err(|fault| internal(&fault))?;
    let file = file.ok_or_else(|| no_file(id))?;
    let looker = looker(ctx, view)?;
    if !looker.sees(view.snapshot, file.attached).map_err(|fault| internal(&fault))? {
        return Err(no_file(id));
    }
    looker.check_change(view.snapshot, file.attached)?;
    Ok(file)
}

/// Refuses a collection that the token is not for, whether it is there or not.
fn check_scope(ctx: &RequestContext, collection: &str) -> Result<()> {
    match super::view::in_scope(ctx, collection) {
        true => Ok(()),
        false => {
            let detail = format!("the token's scopes do not include the collection {collection:?}");
            Err(Error::new(Code::Forbidden, detail))
        }
    }
}

/// The record that somebody wants a file attached to, if they may read and update it.
fn attach(ctx: &RequestContext, view: &View<'_>, wanted: Option<&AttachedTo>) -> Result<Option<Attached>> {
    let Some(wanted) = wanted else {
        return match ctx.principal.scopes {
            None => Ok(None),
            Some(_) => Err(Error::new(
                Code::Forbidden,
                "the token is limited to some collections: attach the file to a record of one of them",
            )),
        };
    };
    check_scope(ctx, &wanted.collection)?;
    let missing = || {
        Error::new(
            Code::NotFound,
            format!(
                "there is no record {}/{} to attach the file to",
                wanted.collection, wanted.record
            ),
        )
    };
    let collection = view.catalog.named(&wanted.collection).ok_or_else(missing)?;
    let (looker, attached) = (looker(ctx, view)?, (collection.number, wanted.record.0));
    let shown = looker.shows(view.snapshot, attached.0, attached.1);
    if !shown.map_err(|fault| internal(&fault))? {
        return Err(missing());
    }
    looker.check_change(view.snapshot, Some(attached))?;
    Ok(Some(attached))
}

/// Refuses the end of an upload to who may no longer make of it what it becomes: its record may have changed hands since it began. None: it
/// does not end yet.
fn check_end(ctx: &RequestContext, view: &View<'_>, ended: Option<&crate::files::upload::Upload>) -> Result<()> {
    let Some(upload) = ended else { return Ok(()) };
    if let Some(file) = upload.file {
        return changeable(ctx, view, Id(file)).map(|_| ());
    }
    let Some((number, record)) = upload.attached else {
        return attach(ctx, view, None).map(|_| ());
    };
    let collection = view.catalog.numbered(number).filter(|collection| !collection.dropped);
    let collection = collection.ok_or_else(|| {
        let detail = format!("there is no record {record} any more to attach the file to");
        Error::new(Code::NotFound, detail)
    })?;
    let wanted = AttachedTo {
        collection: collection.name.clone(),
        record: Id(record),
    };
    attach(ctx, view, Some(&wanted)).map(|_| ())
}

fn no_file(id: Id) -> Error {
    Error::new(Code::NotFound, format!("there is no file {id}"))
}

impl Front {
    /// What the tenant's plan stores of files, in bytes: what its records leave of it.
    fn quota(&self, ctx: &RequestContext) -> Result<u64> {
        Ok(self.room(ctx)?.quota)
    }

    /// The same, and what its files take.
    fn room(&self, ctx: &RequestContext) -> Result<Room> {
        let (account, limits) = self.platform.account(&ctx.placement);
        // One upload may announce more than is left of much room.
        account.set_not_roomy();
        let snapshot = self.platform.replica(&ctx.placement)?.store.begin_read();
        let stored = Stored::read(&snapshot, Space(ctx.placement.uid)).map_err(|fault| internal(&fault))?;
        Ok(Room {
            used: stored.files,
            quota: left_for_files(&stored, &limits),
        })
    }
}
