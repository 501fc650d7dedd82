//! Server-sent events, read as they come: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use rig::http::{ChunkDecoder, Length, Request, find, parse_head};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Following;

/// How long nothing may come before it is tried elsewhere. The platform gives a sign of life every 15 s: it is left much sooner, so that
/// streams are resumed often.
const SILENCE: Duration = Duration::from_secs(4);
/// Bytes that one read asks for.
const READ_BYTES: usize = 16 * 1024;

/// One event of a stream; what it has none of is empty.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame<'a> {
    id: &'a str,
    kind: &'a str,
    data: &'a str,
}

impl Following {
    /// One connection, from where the stream stands until that ends.
    pub(super) async fn server_sent(&mut self, by_header: bool) -> Result<()> {
        let node = self.nodes[self.at];
        let mut stream = timeout(SILENCE, TcpStream::connect(node)).await??;
        stream.write_all(&self.request(by_header)).await?;
        let (mut inbox, mut body) = (Vec::new(), Vec::new());
        let head = loop {
            if let Some(head) = parse_head(&inbox).map_err(broken)? {
                break head;
            }
            fill(&mut stream, &mut inbox).await?;
        };
        if head.status != 200 || head.length != Length::Chunked {
            let code = find(&inbox, b"position_trimmed").map(|_| "position_trimmed");
            if let Some(code) = code {
                self.odd(format!("{code} after {:?}", self.position()));
            }
            return Err(broken(head.status));
        }
        inbox.drain(..head.bytes);
        let mut decoder = ChunkDecoder::default();
        loop {
            let used = decoder.decode(&inbox, &mut body).map_err(broken)?;
            inbox.drain(..used);
            while let Some(end) = find(&body, b"\n\n") {
                let frame: Vec<u8> = body.drain(..end + 2).collect();
                self.take_frame(&frame)?;
            }
            if decoder.is_done() {
                // The node drains, or has the tenant no more: it is told to come back so.
                self.stream.resumes += 1;
                return Ok(());
            }
            fill(&mut stream, &mut inbox).await?;
        }
    }

    fn request(&self, by_header: bool) -> Vec<u8> {
        let (after, slug) = (self.position().unwrap_or(0), &self.workspace.slug);
        let (resume, include) = match by_header {
            true => (String::new(), "include=fields"),
            false => (format!("after={after}"), ""),
        };
        let path = format!("/v1/tenants/{slug}/events?{resume}{include}{}", self.parameters());
        let mut headers = "accept: text/event-stream\r\n".to_owned();
        if by_header {
            headers.push_str(&format!("last-event-id: {after}\r\n"));
        }
        let mut bytes = Vec::new();
        Request {
            method: "GET",
            path: &path,
            token: &self.workspace.token,
            headers: &headers,
            body: b"",
        }
        .write(&mut bytes);
        bytes
    }

    fn take_frame(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(tag) = self.workspace.foreign(bytes) {
            self.controls.foreign(format!("a stream of {}: {tag}", self.workspace.slug));
        }
        let text = std::str::from_utf8(bytes).map_err(broken)?;
        let Some(frame) = frame(text) else { return Ok(()) };
        if frame.kind == "problem" {
            // Such as: the events go on elsewhere.
            self.stream.resumes += 1;
            return Err(broken(frame.data));
        }
        let event: api::body::event::Event = serde_json::from_str(frame.data).map_err(broken)?;
        if frame.id != event.position.to_string() || frame.kind != event.kind {
            self.odd(format!(
                "the event {} of {} was sent as {frame:?}",
                event.position, event.kind
            ));
        }
        self.take(event);
        Ok(())
    }
}

/// What a frame says; none: it is a sign of life.
fn frame(text: &str) -> Option<Frame<'_>> {
    let mut frame = Frame::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", value)) => frame.id = value,
            Some(("event", value)) => frame.kind = value,
            Some(("data", value)) => frame.data = value,
            _ => {}
        }
    }
    (!frame.kind.is_empty() || !frame.data.is_empty()).then_some(frame)
}

async fn fill(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Result<()> {
    inbox.reserve(READ_BYTES);
    match timeout(SILENCE, stream.read_buf(inbox)).await?? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::other(what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_and_a_comment_is_none() {
        let wanted = Frame {
            id: "7",
            kind: "record.created",
            data: "{\"a\": 1}",
        };
        assert_eq!(frame("id: 7\nevent: record.created\ndata: {\"a\": 1}\n\n"), Some(wanted));
        assert_eq!(frame(": nothing new\nid: 7\n\n"), None);
    }
}
