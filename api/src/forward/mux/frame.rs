//! Frames: a length of four bytes, a kind, the number of a request, and what the kind says. Numbers are big-endian.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, request, response};

use super::{FRAME_BYTES, PIECE_BYTES};

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const PIECE: u8 = 3;
const BROKEN: u8 = 4;
const LEAVING: u8 = 5;

/// Where the number of a frame stands.
const NUMBER_AT: usize = 5;

/// What one side says to the other about a request.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A request, whole.
    Request(u64, Box<request::Parts>, Bytes),
    /// The head of a reply and the first piece of its body; whether it is the last.
    Reply(u64, Box<response::Parts>, Bytes, bool),
    /// Another piece; whether it is the last.
    Piece(u64, Bytes, bool),
    /// There will be no reply, or no more of it.
    Broken(u64),
    /// The last request that was taken: those after it had no effect.
    Leaving(u64),
}

/// A request as it is written. It gets its number when it is: [`set_number`]. None: something of it is too long.
pub(super) fn request(head: &http::Request<()>, body: &[u8]) -> Option<BytesMut> {
    let path = head.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let mut frame = begin(REQUEST, 0, path.len() + body.len());
    put_short(&mut frame, head.method().as_str().as_bytes())?;
    put_long(&mut frame, path.as_bytes())?;
    put_headers(&mut frame, head.headers())?;
    frame.put_slice(body);
    end(frame)
}

/// A reply as it is written, in one frame or more. None: its head is too long.
pub(super) fn reply(number: u64, head: &response::Parts, body: &Bytes) -> Option<Vec<BytesMut>> {
    let mut pieces = body.chunks(PIECE_BYTES);
    let first = pieces.next().unwrap_or_default();
    let left = pieces.len();
    let mut frame = begin(REPLY, number, first.len());
    frame.put_u16(head.status.as_u16());
    frame.put_u8(u8::from(left == 0));
    put_headers(&mut frame, &head.headers)?;
    frame.put_slice(first);
    let mut frames = vec![end(frame)?];
    for (at, piece) in pieces.enumerate() {
        let mut frame = begin(PIECE, number, piece.len());
        frame.put_u8(u8::from(at + 1 == left));
        frame.put_slice(piece);
        frames.push(end(frame)?);
    }
    Some(frames)
}

pub(super) fn broken(number: u64) -> BytesMut {
    end(begin(BROKEN, number, 0)).unwrap_or_default()
}

pub(super) fn leaving(number: u64) -> BytesMut {
    end(begin(LEAVING, number, 0)).unwrap_or_default()
}

/// Gives a frame its number.
pub(super) fn set_number(frame: &mut [u8], number: u64) {
    frame[NUMBER_AT..NUMBER_AT + 8].copy_from_slice(&number.to_be_bytes());
}

fn begin(kind: u8, number: u64, bytes: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(bytes + 512);
    frame.put_u32(0);
    frame.put_u8(kind);
    frame.put_u64(number);
    frame
}

/// Writes the length into its place.
fn end(mut frame: BytesMut) -> Option<BytesMut> {
    let length = frame.len() - 4;
    if length > FRAME_BYTES {
        return None;
    }
    frame[..4].copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    Some(frame)
}

fn put_short(frame: &mut BytesMut, bytes: &[u8]) -> Option<()> {
    frame.put_u8(bytes.len().try_into().ok()?);
    frame.put_slice(bytes);
    Some(())
}

fn put_long(frame: &mut BytesMut, bytes: &[u8]) -> Option<()> {
    frame.put_u16(bytes.len().try_into().ok()?);
    frame.put_slice(bytes);
    Some(())
}

fn put_headers(frame: &mut BytesMut, headers: &HeaderMap) -> Option<()> {
    frame.put_u8(headers.len().try_into().ok()?);
    for (name, value) in headers {
        put_short(frame, name.as_str().as_bytes())?;
        put_long(frame, value.as_bytes())?;
    }
    Some(())
}

