//! A keep-alive connection.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::parse::{ChunkDecoder, Length, ParseError, parse_head};

/// Bytes that one read asks for.
const READ_BYTES: usize = 16 * 1024;
/// Largest reply, in bytes. Raised: a wrong reply fills memory. Lowered: a page of 500 large records is refused.
const REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Why there is no reply.
#[derive(Debug)]
pub enum ExchangeError {
    /// The connection broke. Whether the request was executed is not known.
    Io(io::Error),
    /// The other side does not speak HTTP/1.1.
    Parse(ParseError),
}

impl std::fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "exchange a request: {error}"),
            Self::Parse(error) => write!(f, "parse a reply: {error}"),
        }
    }
}

impl std::error::Error for ExchangeError {}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ParseError> for ExchangeError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

/// A reply; its slices live until the connection's next exchange.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// Status line and headers.
    pub head: &'a [u8],
    /// The body, its framing taken off.
    pub body: &'a [u8],
    /// Whether the connection can be used again.
    pub keep_alive: bool,
}

impl<'a> Reply<'a> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let lines = self.head.split(|byte| *byte == b'\n').skip(1);
        let mut pairs = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
        pairs
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// One connection: request, reply, request, reply.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes of the reply as they came.
    inbox: Vec<u8>,
    /// The body of a chunked reply.
    body: Vec<u8>,
}

impl Connection {
    /// Connects. There is no delay for small packets.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            inbox: Vec::with_capacity(READ_BYTES),
            body: Vec::new(),
        })
    }

    /// Whether the other side has closed it, or said something that nobody asked for, as far as is known by now.
    pub fn is_closed(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends `request`, which holds one whole request, and reads its reply. After an error, or a future dropped half-way, the
    /// connection is spent.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Reply<'_>, ExchangeError> {
        self.inbox.clear();
        self.body.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(head) = parse_head(&self.inbox)? {
                break head;
            }
            self.fill().await?;
        };
        let body = match head.length {
            Length::Fixed(length) => {
                while self.inbox.len() < head.bytes + length {
                    self.fill().await?;
                }
                &self.inbox[head.bytes..head.bytes + length]
            }
            Length::Chunked => {
                self.read_chunks(head.bytes).await?;
                &self.body[..]
            }
            Length::Close => {
                while self.fill_or_end().await? {}
                &self.inbox[head.bytes..]
            }
        };
        Ok(Reply {
            status: head.status,
            head: &self.inbox[..head.bytes],
            body,
            keep_alive: head.keep_alive,
        })
    }

    async fn read_chunks(&mut self, start: usize) -> Result<(), ExchangeError> {
        let mut decoder = ChunkDecoder::default();
        let mut used = start;
        loop {
            used += decoder.decode(&self.inbox[used..], &mut self.body)?;
            if decoder.is_done() {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.fill_or_end().await? {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection closed inside a reply",
        ))
    }

    async fn fill_or_end(&mut self) -> io::Result<bool> {
        if self.inbox.len() > REPLY_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the reply is too large"));
        }
        self.inbox.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.inbox).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::http::Request;

    /// Answers each request of one connection with the next of `replies`, in pieces of seven bytes, then closes.
    fn serve(replies: Vec<&'static [u8]>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            for reply in replies {
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap() == 0 {
                        return;
                    }
                    seen.push(byte[0]);
                }
                for piece in reply.chunks(7) {
                    stream.write_all(piece).unwrap();
                }
            }
        });
        address
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn get() -> Vec<u8> {
        let mut out = Vec::new();
        Request {
            method: "GET",
            path: "/",
            token: "",
            headers: "",
            body: b"",
        }
        .write(&mut out);
        out
    }

    #[test]
    fn a_connection_carries_replies_of_every_framing() {
        let address = serve(vec![
            b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nETag: \"3\"\r\n\r\nhello world",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nchunks\r\n0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 503 Service Unavailable\r\n\r\nuntil the end",
        ]);
        run(async {
            let mut connection = Connection::open(address).await.unwrap();
            let reply = connection.exchange(&get()).await.unwrap();
            assert_eq!(
                (reply.status, reply.body, reply.header("etag")),
                (200, &b"hello world"[..], Some("\"3\""))
            );
            assert_eq!(connection.exchange(&get()).await.unwrap().body, b"chunks");
            let empty = connection.exchange(&get()).await.unwrap();
            assert_eq!((empty.status, empty.body.len(), empty.keep_alive), (204, 0, true));
            let last = connection.exchange(&get()).await.unwrap();
            assert_eq!((last.status, last.body, last.keep_alive), (503, &b"until the end"[..], false));
        });
    }

    #[test]
    fn a_connection_that_the_other_side_closes_is_seen_to_be_closed() {
        let address = serve(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]);
        run(async {
            let mut connection = Connection::open(address).await.unwrap();
            assert!(!connection.is_closed(), "nothing was asked yet");
            assert!(connection.exchange(&get()).await.unwrap().keep_alive);
            // The server ends after its reply.
            while !connection.is_closed() {
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn a_reply_that_breaks_off_is_an_error() {
        let address = serve(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello"]);
        run(async {
            let mut connection = Connection::open(address).await.unwrap();
            let error = connection.exchange(&get()).await.unwrap_err();
            assert!(matches!(error, ExchangeError::Io(inner) if inner.kind() == io::ErrorKind::UnexpectedEof));
        });
    }
}
