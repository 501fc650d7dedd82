//! Uploads that go on after they broke off: tus 1.0, with creation, creation-with-upload, checksum, expiration and termination.
//!
//! <https://tus.io/protocols/resumable-upload> is what clients have: a POST announces the length, HEAD says how much has come, PATCH sends
//! what follows. The last one makes a file of it. An upload may begin at one node and go on at any other.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, StatusCode};

use super::content::set;
use super::spawned;
use crate::body::file::{AttachedTo, Upload};
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::ids::Id;
use crate::limits::{FILE_BYTES, UPLOAD_METADATA_BYTES};
use crate::query::digits;
use crate::reply::{self, Marks, Reply};
use crate::routes::table::Endpoint;
use crate::service::{Checksum, NewUpload, Reply as Answered, RequestContext};

/// The version of the protocol.
const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,checksum,expiration,termination";
const OCTETS: &str = "application/offset+octet-stream";
const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// What the protocol is, for who asks with OPTIONS; none: the path is another.
pub(crate) fn options(method: &Method, path: &str) -> Option<Reply> {
    let inner = path.strip_prefix("/v1/tenants/")?.split_once('/')?.1;
    if *method != Method::OPTIONS || !(inner == "files/uploads" || inner.starts_with("files/uploads/")) {
        return None;
    }
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let size = FILE_BYTES.to_string();
    for (name, value) in [
        ("tus-resumable", VERSION),
        ("tus-version", VERSION),
        ("tus-extension", EXTENSIONS),
        ("tus-max-size", size.as_str()),
        ("tus-checksum-algorithm", "sha1,sha256"),
    ] {
        set(reply.headers_mut(), HeaderName::from_static(name), value);
    }
    Some(reply)
}

/// Serves a request of the protocol.
pub(in crate::routes) async fn answer(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.consistency()?;
    asked.query.finish()?;
    let served = match asked.found.route.endpoint {
        Endpoint::UploadCreate => create(asked, ctx).await,
        Endpoint::UploadWrite => write(asked, ctx).await,
        Endpoint::UploadDelete => delete(asked, ctx).await,
        _ => show(asked, ctx).await,
    };
    let mut reply = match served {
        Ok(reply) => reply,
        Err(error) if matches!(error.code, Code::NotLeader | Code::Internal) => return Err(error),
        Err(error) => {
            asked.body.hear_out();
            reply::problem(&error)
        }
    };
    set(reply.headers_mut(), RESUMABLE, VERSION);
    if reply.status() == StatusCode::PRECONDITION_FAILED {
        set(reply.headers_mut(), HeaderName::from_static("tus-version"), VERSION);
    }
    Ok(reply)
}

async fn create(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    check_version(asked)?;
    let length = number(asked, &LENGTH)?.ok_or_else(|| {
        let detail = "Upload-Length is missing: say how many bytes the upload has (it cannot be said later)";
        Error::new(Code::InvalidParameter, detail)
    })?;
    if length > FILE_BYTES {
        return Err(Error::new(
            Code::TooLarge,
            format!("the upload has {length} bytes, a file has at most {FILE_BYTES}"),
        ));
    }
    let new = NewUpload {
        length,
        ..announced(text(asked, &METADATA)?.unwrap_or_default())?
    };
    let brings = match text(asked, &CONTENT_TYPE)? {
        Some(kind) if kind == OCTETS => true,
        Some(_) if asked.body.is_empty() => false,
        Some(_) => return Err(not_octets()),
        None => false,
    };
    let begun = asked.front.service.upload_create(ctx, new).await?;
    let path = format!("{}/{}", asked.head.uri.path(), begun.body.id);
    let upload = match brings && length > 0 {
        true => send(asked, ctx, begun.body.id, 0).await?,
        false => begun,
    };
    Ok(told(reply::empty(StatusCode::CREATED), &upload).located(path))
}

