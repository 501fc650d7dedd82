//! The bytes of a file, out: whole or a part, with what a cache and a browser need to know.
//!
//! A content never changes, and its ETag is its hash: what the client has of it is as good as what is here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::mpsc;

use super::disposition;
use super::range::{Part, part};
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::query::digits;
use crate::reply::{self, Marks, Reply};
use crate::service::{Claim, FileContent, RequestContext};

/// Pieces between the service and the client.
const PIECES: usize = 2;
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Whether a request follows a link, and what that says. One that lacks something is refused as one that is not this tenant's: nobody has said
/// yet who asks.
pub(crate) fn claim(asked: &Asked<'_>) -> Result<Option<Claim>> {
    let mut query = crate::query::Query::parse(asked.head.uri.query())?;
    let Some(signature) = query.take("signature").filter(|signature| !signature.is_empty()) else {
        return Ok(None);
    };
    let broken = || {
        Error::new(
            Code::Forbidden,
            "the link is not whole: ask whoever gave it to you for another",
        )
    };
    let expires = query.take("expires").and_then(|text| digits(&text));
    Ok(Some(Claim {
        file: asked.id(asked.found.first)?,
        version: query.number("version").map_err(|_| broken())?,
        expires: expires.ok_or_else(broken)?,
        signature,
    }))
}

pub(in crate::routes) async fn answer(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    let version = asked.query.number("version")?;
    let is_shown = asked.query.flag("inline")?.unwrap_or(false);
    asked.query.consistency()?;
    // Those of a link have been looked at.
    asked.query.take("expires");
    asked.query.take("signature");
    asked.query.finish()?;
    let found = asked.front.service.file_content(ctx, id, version).await?;
    let (content, position) = (found.body, found.position);
    let headers = &asked.head.headers;
    let tag = format!("\"{}\"", hex(&content.blake3));
    if headers.contains_key(IF_MATCH) && !names(headers, &IF_MATCH, &tag, false) {
        return Err(Error::new(Code::VersionMismatch, format!("the content is {tag} now")));
    }
    if names(headers, &IF_NONE_MATCH, &tag, true) {
        return Ok(marked(reply::empty(StatusCode::NOT_MODIFIED), &tag, None, is_shown).at(position));
    }
    let is_of_this = headers.get(IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let asked_for = headers
        .get(RANGE)
        .and_then(|value| value.to_str().ok())
        .filter(|_| is_of_this);
    let (status, bytes) = match part(asked_for, content.size) {
        Part::Whole => (StatusCode::OK, 0..content.size),
        Part::Of(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
        Part::None => return Ok(unsatisfiable(content.size).at(position)),
    };
    let mut reply = if asked.head.method == Method::HEAD || bytes.is_empty() {
        reply::empty(status)
    } else {
        let (sender, receiver) = mpsc::channel(PIECES);
        let read = asked.front.service.file_read(ctx, id, content.version, bytes.clone(), sender);
        read.await?;
        reply::pieces(HeaderValue::from_static("application/octet-stream"), receiver)
    };
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, content.size);
        set(reply.headers_mut(), CONTENT_RANGE, &range);
    }
    Ok(marked(reply, &tag, Some(&content), is_shown).at(position))
}

/// The headers of a content.
fn marked(mut reply: Reply, tag: &str, content: Option<&FileContent>, is_shown: bool) -> Reply {
    let headers = reply.headers_mut();
    set(headers, ETAG, tag);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'"),
    );
    if let Some(content) = content {
        set(headers, CONTENT_TYPE, &content.content_type);
        let disposition = disposition::of(&content.name, &content.content_type, is_shown);
        set(headers, CONTENT_DISPOSITION, &disposition);
        set(
            headers,
            REPR_DIGEST,
            &format!("sha-256=:{}:", STANDARD.encode(content.sha256)),
        );
    }
    reply
}

/// The answer to who asks for bytes that there are not.
fn unsatisfiable(size: u64) -> Reply {
    let detail = format!("the content has {size} bytes, and none of those that Range asks for");
    let mut reply = reply::problem(&Error::new(Code::RangeNotSatisfiable, detail));
    set(reply.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
    reply
}

/// Sets a header. A value that no header can have is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Whether a list of tags names a content, or is `*`. `weakly`: a weak tag is as good.
fn names(headers: &HeaderMap, header: &HeaderName, tag: &str, weakly: bool) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| {
        let known = if weakly {
            known.strip_prefix("W/").unwrap_or(known)
        } else {
            known
        };
        known == "*" || known == tag
    })
}

/// The content that `If-Match` names: one tag. None: any will do.
pub(super) fn one_tag(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let wrong = || {
        Error::new(
            Code::InvalidParameter,
            "If-Match takes the ETag of a content, BLAKE3 in quotes, or *",
        )
    };
    let tag = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .ok_or_else(wrong)?;
    match tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(Some(tag.to_ascii_lowercase())),
        false => Err(wrong()),
    }
}

fn hex(hash: &[u8; 32]) -> blake3::Hash {
    blake3::Hash::from(*hash)
}
