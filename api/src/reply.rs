//! Replies: one buffer for most, a stream of lines for some, another node's body for those that were forwarded.
//!
//! A JSON body is written straight into the buffer that goes to the socket, and hyper sends it together with the head.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::compress::Gzip;
use crate::error::{Code, Error, Result};
use crate::forward::ForwardedBody;
use crate::lines::Line;
use crate::problem::{MEDIA_TYPE, Problem};

/// Most lines that are joined into one piece of a reply.
const LINES_A_PIECE: usize = 64;
/// What a JSON body's buffer starts with, in bytes: a record fits.
const JSON_BYTES: usize = 768;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const PROBLEM: HeaderValue = HeaderValue::from_static(MEDIA_TYPE);
const POSITION: HeaderName = HeaderName::from_static("cloudnest-position");
/// On replies between nodes: the leader's number, or `none`.
pub(crate) const LEADER: HeaderName = HeaderName::from_static("cloudnest-leader");
/// On replies between nodes, beside [`LEADER`]: the request may have had an effect.
pub(crate) const DOUBT: HeaderName = HeaderName::from_static("cloudnest-doubt");

/// A reply with its head.
pub(crate) type Reply = Response<ReplyBody>;

/// The body of a reply.
pub(crate) enum ReplyBody {
    /// Nothing.
    Empty,
    /// All of it.
    Full(Bytes),
    /// Lines as they come.
    Lines(Lines),
    /// Bytes as they come; an error breaks the body off.
    Pieces(mpsc::Receiver<Line>),
    /// The body of another node's reply.
    Forwarded(Box<ForwardedBody>),
    /// Any of these, compressed.
    Gzip(Box<Gzip>),
}

/// Lines that the service writes while the reply is sent.
pub(crate) struct Lines {
    first: Option<Line>,
    rest: mpsc::Receiver<Line>,
    buffer: Vec<Line>,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(first: Option<Line>, rest: mpsc::Receiver<Line>) -> Self {
        Self {
            first,
            rest,
            buffer: Vec::new(),
            ended: false,
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut lines = std::mem::take(&mut self.buffer);
        if let Some(first) = self.first.take() {
            lines.push(first);
        } else {
            match self.rest.poll_recv_many(cx, &mut lines, LINES_A_PIECE) {
                Poll::Pending => {
                    self.buffer = lines;
                    return Poll::Pending;
                }
                Poll::Ready(0) => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(_) => {}
            }
        }
        let mut piece = BytesMut::new();
        for line in lines.drain(..) {
            match line {
                Ok(line) => push_line(&mut piece, &line),
                Err(error) => {
                    // The status is out already: the stream's last line says that it failed.
                    push_line(&mut piece, &Problem::of(&error).to_json());
                    self.ended = true;
                    self.rest.close();
                    break;
                }
            }
        }
        self.buffer = lines;
        self.buffer.clear();
        Poll::Ready(Some(piece.freeze()))
    }
}

fn push_line(piece: &mut BytesMut, line: &[u8]) {
    piece.extend_from_slice(line);
    if line.last() != Some(&b'\n') {
        piece.extend_from_slice(b"\n");
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::replace(this, Self::Empty) {
                Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Lines(lines) => lines.poll_piece(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Self::Pieces(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(|error| io::Error::other(error.detail)))),
            Self::Forwarded(body) => Pin::new(body.as_mut()).poll_frame(cx),
            Self::Gzip(body) => body.poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Lines(_) | Self::Pieces(_) => false,
            Self::Forwarded(body) => body.is_end_stream(),
            Self::Gzip(body) => body.is_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Lines(_) | Self::Pieces(_) | Self::Gzip(_) => SizeHint::default(),
            Self::Forwarded(body) => body.size_hint(),
        }
    }
}

/// A reply without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(ReplyBody::Empty);
    *reply.status_mut() = status;
    reply
}

/// A reply with a body of a media type.
pub(crate) fn full(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(ReplyBody::Full(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, media_type);
    reply
}

/// A reply with a JSON body.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Result<Reply> {
    let mut buffer = Vec::with_capacity(JSON_BYTES);
    match serde_json::to_writer(&mut buffer, body) {
        Ok(()) => Ok(full(status, JSON, buffer)),
        Err(error) => Err(Error::new(Code::Internal, format!("write a reply as JSON: {error}")).unknown()),
    }
}

