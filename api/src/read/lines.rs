//! The lines of a streamed body, as they arrive.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::error::{Code, Error, Result};
use crate::inflate::Pieces;
use crate::limits::IMPORT_LINE_BYTES;
use crate::service::LineSource;

/// The lines of a streamed body.
pub(crate) struct BodyLines {
    /// What is still to come; none: nothing.
    pieces: Option<Pieces>,
    /// What has arrived and is not given out yet.
    rest: BytesMut,
    /// How much of `rest` is known to hold no line break.
    searched: usize,
    /// Whether the line that `rest` goes on with is too long and is being skipped.
    skipping: bool,
    number: u64,
}

impl BodyLines {
    pub(crate) fn new(pieces: Pieces) -> Self {
        Self {
            pieces: Some(pieces),
            rest: BytesMut::new(),
            searched: 0,
            skipping: false,
            number: 0,
        }
    }

    /// The next line that is there already, with its number; empty lines are counted and left out.
    fn buffered(&mut self) -> Option<(u64, Result<Bytes>)> {
        loop {
            let Some(found) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.rest.len();
                if self.rest.len() > IMPORT_LINE_BYTES {
                    self.skipping = true;
                    self.rest.clear();
                    self.searched = 0;
                }
                return None;
            };
            let mut line = self.rest.split_to(self.searched + found + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if let Some(line) = self.numbered(line.freeze()) {
                return Some(line);
            }
        }
    }

    fn numbered(&mut self, mut line: Bytes) -> Option<(u64, Result<Bytes>)> {
        self.number += 1;
        if std::mem::take(&mut self.skipping) || line.len() > IMPORT_LINE_BYTES {
            let error = Error::new(Code::TooLarge, format!("the line is longer than {IMPORT_LINE_BYTES} bytes"));
            return Some((self.number, Err(error)));
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return None;
        }
        let read = match std::str::from_utf8(&line) {
            Ok(_) => Ok(line),
            Err(_) => Err(Error::new(Code::MalformedBody, "the line is not UTF-8")),
        };
        Some((self.number, read))
    }
}

#[async_trait]
impl LineSource for BodyLines {
    async fn next(&mut self) -> Result<Option<(u64, Result<Bytes>)>> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            let Some(pieces) = &mut self.pieces else {
                // The last line needs no line break.
                let last = std::mem::take(&mut self.rest).freeze();
                self.searched = 0;
                let nothing = last.is_empty() && !self.skipping;
                return Ok(if nothing { None } else { self.numbered(last) });
            };
            match pieces.next().await? {
                Some(data) => self.rest.extend_from_slice(&data),
                None => self.pieces = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::read::RequestBody;

    fn source(text: &[u8]) -> BodyLines {
        let body = RequestBody::Kept(Bytes::copy_from_slice(text));
        BodyLines::new(Pieces::new(body, false, Duration::from_secs(1)))
    }

    #[tokio::test]
    async fn lines_keep_their_numbers() {
        let mut lines = source(b"{}\r\n\n \n{\"a\":1}\n\xff\nlast");
        let mut seen = Vec::new();
        while let Some((number, line)) = lines.next().await.expect("a whole body") {
            seen.push((
                number,
                line.map(|line| String::from_utf8_lossy(&line).into_owned())
                    .map_err(|error| error.code),
            ));
        }
        let expected = vec![
            (1, Ok("{}".to_owned())),
            (4, Ok("{\"a\":1}".to_owned())),
            (5, Err(Code::MalformedBody)),
            (6, Ok("last".to_owned())),
        ];
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_does_not_stop_the_next() {
        let mut text = vec![b'x'; IMPORT_LINE_BYTES + 1];
        text.extend_from_slice(b"\nok\n");
        text.extend_from_slice(&vec![b'y'; 2 * IMPORT_LINE_BYTES]);
        let mut lines = source(&text);
        let mut seen = Vec::new();
        while let Some((number, line)) = lines.next().await.expect("a whole body") {
            seen.push((number, line.is_ok()));
        }
        assert_eq!(seen, vec![(1, false), (2, true), (3, false)]);
    }
}
