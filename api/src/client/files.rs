//! The calls about files: what is said of them, their bytes both ways, and uploads that go on after they broke off.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::Method;

use super::call::Call;
use super::pool::Exchange;
use super::tenant::{JSON, json, push_parameter};
use super::{Answer, Client, ClientError};
use crate::body::file::{AttachedTo, File, FilePatch, FileVersion, Link, NewLink, Upload};
use crate::body::record::Page;
use crate::ids::Id;
use crate::service::FileList;

/// The bytes of an upload.
const OCTETS: &str = "application/offset+octet-stream";

/// The content of a file as it comes.
pub struct ContentStream {
    exchange: Exchange,
}

impl Client {
    /// A page of files. A limit of 0 leaves the size to the server.
    pub async fn files(&self, tenant: &str, list: &FileList) -> Result<Answer<Page<File>>, ClientError> {
        let mut path = format!("/v1/tenants/{tenant}/files");
        push_attached(&mut path, list.attached_to.as_ref());
        if list.limit > 0 {
            push_parameter(&mut path, "limit", &list.limit.to_string());
        }
        if let Some(cursor) = &list.cursor {
            push_parameter(&mut path, "cursor", cursor);
        }
        self.typed(Call::new(Method::GET, path)).await
    }

    /// One file.
    pub async fn file(&self, tenant: &str, id: Id) -> Result<Answer<File>, ClientError> {
        self.typed(Call::new(Method::GET, path(tenant, id, ""))).await
    }

    /// A new file of at most 64 MiB; what is longer takes [`Client::upload_begin`].
    pub async fn file_create(
        &self,
        tenant: &str,
        name: &str,
        content_type: &str,
        attached_to: Option<&AttachedTo>,
        content: impl Into<Bytes>,
        key: Option<&str>,
    ) -> Result<Answer<File>, ClientError> {
        let mut path = format!("/v1/tenants/{tenant}/files");
        push_parameter(&mut path, "name", name);
        push_attached(&mut path, attached_to);
        let mut call = Call::new(Method::POST, path).header("content-type", content_type);
        call.body = content.into();
        if let Some(key) = key {
            call = call.header("idempotency-key", key);
        }
        self.typed(call).await
    }

    /// A new version of a file, of at most 64 MiB. `if_match`: BLAKE3 of the content that it must have.
    pub async fn file_put(
        &self,
        tenant: &str,
        id: Id,
        content_type: Option<&str>,
        if_match: Option<&str>,
        content: impl Into<Bytes>,
    ) -> Result<Answer<File>, ClientError> {
        let mut call = Call::new(Method::PUT, path(tenant, id, "/content"));
        call.body = content.into();
        if let Some(content_type) = content_type {
            call = call.header("content-type", content_type);
        }
        if let Some(tag) = if_match {
            call = call.header("if-match", &format!("\"{tag}\""));
        }
        self.typed(call).await
    }

    /// Renames a file, or attaches it to a record.
    pub async fn file_patch(&self, tenant: &str, id: Id, patch: &FilePatch) -> Result<Answer<File>, ClientError> {
        let call = Call::new(Method::PATCH, path(tenant, id, "")).body(JSON, json(patch)?);
        self.typed(call).await
    }

    /// Deletes a file with all its versions.
    pub async fn file_delete(&self, tenant: &str, id: Id) -> Result<Answer<()>, ClientError> {
        let answer = self.checked(Call::new(Method::DELETE, path(tenant, id, ""))).await?;
        Ok(answer.with(()))
    }

    /// The versions of a file, the newest first.
    pub async fn file_versions(
        &self,
        tenant: &str,
        id: Id,
        cursor: Option<&str>,
    ) -> Result<Answer<Page<FileVersion>>, ClientError> {
        let mut path = path(tenant, id, "/versions");
        if let Some(cursor) = cursor {
            push_parameter(&mut path, "cursor", cursor);
        }
        self.typed(Call::new(Method::GET, path)).await
    }

