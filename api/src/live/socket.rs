//! One WebSocket: its buffers, and what happens when its client does not keep up.
//!
//! What is sent goes into one buffer of a few KiB and from there to the connection. Where a write has waited for too long, the client is
//! slow: the caller stops, and has it told to resume with what time is left.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, Utf8Bytes};

use super::end::End;
use crate::limits::LIVE_BUFFER_BYTES;

/// How long a client may take to answer the end.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The client takes what it is sent too slowly.
    Slow,
    /// The connection is gone.
    Gone,
}

/// What came from a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A message of text.
    Text(Utf8Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// A sign of life.
    Alive,
    /// It breaks the protocol, or its message is too large.
    Wrong(String),
    /// The end.
    Gone,
}

/// See the module.
pub(super) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// How long a write may wait.
    slow: Duration,
    /// How long a client may take for its farewell.
    idle: Duration,
}

impl Socket {
    /// `most`: the largest message of a client, in bytes.
    pub(super) async fn new(upgraded: Upgraded, most: usize, slow: Duration, idle: Duration) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(LIVE_BUFFER_BYTES)
            .write_buffer_size(LIVE_BUFFER_BYTES)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        Self { stream, slow, idle }
    }

    /// What comes next. Nothing is lost where this is dropped before it returns.
    pub(super) async fn next(&mut self) -> Heard {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => Heard::Text(text),
            Some(Ok(Message::Binary(bytes))) => Heard::Binary(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::Alive,
            Some(Err(error @ (SocketError::Capacity(_) | SocketError::Protocol(_) | SocketError::Utf8(_)))) => {
                Heard::Wrong(error.to_string())
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Heard::Gone,
        }
    }

    /// Puts a message of text into the buffer.
    pub(super) async fn feed(&mut self, text: Utf8Bytes) -> Result<(), Unsent> {
        let fed = tokio::time::timeout(self.slow, self.stream.feed(Message::Text(text))).await;
        unsent(fed)
    }

    /// Puts a message of bytes into the buffer.
    pub(super) async fn feed_bytes(&mut self, bytes: Bytes) -> Result<(), Unsent> {
        let fed = tokio::time::timeout(self.slow, self.stream.feed(Message::Binary(bytes))).await;
        unsent(fed)
    }

    /// Sends what is in the buffer.
    pub(super) async fn flush(&mut self) -> Result<(), Unsent> {
        let flushed = tokio::time::timeout(self.slow, self.stream.flush()).await;
        unsent(flushed)
    }

    /// Sends a message.
    pub(super) async fn say(&mut self, message: &impl Serialize) -> Result<(), Unsent> {
        self.feed(json(message)).await?;
        self.flush().await
    }

    /// Asks the client for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), Unsent> {
        let sent = tokio::time::timeout(self.slow, self.stream.send(Message::Ping(Bytes::new()))).await;
        unsent(sent)
    }

    /// Ends without a word but the reason: what the client has to do, it does by itself.
    pub(super) async fn close(self, end: End) {
        match end {
            End::Gone => {}
            End::Resume => self.end(None, CloseCode::Restart, "go on with another connection").await,
            End::Slow => self.end(None, CloseCode::Again, "too slow").await,
            End::Refused(error) => {
                tracing::debug!(%error, "a connection to a document is refused");
                self.end(None, CloseCode::Policy, error.code.title()).await;
            }
        }
    }

    /// Says one thing more, and ends.
    pub(super) async fn end(mut self, last: Option<Utf8Bytes>, code: CloseCode, reason: &'static str) {
        let farewell = async {
            if let Some(last) = last {
                self.stream.send(Message::Text(last)).await?;
            }
            let frame = CloseFrame {
                code,
                reason: Utf8Bytes::from_static(reason),
            };
            self.stream.close(Some(frame)).await
        };
        match tokio::time::timeout(self.idle, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "end a WebSocket"),
            Err(_) => return,
        }
        // Closed before the client has answered, what it has sent meanwhile would break what it was told.
        let answered = async { while let Some(Ok(_)) = self.stream.next().await {} };
        let _ = tokio::time::timeout(GOODBYE, answered).await;
    }
}

fn unsent(result: Result<Result<(), SocketError>, tokio::time::error::Elapsed>) -> Result<(), Unsent> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Unsent::Gone),
        Err(_) => Err(Unsent::Slow),
    }
}

/// A message as text.
pub(super) fn json(message: &impl Serialize) -> Utf8Bytes {
    // Structs of texts and numbers cannot fail to serialise.
    serde_json::to_string(message).unwrap_or_default().into()
}