/// JSON with a member that is null where the body leaves it out: a secret is shown once, and a retry hears that it was.
pub(crate) fn json_once<T: Serialize>(status: StatusCode, body: &T, member: &str) -> Result<Reply> {
    let mut value = serde_json::to_value(body)
        .map_err(|error| Error::new(Code::Internal, format!("write a reply as JSON: {error}")).unknown())?;
    if let Some(members) = value.as_object_mut() {
        members.entry(member).or_insert(serde_json::Value::Null);
    }
    json(status, &value)
}

/// A stream of lines.
pub(crate) fn lines(media_type: HeaderValue, lines: Lines) -> Reply {
    let mut reply = Response::new(ReplyBody::Lines(lines));
    reply.headers_mut().insert(CONTENT_TYPE, media_type);
    reply
}

/// A stream of bytes.
pub(crate) fn pieces(media_type: HeaderValue, pieces: mpsc::Receiver<Line>) -> Reply {
    let mut reply = Response::new(ReplyBody::Pieces(pieces));
    reply.headers_mut().insert(CONTENT_TYPE, media_type);
    reply
}

/// What an error is answered with.
pub(crate) fn problem(error: &Error) -> Reply {
    let problem = Problem::of(error);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = full(status, PROBLEM, problem.to_json());
    let headers = reply.headers_mut();
    let crowded = (error.code == Code::TooManyRequests).then_some(std::time::Duration::from_secs(1));
    if let Some(after) = error.retry_after.or(crowded) {
        // Whole seconds, rounded up: too early would be another refusal.
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64),
        );
    }
    match error.code {
        Code::Unauthenticated => {
            headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Code::UnsupportedMediaType => {
            // RFC 9110, 15.5.16: the reason may be the body's encoding.
            headers.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Code::RequestTimeout => {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        Code::NotLeader => {
            let leader = error
                .leader
                .map_or(HeaderValue::from_static("none"), |leader| HeaderValue::from(leader.0));
            headers.insert(LEADER, leader);
            if error.outcome == crate::error::Outcome::Unknown {
                headers.insert(DOUBT, HeaderValue::from_static("1"));
            }
        }
        _ => {}
    }
    if let Some(elsewhere) = &error.elsewhere {
        let pairs = [
            ("cloudnest-region", &elsewhere.region),
            ("cloudnest-endpoint", &elsewhere.endpoint),
        ];
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
    reply
}

/// Another node's problem, when an earlier attempt of the same request may have had an effect.
pub(crate) fn doubted(mut reply: Reply) -> Reply {
    if let ReplyBody::Full(body) = reply.body()
        && let Ok(mut problem) = serde_json::from_slice::<Problem>(body)
    {
        problem.outcome = crate::error::Outcome::Unknown;
        reply.headers_mut().remove(http::header::CONTENT_LENGTH);
        *reply.body_mut() = ReplyBody::Full(problem.to_json().into());
    }
    reply
}

/// Headers that replies about tenants and records carry.
pub(crate) trait Marks: Sized {
    /// The position that the reply reflects.
    fn at(self, position: u64) -> Self;
    /// The version of what the reply carries.
    fn tagged(self, version: u64) -> Self;
    /// Where the new thing is.
    fn located(self, path: String) -> Self;
}

impl Marks for Reply {
    fn at(mut self, position: u64) -> Self {
        self.headers_mut().insert(POSITION, HeaderValue::from(position));
        self
    }

    fn tagged(mut self, version: u64) -> Self {
        if let Ok(tag) = HeaderValue::from_maybe_shared(Bytes::from(format!("\"{version}\""))) {
            self.headers_mut().insert(ETAG, tag);
        }
        self
    }

    fn located(mut self, path: String) -> Self {
        if let Ok(path) = HeaderValue::from_maybe_shared(Bytes::from(path)) {
            self.headers_mut().insert(LOCATION, path);
        }
        self
    }
}