    /// Makes an older version of a file its newest.
    pub async fn file_restore(&self, tenant: &str, id: Id, version: u64) -> Result<Answer<File>, ClientError> {
        let path = path(tenant, id, &format!("/versions/{version}/restore"));
        self.typed(Call::new(Method::POST, path)).await
    }

    /// Deletes an older version of a file.
    pub async fn file_version_delete(&self, tenant: &str, id: Id, version: u64) -> Result<Answer<()>, ClientError> {
        let path = path(tenant, id, &format!("/versions/{version}"));
        let answer = self.checked(Call::new(Method::DELETE, path)).await?;
        Ok(answer.with(()))
    }

    /// The content of a version, or of the current one, as it comes.
    pub async fn file_content(&self, tenant: &str, id: Id, version: Option<u64>) -> Result<ContentStream, ClientError> {
        let mut path = path(tenant, id, "/content");
        if let Some(version) = version {
            push_parameter(&mut path, "version", &version.to_string());
        }
        let exchange = self.reading(&Call::new(Method::GET, path), Duration::ZERO).await?;
        Ok(ContentStream { exchange })
    }

    /// A link to the content of a file that needs no token.
    pub async fn file_link(&self, tenant: &str, id: Id, new: &NewLink) -> Result<Answer<Link>, ClientError> {
        let call = Call::new(Method::POST, path(tenant, id, "/links")).body(JSON, json(new)?);
        self.typed(call).await
    }

    /// Begins an upload that can go on after it broke off; where it is. `metadata`: pairs as tus has them.
    pub async fn upload_begin(&self, tenant: &str, length: u64, metadata: &str) -> Result<Answer<Id>, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/tenants/{tenant}/files/uploads"))
            .header("tus-resumable", "1.0.0")
            .header("upload-length", &length.to_string())
            .header("upload-metadata", metadata);
        let answer = self.checked(call).await?;
        let location = answer
            .headers
            .get(http::header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let id = location.and_then(|path| path.rsplit('/').next()?.parse().ok());
        let id = id.ok_or_else(|| ClientError::unanswered("the reply does not say where the upload is"))?;
        Ok(answer.with(id))
    }

    /// How far an upload is.
    pub async fn upload_state(&self, tenant: &str, id: Id) -> Result<Answer<Upload>, ClientError> {
        let call = Call::new(Method::GET, format!("/v1/tenants/{tenant}/files/uploads/{id}"));
        self.typed(call).await
    }

    /// Brings an upload further, from an offset; how far it is then. After an error it goes on from where [`Client::upload_state`] says.
    pub async fn upload_send<S>(&self, tenant: &str, id: Id, offset: u64, source: S) -> Result<u64, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let call = Call::new(Method::PATCH, format!("/v1/tenants/{tenant}/files/uploads/{id}"))
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", &offset.to_string())
            .body(OCTETS, Bytes::new());
        self.upload(&call, source, async |exchange| {
            let offset = exchange
                .response
                .headers()
                .get("upload-offset")
                .and_then(|value| value.to_str().ok());
            let offset = offset.and_then(|text| text.parse().ok());
            offset.ok_or_else(|| ClientError::unanswered("the reply does not say how far the upload is"))
        })
        .await
    }
}

impl ContentStream {
    /// The next piece; none at the end. A stream that breaks off is an error, never an end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.exchange.piece().await
    }

    /// BLAKE3 of the whole content, in hexadecimal.
    pub fn hash(&self) -> Option<String> {
        let tag = self.exchange.response.headers().get(http::header::ETAG)?.to_str().ok()?;
        Some(tag.trim_matches('"').to_owned())
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> Option<u64> {
        let length = self.exchange.response.headers().get(http::header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }
}

fn path(tenant: &str, id: Id, rest: &str) -> String {
    format!("/v1/tenants/{tenant}/files/{id}{rest}")
}

fn push_attached(path: &mut String, attached_to: Option<&AttachedTo>) {
    if let Some(attached) = attached_to {
        push_parameter(path, "collection", &attached.collection);
        push_parameter(path, "record", &attached.record.to_string());
    }
}
