//! Streams between the front and the service: of lines, and of bytes.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// Lines of NDJSON that the service writes while the reply is sent. The channel is small: whoever sends waits for the client.
/// A closed channel means that the client has gone.
pub type LineSender = mpsc::Sender<Line>;
/// A line, or what ends them. Small: a stream keeps room for many of them.
pub type Line = std::result::Result<Bytes, Box<Error>>;

/// Lines of an import as they arrive: without the line break, empty lines left out, each with its number from 1. An error
/// says why a line cannot be read (too long, bad UTF-8); the stream then goes on with the next. `None`: the end of the body.
/// An `Err` of the outer result: the client's connection broke; nothing more comes.
#[async_trait]
pub trait LineSource: Send {
    /// The next line.
    async fn next(&mut self) -> Result<Option<(u64, Result<Bytes>)>>;
    /// Whether all values are texts, to be read by the types of their fields.
    fn are_texts(&self) -> bool {
        false
    }
}

/// A body as it arrives, in pieces. An error: the client's connection broke, or is silent; nothing more comes.
#[async_trait]
pub trait ByteSource: Send {
    /// The next piece; none at the end of the body.
    async fn next(&mut self) -> Result<Option<Bytes>>;
}

/// A stream of bytes to another node.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A [`Stream`] of some kind.
pub type BoxStream = Box<dyn Stream>;