async fn show(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    // A person who looks with GET need not speak the protocol.
    if asked.head.method == Method::HEAD {
        check_version(asked)?;
    }
    let id = asked.id(asked.found.first)?;
    let upload = asked.limited(false, asked.front.service.upload(ctx, id)).await?;
    let mut reply = told(reply::json(StatusCode::OK, &upload.body)?, &upload);
    set(reply.headers_mut(), LENGTH, &upload.body.length.to_string());
    if !upload.body.metadata.is_empty() {
        set(reply.headers_mut(), METADATA, &upload.body.metadata);
    }
    Ok(reply)
}

async fn write(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    check_version(asked)?;
    let id = asked.id(asked.found.first)?;
    if text(asked, &CONTENT_TYPE)?.as_deref() != Some(OCTETS) {
        return Err(not_octets());
    }
    let missing = || {
        Error::new(
            Code::InvalidParameter,
            "Upload-Offset is missing: say where the upload goes on",
        )
    };
    let offset = number(asked, &OFFSET)?.ok_or_else(missing)?;
    let upload = send(asked, ctx, id, offset).await?;
    Ok(told(reply::empty(StatusCode::NO_CONTENT), &upload))
}

async fn delete(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    check_version(asked)?;
    let id = asked.id(asked.found.first)?;
    let deleted = asked.limited(true, asked.front.service.upload_delete(ctx, id)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT).at(deleted.position))
}

/// Sends the body on. What has come when it breaks off is kept.
async fn send(asked: &mut Asked<'_>, ctx: &RequestContext, id: Id, offset: u64) -> Result<Answered<Upload>> {
    let checksum = text(asked, &CHECKSUM)?.map(|text| checksum(&text)).transpose()?;
    let body = super::body(asked)?;
    let (service, ctx) = (Arc::clone(&asked.front.service), ctx.clone());
    spawned(async move { service.upload_write(&ctx, id, offset, checksum, body).await }).await
}

/// How far the upload is, in the headers of a reply.
fn told(mut reply: Reply, upload: &Answered<Upload>) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(upload.body.offset));
    if upload.body.file.is_none() {
        set(headers, EXPIRES, &http_date(&upload.body.expires_at));
    }
    reply.at(upload.position)
}

fn check_version(asked: &Asked<'_>) -> Result<()> {
    match text(asked, &RESUMABLE)?.as_deref() {
        Some(VERSION) => Ok(()),
        _ => Err(Error::new(
            Code::ProtocolVersion,
            format!("send Tus-Resumable: {VERSION}; no other version of the protocol is spoken here"),
        )),
    }
}

fn not_octets() -> Error {
    Error::new(
        Code::UnsupportedMediaType,
        format!("send the bytes with Content-Type: {OCTETS}"),
    )
}

fn text(asked: &Asked<'_>, name: &HeaderName) -> Result<Option<String>> {
    let Some(value) = asked.head.headers.get(name) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(_) => Err(Error::new(Code::InvalidParameter, format!("the header {name} is not ASCII"))),
    }
}

fn number(asked: &Asked<'_>, name: &HeaderName) -> Result<Option<u64>> {
    let wrong = || Error::new(Code::InvalidParameter, format!("the header {name} is not a whole number"));
    text(asked, name)?.map(|text| digits(&text).ok_or_else(wrong)).transpose()
}

/// What `Upload-Metadata` says of an upload: `key base64, key base64`. What nobody here knows is kept and told again.
fn announced(metadata: String) -> Result<NewUpload> {
    let wrong = |why: String| Error::new(Code::InvalidParameter, format!("Upload-Metadata: {why}"));
    if metadata.len() > UPLOAD_METADATA_BYTES {
        return Err(wrong(format!("is longer than {UPLOAD_METADATA_BYTES} bytes")));
    }
    let mut new = NewUpload::default();
    let (mut collection, mut record) = (None, None);
    for pair in metadata.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let decoded = STANDARD
            .decode(value.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let value = decoded.ok_or_else(|| wrong(format!("the value of {key:?} is not UTF-8 in base64")))?;
        let id = |value: &str| value.parse::<Id>().map_err(|error| wrong(format!("{key:?}: {error}")));
        match key {
            "filename" | "name" => new.new.name = value,
            "filetype" | "type" => new.new.content_type = value,
            "file" => new.file = Some(id(&value)?),
            "collection" => collection = Some(value),
            "record" => record = Some(id(&value)?),
            _ => {}
        }
    }
    new.new.attached_to = match (collection, record) {
        (Some(collection), Some(record)) => Some(AttachedTo { collection, record }),
        (None, None) => None,
        _ => return Err(wrong("\"collection\" and \"record\" go together".to_owned())),
    };
    if new.file.is_none() && new.new.name.is_empty() {
        return Err(wrong(
            "\"filename\" is missing: say what the file is called, or with \"file\" whose version it is".to_owned(),
        ));
    }
    new.metadata = metadata;
    Ok(new)
}