impl Frame {
    /// The first whole frame of what has arrived, which is taken out; none: more has to come.
    pub(crate) fn take(arrived: &mut BytesMut) -> io::Result<Option<Self>> {
        let Some(length) = arrived.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES {
            return Err(malformed("a frame is too long"));
        }
        if arrived.len() < 4 + length {
            arrived.reserve(4 + length - arrived.len());
            return Ok(None);
        }
        arrived.advance(4);
        Self::read(arrived.split_to(length).freeze()).map(Some)
    }

    /// The frames that say the same; none: it is not one that begins anything.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn written(&self) -> Option<Vec<BytesMut>> {
        match self {
            Self::Request(number, head, body) => {
                let mut frame = request(&http::Request::from_parts((**head).clone(), ()), body)?;
                set_number(&mut frame, *number);
                Some(vec![frame])
            }
            Self::Reply(number, head, body, true) => reply(*number, head, body),
            Self::Broken(number) => Some(vec![broken(*number)]),
            Self::Leaving(number) => Some(vec![leaving(*number)]),
            Self::Reply(..) | Self::Piece(..) => None,
        }
    }

    fn read(mut bytes: Bytes) -> io::Result<Self> {
        let short = |_| malformed("a frame is too short");
        let kind = bytes.try_get_u8().map_err(short)?;
        let number = bytes.try_get_u64().map_err(short)?;
        match kind {
            REQUEST => {
                let method = Method::from_bytes(&short_bytes(&mut bytes)?).map_err(|_| malformed("a method"))?;
                let path = PathAndQuery::from_maybe_shared(long_bytes(&mut bytes)?).map_err(|_| malformed("a path"))?;
                let headers = headers(&mut bytes)?;
                let mut head = http::Request::new(()).into_parts().0;
                (head.method, head.uri, head.headers) = (method, path.into(), headers);
                Ok(Self::Request(number, Box::new(head), bytes))
            }
            REPLY => {
                let status = bytes.try_get_u16().map_err(short)?;
                let status = StatusCode::from_u16(status).map_err(|_| malformed("a status"))?;
                let is_last = bytes.try_get_u8().map_err(short)? != 0;
                let headers = headers(&mut bytes)?;
                let mut head = http::Response::new(()).into_parts().0;
                (head.status, head.headers) = (status, headers);
                Ok(Self::Reply(number, Box::new(head), bytes, is_last))
            }
            PIECE => {
                let is_last = bytes.try_get_u8().map_err(short)? != 0;
                Ok(Self::Piece(number, bytes, is_last))
            }
            BROKEN => Ok(Self::Broken(number)),
            LEAVING => Ok(Self::Leaving(number)),
            _ => Err(malformed("a frame of an unknown kind")),
        }
    }
}

fn short_bytes(bytes: &mut Bytes) -> io::Result<Bytes> {
    let length = bytes.try_get_u8().map_err(|_| malformed("a frame is too short"))?;
    cut(bytes, length.into())
}

fn long_bytes(bytes: &mut Bytes) -> io::Result<Bytes> {
    let length = bytes.try_get_u16().map_err(|_| malformed("a frame is too short"))?;
    cut(bytes, length.into())
}

fn cut(bytes: &mut Bytes, length: usize) -> io::Result<Bytes> {
    if bytes.len() < length {
        return Err(malformed("a frame is too short"));
    }
    Ok(bytes.split_to(length))
}

fn headers(bytes: &mut Bytes) -> io::Result<HeaderMap> {
    let count = bytes.try_get_u8().map_err(|_| malformed("a frame is too short"))?;
    let mut headers = HeaderMap::with_capacity(count.into());
    for _ in 0..count {
        let name = HeaderName::from_bytes(&short_bytes(bytes)?).map_err(|_| malformed("a header's name"))?;
        let value = HeaderValue::from_maybe_shared(long_bytes(bytes)?).map_err(|_| malformed("a header's value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("between nodes: {what}"))
}
