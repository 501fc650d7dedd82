//! What the front asks of the platform about files.

use std::ops::Range;

use async_trait::async_trait;

use super::{Idempotency, Placement, Principal, Reply, RequestContext};
use crate::body::file::{AttachedTo, File, FilePatch, FileVersion, Link, NewLink, Upload};
use crate::body::record::Page;
use crate::error::Result;
use crate::ids::Id;
use crate::lines::{ByteSource, LineSender};

/// Which files to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileList {
    /// Those that are attached to this record; none: all.
    pub attached_to: Option<AttachedTo>,
    /// Most files of the page.
    pub limit: usize,
    /// Where the page starts: what the page before answered.
    pub cursor: Option<String>,
}

/// What is said of a file that comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewFile {
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// The record to attach it to.
    pub attached_to: Option<AttachedTo>,
}

/// What is said of an upload that begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewUpload {
    /// The file that it becomes, or, where there is one already, the version of it.
    pub new: NewFile,
    /// The file whose version it becomes; none: a new one.
    pub file: Option<Id>,
    /// How long it is as a whole, in bytes.
    pub length: u64,
    /// What the client said of it, as it said it.
    pub metadata: String,
}

/// The hash that a part of an upload must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

/// A version of a file, as its content is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// The file's name.
    pub name: String,
    /// The version.
    pub version: u64,
    /// Its media type.
    pub content_type: String,
    /// Its length, in bytes.
    pub size: u64,
    /// BLAKE3 of it.
    pub blake3: [u8; 32],
    /// SHA-256 of it.
    pub sha256: [u8; 32],
}

/// A link that somebody follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The file.
    pub file: Id,
    /// The version; none: the current one.
    pub version: Option<u64>,
    /// Until when it may be used, in seconds since the epoch.
    pub expires: u64,
    /// Its signature.
    pub signature: String,
}

/// A tenant's files, and uploads that become files.
#[async_trait]
pub trait Files {
    /// A page of files, by id.
    async fn files(&self, ctx: &RequestContext, list: FileList) -> Result<Reply<Page<File>>>;
    /// One file.
    async fn file(&self, ctx: &RequestContext, id: Id) -> Result<Reply<File>>;
    /// A new file. The key's body is that of nothing: the content is read as it comes, and is a part of it here.
    async fn file_create(
        &self,
        ctx: &RequestContext,
        new: NewFile,
        body: Box<dyn ByteSource>,
        key: Option<Idempotency>,
    ) -> Result<Reply<File>>;
    /// A new version of a file. `if_match`: BLAKE3 of the content that it must have, in hexadecimal.
    async fn file_put(
        &self,
        ctx: &RequestContext,
        id: Id,
        content_type: Option<String>,
        if_match: Option<String>,
        body: Box<dyn ByteSource>,
    ) -> Result<Reply<File>>;
    /// Changes what is said of a file.
    async fn file_patch(
        &self,
        ctx: &RequestContext,
        id: Id,
        patch: FilePatch,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<File>>;
    /// Deletes a file with all its versions.
    async fn file_delete(&self, ctx: &RequestContext, id: Id, if_match: Option<u64>) -> Result<Reply<()>>;
    /// The versions of a file below `cursor`, the newest first.
    async fn file_versions(
        &self,
        ctx: &RequestContext,
        id: Id,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Reply<Page<FileVersion>>>;
    /// Makes an older version the newest again.
    async fn file_restore(&self, ctx: &RequestContext, id: Id, version: u64, key: Option<Idempotency>) -> Result<Reply<File>>;
    /// Deletes an older version.
    async fn file_version_delete(&self, ctx: &RequestContext, id: Id, version: u64) -> Result<Reply<()>>;
    /// What a version of a file is; the current one where none is named.
    async fn file_content(&self, ctx: &RequestContext, id: Id, version: Option<u64>) -> Result<Reply<FileContent>>;
    /// Sends a part of a version, in pieces. It is sent after this has answered: a piece that is an error breaks it off.
    async fn file_read(&self, ctx: &RequestContext, id: Id, version: u64, part: Range<u64>, out: LineSender) -> Result<()>;
    /// A link to a file that needs no token.
    async fn link_create(&self, ctx: &RequestContext, id: Id, new: NewLink) -> Result<Reply<Link>>;
    /// Makes all links worthless that the tenant has given out.
    async fn links_revoke(&self, ctx: &RequestContext) -> Result<Reply<()>>;
    /// Who follows a link. Where it is not right, or has expired, that is all that is said.
    async fn link_principal(&self, placement: &Placement, claim: &Claim) -> Result<Principal>;
    /// Begins an upload. One that is empty becomes a file at once.
    async fn upload_create(&self, ctx: &RequestContext, new: NewUpload) -> Result<Reply<Upload>>;
    /// How far an upload is.
    async fn upload(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Upload>>;
    /// Brings an upload further from `offset`, and makes a file of it when all has come. With a checksum, all of the body or nothing.
    async fn upload_write(
        &self,
        ctx: &RequestContext,
        id: Id,
        offset: u64,
        checksum: Option<Checksum>,
        body: Box<dyn ByteSource>,
    ) -> Result<Reply<Upload>>;
    /// Ends an upload without a file.
    async fn upload_delete(&self, ctx: &RequestContext, id: Id) -> Result<Reply<()>>;
}
