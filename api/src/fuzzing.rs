//! What the fuzz targets of `fuzz/` call: each function takes bytes, does with them what the front would, and panics where that breaks
//! a promise. It is here because what it calls is private. Compiled for tests, and for who asks for the feature `fuzzing`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{backup, collection, control, file, record, token};
use crate::csv::CsvLines;
use crate::error::{Code, Error};
use crate::forward::mux::Frame;
use crate::ids::{Id, Name, Slug};
use crate::inflate::Pieces;
use crate::query::Query;
use crate::read::{BodyLines, RequestBody, check_media_type};
use crate::routes::{records, table};
use crate::service::LineSource;
use crate::trace::{REQUEST_ID, TRACEPARENT, Trace};
use crate::{forward, gate, json};

/// Reads a body as what every route with a body takes. One that is taken is taken again as it is written.
pub fn body(data: &[u8]) {
    stays::<record::NewRecord>(data);
    stays::<record::FieldsBody>(data);
    stays::<record::Batch>(data);
    stays::<collection::CollectionSchema>(data);
    stays::<token::NewToken>(data);
    stays::<control::NewTenant>(data);
    stays::<control::TenantPatch>(data);
    stays::<control::TenantMove>(data);
    stays::<backup::TenantRestore>(data);
    stays::<backup::CellRestore>(data);
    stays::<file::FilePatch>(data);
    stays::<file::NewLink>(data);
    stays::<serde_json::Value>(data);
}

fn stays<T: DeserializeOwned + Serialize>(data: &[u8]) {
    let taken = match json::read::<T>(data) {
        Ok(taken) => taken,
        Err(error) => return refused(data, &error),
    };
    let written = serde_json::to_vec(&taken).unwrap_or_else(|error| panic!("write a body: {error}"));
    let again = json::read::<T>(&written);
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written)));
    let twice = serde_json::to_vec(&again).unwrap_or_else(|error| panic!("write a body: {error}"));
    assert_eq!(written, twice, "a body that was read is written as another one");
}

/// A body is refused as one that cannot be read, or with the places that are wrong; those are there.
fn refused(data: &[u8], error: &Error) {
    assert!(
        matches!(error.code, Code::MalformedBody | Code::InvalidFields),
        "{error}: {}",
        String::from_utf8_lossy(data)
    );
    assert!(!error.errors.is_empty(), "{error}: no place");
    for place in &error.errors {
        assert!(
            place.pointer.is_empty() || place.pointer.starts_with('/'),
            "{:?} is no pointer",
            place.pointer
        );
    }
}

/// Reads a body as CSV. Its lines have ascending numbers, and each is refused or an object of texts.
pub fn csv(data: &[u8]) {
    let mut lines = CsvLines::new(Pieces::new(
        RequestBody::Kept(Bytes::copy_from_slice(data)),
        false,
        Duration::ZERO,
    ));
    drain(&mut lines, |line| {
        let object: Result<std::collections::BTreeMap<String, String>, _> = serde_json::from_slice(line);
        object.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
    });
}

/// Reads a body as lines. None of them is empty, holds a line break, or is no text.
pub fn lines(data: &[u8]) {
    let mut lines = BodyLines::new(Pieces::new(
        RequestBody::Kept(Bytes::copy_from_slice(data)),
        false,
        Duration::ZERO,
    ));
    drain(&mut lines, |line| {
        assert!(!line.is_empty() && !line.contains(&b'\n') && std::str::from_utf8(line).is_ok());
    });
}

fn drain(lines: &mut dyn LineSource, check: impl Fn(&[u8])) {
    let mut last = 0;
    loop {
        let next = lines.next().now_or_never();
        match next.unwrap_or_else(|| panic!("a body that is here is waited for")) {
            Ok(Some((number, line))) => {
                assert!(number > last, "line {number} comes after {last}");
                last = number;
                if let Ok(line) = line {
                    check(&line);
                }
            }
            Ok(None) => return,
            Err(error) => {
                assert_eq!(error.code, Code::MalformedBody, "{error}");
                return;
            }
        }
    }
}

