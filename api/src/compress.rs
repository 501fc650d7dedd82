//! Replies compressed with gzip, for clients that ask for it.
//!
//! Only what gains by it: texts from a kilobyte on. What is there as a whole is compressed as a whole; what streams is compressed
//! piece by piece, and what has been written goes out whenever the stream pauses, so that a follower of events is not kept waiting.
//! Server-sent events are left alone: proxies and browsers that buffer compressed streams would hold them up.
//!
//! Replies that carry a new secret are never compressed: a reply's length must not tell what a secret and something that a stranger
//! chose have in common (BREACH). Elsewhere a token comes in a header of the request, which no browser adds by itself, so that a
//! stranger cannot have it asked for what the token may read.
//!
//! The ETag stays: it is the version of a record, not of the bytes that it is written with.
//!
//! Nodes send each other plain replies; the one that the client speaks to compresses.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::{Body, Frame};

use crate::ARCHIVE;
use crate::limits::{COMPRESS_BYTES, COMPRESS_WHOLE_BYTES};
use crate::reply::{Reply, ReplyBody};
use crate::routes::table::Endpoint;

/// What is compressed before others have their turn, in bytes.
const PIECE_BYTES: usize = 32 * 1024;
/// Fast: what goes over a network within a data centre is not worth more.
const LEVEL: Compression = Compression::fast();

/// Compresses a reply, if it gains by it and the client takes it.
pub(crate) fn fit(method: &Method, asked: &HeaderMap, endpoint: Option<Endpoint>, reply: Reply) -> Reply {
    if *method == Method::HEAD || !gains(endpoint, &reply) {
        return reply;
    }
    let (mut head, body) = reply.into_parts();
    head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    if !takes_gzip(asked) {
        return Reply::from_parts(head, body);
    }
    let body = match body {
        ReplyBody::Full(whole) if whole.len() <= COMPRESS_WHOLE_BYTES => match compressed(&whole) {
            Some(smaller) => ReplyBody::Full(smaller),
            None => return Reply::from_parts(head, ReplyBody::Full(whole)),
        },
        body => ReplyBody::Gzip(Box::new(Gzip::new(body))),
    };
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.remove(CONTENT_LENGTH);
    Reply::from_parts(head, body)
}

fn gains(endpoint: Option<Endpoint>, reply: &Reply) -> bool {
    let small = reply.body().size_hint().exact().is_some_and(|size| size < COMPRESS_BYTES);
    let secret = matches!(
        endpoint,
        Some(Endpoint::TokenCreate | Endpoint::TenantCreate | Endpoint::TenantReceive)
    );
    let bodiless = matches!(reply.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let kind = reply
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    // What an archive holds is compressed already.
    let text = (kind.starts_with("application/") && kind != ARCHIVE)
        || (kind.starts_with("text/") && !kind.starts_with("text/event-stream"));
    // A part of a content, and its length, are of the bytes as they are.
    let content = endpoint == Some(Endpoint::FileContent);
    !small && !secret && !content && !bodiless && text && !reply.headers().contains_key(CONTENT_ENCODING)
}

/// Whether a client takes gzip: it says so, and not with a weight of nothing.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut named = None;
    let mut any = false;
    for entry in values.flat_map(|value| value.split(',')) {
        let (coding, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = parameters.trim().strip_prefix("q=").map(str::trim);
        let wanted = weight.is_none_or(|weight| weight.bytes().any(|byte| (b'1'..=b'9').contains(&byte)));
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => named = Some(wanted),
            "*" => any = wanted,
            _ => {}
        }
    }
    named.unwrap_or(any)
}

/// A whole body, compressed; none: that would not make it smaller.
fn compressed(whole: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(whole.len() / 4), LEVEL);
    let bytes = encoder.write_all(whole).and_then(|()| encoder.finish()).ok()?;
    (bytes.len() < whole.len()).then(|| bytes.into())
}

/// A body that is compressed while it is sent.
pub(crate) struct Gzip {
    body: ReplyBody,
    /// What is left of the last piece of the body.
    rest: Bytes,
    /// None: the end has been written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Something was written that has not come out.
    held: bool,
}

impl Gzip {
    fn new(body: ReplyBody) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            encoder: Some(GzEncoder::new(Vec::new(), LEVEL)),
            held: false,
        }
    }

    /// The next piece that comes out.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(encoder) = &mut self.encoder else {
            return Poll::Ready(None);
        };
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    let last = self.encoder.take().map(GzEncoder::finish).transpose()?.unwrap_or_default();
                    return Poll::Ready(Some(Ok(Frame::data(last.into()))));
                }
                Poll::Pending if self.held => {
                    // The stream pauses: what there is goes out.
                    encoder.flush()?;
                    self.held = false;
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(encoder.get_mut()).into()))));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        encoder.write_all(&piece)?;
        self.held |= !piece.is_empty();
        let out = std::mem::take(encoder.get_mut());
        if out.is_empty() {
            // Others have their turn, however much goes in before anything comes out.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(out.into()))))
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.encoder.is_none()
    }
}
