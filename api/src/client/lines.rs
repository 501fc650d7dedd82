//! A reply that is a stream of lines.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::ClientError;
use super::pool::Exchange;
use crate::problem::Problem;

/// Longest line of a reply, in bytes.
const LINE_BYTES: usize = 8 * 1024 * 1024;

/// Lines of a reply as they arrive, without line breaks; empty lines, which only say that the server is alive, are left out.
pub struct Lines {
    exchange: Exchange,
    rest: BytesMut,
    searched: usize,
    ended: bool,
    /// How long nothing may arrive, not even a sign of life; none: for ever.
    silence: Option<Duration>,
}

impl Lines {
    pub(super) fn new(exchange: Exchange) -> Self {
        Self {
            exchange,
            rest: BytesMut::new(),
            searched: 0,
            ended: false,
            silence: None,
        }
    }

    /// The same, failing where nothing arrives for so long.
    pub(super) fn with_silence(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
        self
    }

    /// The headers of the reply.
    pub fn headers(&self) -> &http::HeaderMap {
        self.exchange.response.headers()
    }

    /// The next line; none at the end. A line that is a problem is an error: the stream failed on the way.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            while let Some(line) = self.buffered() {
                if !line.is_empty() {
                    return checked(line).map(Some);
                }
            }
            if self.ended {
                let last = self.rest.split().freeze();
                return if last.is_empty() { Ok(None) } else { checked(last).map(Some) };
            }
            if self.rest.len() > LINE_BYTES {
                return Err(ClientError::unanswered(format!(
                    "a line of the reply is longer than {LINE_BYTES} bytes"
                )));
            }
            match self.piece().await? {
                Some(piece) => self.rest.extend_from_slice(&piece),
                None => self.ended = true,
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Some(silence) = self.silence else {
            return self.exchange.piece().await;
        };
        match tokio::time::timeout(silence, self.exchange.piece()).await {
            Ok(piece) => piece,
            Err(_) => Err(ClientError::unanswered(format!("the server was silent for {silence:?}"))),
        }
    }

    fn buffered(&mut self) -> Option<Bytes> {
        match self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(found) => {
                let line = self.rest.split_to(self.searched + found).freeze();
                self.rest.advance(1);
                self.searched = 0;
                Some(line)
            }
            None => {
                self.searched = self.rest.len();
                None
            }
        }
    }
}

/// A line, unless it is the problem that ended the stream.
fn checked(line: Bytes) -> Result<Bytes, ClientError> {
    if line.starts_with(br#"{"type":"urn:cloudnest:problem:"#)
        && let Ok(problem) = serde_json::from_slice::<Problem>(&line)
    {
        return Err(ClientError::Problem(Box::new(problem)));
    }
    Ok(line)
}