/// Reads `Upload-Checksum`: the name of the hash, and the hash in base64.
fn checksum(text: &str) -> Result<Checksum> {
    let (name, value) = text.split_once(' ').unwrap_or((text, ""));
    let bytes = STANDARD.decode(value.trim()).unwrap_or_default();
    let found = match name {
        "sha1" => bytes.try_into().ok().map(Checksum::Sha1),
        "sha256" => bytes.try_into().ok().map(Checksum::Sha256),
        _ => None,
    };
    found.ok_or_else(|| {
        let detail = "Upload-Checksum takes sha1 or sha256 and the hash in base64, such as: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
        Error::new(Code::InvalidParameter, detail)
    })
}

/// `2026-11-22T10:00:00Z` as `Sun, 22 Nov 2026 10:00:00 GMT`; a time of another form stays as it is.
fn http_date(time: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let number = |range: std::ops::Range<usize>| time.get(range).and_then(|text| text.parse::<usize>().ok());
    let parts = (number(0..4), number(5..7), number(8..10), time.get(11..19));
    let (Some(year), Some(month @ 1..=12), Some(day), Some(clock)) = parts else {
        return time.to_owned();
    };
    // Sakamoto's method.
    let y = if month < 3 { year.saturating_sub(1) } else { year };
    let shift = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4][month - 1];
    let weekday = (y + y / 4 - y / 100 + y / 400 + shift + day) % 7;
    format!("{}, {day:02} {} {year} {clock} GMT", DAYS[weekday], MONTHS[month - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_upload_says_of_itself_is_read_and_what_is_wrong_is_named() {
        let new = announced("filename cmVwb3J0LnBkZg==,filetype YXBwbGljYXRpb24vcGRm, is_private".to_owned()).expect("read");
        assert_eq!(
            (new.new.name.as_str(), new.new.content_type.as_str()),
            ("report.pdf", "application/pdf")
        );
        assert!(new.metadata.ends_with("is_private"));
        for (wrong, why) in [
            ("", "filename"),
            ("filename !", "base64"),
            ("filename YQ==,collection YQ==", "go together"),
            ("file YQ==", "file"),
        ] {
            let error = announced(wrong.to_owned()).expect_err(wrong);
            assert!(error.detail.contains(why), "{wrong}: {error}");
        }
        assert!(announced("x".repeat(UPLOAD_METADATA_BYTES + 1)).is_err());
    }

    #[test]
    fn a_checksum_has_a_name_and_a_length() {
        assert!(matches!(checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), Ok(Checksum::Sha1(_))));
        for wrong in [
            "",
            "sha1",
            "sha1 Kq5s",
            "md5 1B2M2Y8AsgTpgAmY7PhCfg==",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            assert!(checksum(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_written_as_http_does() {
        assert_eq!(http_date("2026-11-22T10:00:00Z"), "Sun, 22 Nov 2026 10:00:00 GMT");
        assert_eq!(http_date("2024-02-29T23:59:59.5Z"), "Thu, 29 Feb 2024 23:59:59 GMT");
        assert_eq!(http_date("soon"), "soon");
    }

    #[test]
    fn options_are_told_below_uploads_only() {
        let told = options(&Method::OPTIONS, "/v1/tenants/acme/files/uploads").expect("told");
        assert_eq!(told.headers()["tus-extension"], EXTENSIONS);
        assert!(options(&Method::OPTIONS, "/v1/tenants/acme/files").is_none());
        assert!(options(&Method::GET, "/v1/tenants/acme/files/uploads").is_none());
    }
}