/// Reads the query of a URL as every route does. It is refused as a parameter that is wrong.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let wrong = |error: &Error| assert!(matches!(error.code, Code::InvalidParameter | Code::InvalidCursor), "{error}");
    let parsed = || Query::parse(Some(text));
    let mut query = match parsed() {
        Ok(query) => query,
        Err(error) => return wrong(&error),
    };
    let _ = query.consistency().inspect_err(wrong);
    for name in ["after", "limit", "wait"] {
        let _ = query.number(name).inspect_err(wrong);
    }
    let _ = query.flag("count").inspect_err(wrong);
    let left = query.rest();
    assert!(
        left.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "a parameter is there twice"
    );
    if let Ok(mut query) = parsed()
        && let Err(error) = records::list_query(&mut query)
    {
        wrong(&error);
    }
}

/// Reads a text as every kind of identifier. One that is taken is shown as it came, but for the letters of an id.
pub fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(slug) = text.parse::<Slug>() {
        assert_eq!(slug.to_string(), text);
        assert!(text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.to_string(), text);
        assert!(text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    }
    if let Ok(id) = text.parse::<Id>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    for method in [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ] {
        if let Ok(found) = table::find(&method, text) {
            for part in [found.tenant, found.first, found.second] {
                assert!(!part.contains('/') && text.contains(part));
            }
        }
    }
}

/// Reads bytes as the values of the headers that mean something, and as the head of a request that is sent on.
pub fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let names = [
        AUTHORIZATION,
        IF_MATCH,
        CONTENT_TYPE,
        CONNECTION,
        REQUEST_ID,
        TRACEPARENT,
        HeaderName::from_static("cloudnest-leader"),
        HeaderName::from_static("keep-alive"),
    ];
    for line in data.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(&names[usize::from(*name) % names.len()], value);
        }
    }
    if let Ok(token) = gate::bearer(&headers) {
        assert!(!token.is_empty() && token.trim() == token);
    }
    let _ = gate::is_operators(&headers);
    if let Ok(Some(version)) = gate::if_match(&headers) {
        let sent = headers
            .get(IF_MATCH)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        assert!(
            sent.contains(&version.to_string()) || sent.contains('0'),
            "{sent:?} is not {version}"
        );
    }
    let wanted = ["application/json", "text/csv"];
    if let Ok(media_type) = check_media_type(&headers, &wanted) {
        assert!(wanted.contains(&media_type));
    }
    let trace = Trace::of(&headers);
    assert!(!trace.request_id().is_empty() && matches!(trace.trace_id().len(), 0 | 32));
    forward::strip(&mut headers);
    assert!(!headers.contains_key(CONNECTION) && !headers.contains_key("keep-alive"));
}

/// What another node says about requests: refused, or the same when it is read, written and read again.
pub fn forwarded(data: &[u8]) {
    let mut arrived = BytesMut::from(data);
    while let Ok(Some(frame)) = Frame::take(&mut arrived) {
        let Some(written) = frame.written() else { continue };
        let mut again: BytesMut = written.into_iter().flatten().collect();
        let read = Frame::take(&mut again).unwrap_or_else(|error| panic!("{error}: {frame:?}"));
        assert_eq!(read.map(|read| format!("{read:?}")), Some(format!("{frame:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Runs a target over its seeds, so that all of it is held without a fuzzer too.
    fn seeds(target: &str, run: impl Fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus-seed").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&seeds).expect("the seeds of the target") {
            let path = entry.expect("a seed").path();
            eprintln!("{}", path.display());
            run(&std::fs::read(&path).expect("a seed"));
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
    }

    #[test]
    fn every_target_holds_over_its_seeds() {
        seeds("body", body);
        seeds("csv", csv);
        seeds("lines", lines);
        seeds("query", query);
        seeds("ids", ids);
        seeds("headers", headers);
        seeds("forwarded", forwarded);
    }
}
