//! Frames of HTTP/2 as a client would never write them (RFC 9113).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{LONG, Running};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field of a head, written out (RFC 7541, 6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        length(&mut bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// A length with a prefix of seven bits (RFC 7541, 5.1).
fn length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).expect("small"));
        return;
    }
    bytes.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).expect("small") | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("small"));
}

/// The head of a request.
pub(super) fn head(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":path", path),
        field(":authority", "x"),
        field("authorization", "Bearer cnt_member"),
    ]
    .concat()
}

/// A connection that writes what it is told to.
pub(super) struct Raw(TcpStream);

impl Raw {
    /// After the preface and the first settings.
    pub(super) async fn open(node: &Running) -> Self {
        let mut stream = TcpStream::connect(node.address).await.expect("a connection");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).await.expect("sent");
        Self(stream)
    }

    /// Writes, without reading what comes meanwhile. An error: the server has had enough.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::time::timeout(LONG, self.0.write_all(bytes))
            .await
            .expect("taken in time")
    }

    /// Reads until the server closes: the kinds of the frames that came.
    pub(super) async fn kinds_until_end(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // An error ends the reading as an end does.
        let _ = tokio::time::timeout(LONG, self.0.read_to_end(&mut bytes))
            .await
            .expect("the server closes in time");
        let mut kinds = Vec::new();
        let mut rest = bytes.as_slice();
        while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            kinds.push(*kind);
            rest = after.get(length..).unwrap_or_default();
        }
        kinds
    }
}
