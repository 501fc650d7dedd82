//! Files of [`Memory`]: whole in a map, without versions but the last.

use std::ops::Range;

use api::body::file::{AttachedTo, File, FilePatch, FileVersion, Link, NewLink, Upload};
use api::body::record::Page;
use api::body::token::Role;
use api::error::{Code, Error, Result};
use api::ids::Id;
use api::service::{
    ByteSource, Checksum, Claim, FileContent, FileList, Files, Idempotency, LineSender, NewFile, NewUpload, Placement, Principal,
    Reply, RequestContext,
};
use async_trait::async_trait;
use bytes::Bytes;

use super::{Memory, TIME, new_id, principal};

/// A file with its bytes.
#[derive(Clone)]
pub(super) struct Kept {
    file: File,
    bytes: Vec<u8>,
}

fn no_file() -> Error {
    Error::new(Code::NotFound, "there is no such file")
}

async fn read(mut body: Box<dyn ByteSource>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

impl Memory {
    fn answered<T>(&self, body: T) -> Reply<T> {
        Reply {
            body,
            position: self.position(),
        }
    }

    fn kept(&self, id: Id) -> Result<Kept> {
        self.state().files.get(&id).cloned().ok_or_else(no_file)
    }

    fn keep(&self, id: Id, name: String, content_type: String, attached_to: Option<AttachedTo>, bytes: Vec<u8>) -> File {
        let mut state = self.state();
        let revision = state.files.get(&id).map_or(1, |kept| kept.file.revision + 1);
        let file = File {
            id,
            name,
            content_type,
            size: bytes.len() as u64,
            version: revision,
            revision,
            blake3: blake3::hash(&bytes).to_string(),
            sha256: String::new(),
            attached_to,
            created_at: TIME.into(),
            created_by: "token:test".into(),
            updated_at: TIME.into(),
            updated_by: "token:test".into(),
        };
        let kept = Kept {
            file: file.clone(),
            bytes,
        };
        state.files.insert(id, kept);
        file
    }

    fn upload_of(&self, id: Id) -> Result<Upload> {
        let found = self.state().uploads.get(&id).map(|(upload, _, _)| upload.clone());
        found.ok_or_else(|| Error::new(Code::NotFound, "there is no such upload"))
    }
}

#[async_trait]
impl Files for Memory {
    async fn files(&self, _: &RequestContext, list: FileList) -> Result<Reply<Page<File>>> {
        let files: Vec<_> = self.state().files.values().map(|kept| kept.file.clone()).collect();
        let items = files
            .into_iter()
            .filter(|file| list.attached_to.is_none() || file.attached_to == list.attached_to);
        let items = items.take(list.limit).collect();
        Ok(self.answered(Page {
            items,
            next_cursor: None,
            count: None,
        }))
    }

    async fn file(&self, _: &RequestContext, id: Id) -> Result<Reply<File>> {
        let file = self.kept(id)?.file;
        Ok(self.answered(file))
    }

    async fn file_create(
        &self,
        _: &RequestContext,
        new: NewFile,
        body: Box<dyn ByteSource>,
        key: Option<Idempotency>,
    ) -> Result<Reply<File>> {
        self.begin("file_create").await?;
        let bytes = read(body).await?;
        if let Some(key) = key {
            let known = self.state().keyed.get(&key.scope).copied();
            match known {
                Some((body, id)) if body == key.body => {
                    let file = self.kept(id)?.file;
                    return Ok(self.answered(file));
                }
                Some(_) => return Err(Error::new(Code::IdempotencyMismatch, "the key was used with another body")),
                None => {}
            }
        }
        let file = self.keep(new_id(), new.name, new.content_type, new.attached_to, bytes);
        if let Some(key) = key {
            self.state().keyed.insert(key.scope, (key.body, file.id));
        }
        Ok(self.answered(file))
    }

    async fn file_put(
        &self,
        _: &RequestContext,
        id: Id,
        content_type: Option<String>,
        if_match: Option<String>,
        body: Box<dyn ByteSource>,
    ) -> Result<Reply<File>> {
        let bytes = read(body).await?;
        let before = self.kept(id)?.file;
        if if_match.is_some_and(|wanted| wanted != before.blake3) {
            return Err(Error::new(Code::VersionMismatch, "the content is another"));
        }
        let content_type = content_type.unwrap_or(before.content_type);
        let file = self.keep(id, before.name, content_type, before.attached_to, bytes);
        Ok(self.answered(file))
    }

    async fn file_patch(
        &self,
        _: &RequestContext,
        id: Id,
        patch: FilePatch,
        if_match: Option<u64>,
        _: Option<Idempotency>,
    ) -> Result<Reply<File>> {
        let Kept { file, bytes } = self.kept(id)?;
        if if_match.is_some_and(|wanted| wanted != file.revision) {
            return Err(Error::new(Code::VersionMismatch, "the file has another revision"));
        }
        let attached_to = patch.attached_to.unwrap_or(file.attached_to);
        let file = self.keep(id, patch.name.unwrap_or(file.name), file.content_type, attached_to, bytes);
        Ok(self.answered(file))
    }

    async fn file_delete(&self, _: &RequestContext, id: Id, _: Option<u64>) -> Result<Reply<()>> {
        self.state().files.remove(&id).ok_or_else(no_file)?;
        Ok(self.answered(()))
    }

    async fn file_versions(&self, _: &RequestContext, id: Id, _: usize, _: Option<u64>) -> Result<Reply<Page<FileVersion>>> {
        let file = self.kept(id)?.file;
        let version = FileVersion {
            version: file.version,
            current: true,
            content_type: file.content_type,
            size: file.size,
            blake3: file.blake3,
            sha256: file.sha256,
            created_at: file.created_at,
            created_by: file.created_by,
        };
        Ok(self.answered(Page {
            items: vec![version],
            next_cursor: None,
            count: None,
        }))
    }

    async fn file_restore(&self, _: &RequestContext, id: Id, version: u64, _: Option<Idempotency>) -> Result<Reply<File>> {
        let file = self.kept(id)?.file;
        match file.version == version {
            true => Ok(self.answered(file)),
            false => Err(no_file()),
        }
    }

    async fn file_version_delete(&self, _: &RequestContext, id: Id, _: u64) -> Result<Reply<()>> {
        self.kept(id)?;
        Err(Error::new(Code::AlreadyExists, "it is the current one"))
    }

    async fn file_content(&self, _: &RequestContext, id: Id, version: Option<u64>) -> Result<Reply<FileContent>> {
        let Kept { file, bytes } = self.kept(id)?;
        if version.is_some_and(|version| version != file.version) {
            return Err(no_file());
        }
        Ok(self.answered(FileContent {
            name: file.name,
            version: file.version,
            content_type: file.content_type,
            size: file.size,
            blake3: *blake3::hash(&bytes).as_bytes(),
            sha256: [7; 32],
        }))
    }

    async fn file_read(&self, _: &RequestContext, id: Id, _: u64, part: Range<u64>, out: LineSender) -> Result<()> {
        let bytes = self.kept(id)?.bytes;
        let part = bytes[part.start as usize..part.end as usize].to_vec();
        tokio::spawn(async move {
            for piece in part.chunks(1_000) {
                let _ = out.send(Ok(Bytes::copy_from_slice(piece))).await;
            }
        });
        Ok(())
    }

    async fn link_create(&self, ctx: &RequestContext, id: Id, new: NewLink) -> Result<Reply<Link>> {
        self.kept(id)?;
        let slug = &ctx.placement.slug;
        Ok(self.answered(Link {
            path: format!(
                "/v1/tenants/{slug}/files/{id}/content?expires={}&signature=right",
                new.expires_in
            ),
            expires_at: TIME.into(),
        }))
    }

    async fn links_revoke(&self, _: &RequestContext) -> Result<Reply<()>> {
        Ok(self.answered(()))
    }

    async fn link_principal(&self, _: &Placement, claim: &Claim) -> Result<Principal> {
        match claim.signature.as_str() {
            "right" => Ok(principal(Role::Admin, None)),
            _ => Err(Error::new(Code::Forbidden, "the link is not right")),
        }
    }

    async fn upload_create(&self, _: &RequestContext, new: NewUpload) -> Result<Reply<Upload>> {
        let upload = Upload {
            id: new_id(),
            length: new.length,
            offset: 0,
            metadata: new.metadata.clone(),
            expires_at: TIME.into(),
            file: None,
        };
        self.state().uploads.insert(upload.id, (upload.clone(), new, Vec::new()));
        Ok(self.answered(upload))
    }

    async fn upload(&self, _: &RequestContext, id: Id) -> Result<Reply<Upload>> {
        let upload = self.upload_of(id)?;
        Ok(self.answered(upload))
    }

    async fn upload_write(
        &self,
        _: &RequestContext,
        id: Id,
        offset: u64,
        checksum: Option<Checksum>,
        body: Box<dyn ByteSource>,
    ) -> Result<Reply<Upload>> {
        if self.upload_of(id)?.offset != offset {
            return Err(Error::new(Code::OffsetMismatch, "it goes on elsewhere"));
        }
        let piece = read(body).await?;
        if checksum == Some(Checksum::Sha1([0; 20])) {
            return Err(Error::new(Code::ChecksumMismatch, "the hash is another"));
        }
        let whole = {
            let mut state = self.state();
            let (upload, new, bytes) = state.uploads.get_mut(&id).expect("an upload");
            bytes.extend_from_slice(&piece);
            upload.offset = bytes.len() as u64;
            (upload.offset == upload.length).then(|| (new.clone(), bytes.clone()))
        };
        if let Some((new, bytes)) = whole {
            let file = self.keep(new_id(), new.new.name, new.new.content_type, new.new.attached_to, bytes);
            if let Some((upload, ..)) = self.state().uploads.get_mut(&id) {
                upload.file = Some(file.id);
            }
        }
        let upload = self.upload_of(id)?;
        Ok(self.answered(upload))
    }

    async fn upload_delete(&self, _: &RequestContext, id: Id) -> Result<Reply<()>> {
        self.upload_of(id)?;
        self.state().uploads.remove(&id);
        Ok(self.answered(()))
    }
}
