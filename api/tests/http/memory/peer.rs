//! What another node does with a stream to it.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What nodes say first over a stream that many requests share. Other versions know these bytes.
const PREFACE: &[u8] = b"\0cloudnest requests 1\n";

/// What a dialled node does.
#[derive(Clone)]
pub(crate) enum Peer {
    /// It serves.
    Serves(Server),
    /// It serves as a node does that knows nothing of streams that requests share.
    Older(Server),
    /// It refuses the connection.
    Refuses,
    /// It reads a request and then breaks the connection, the given number of times; then it serves.
    Breaks(Arc<AtomicU64>, Server),
    /// It reads requests, counts what it has read, and never answers: a paused process.
    Silent(Arc<AtomicU64>),
}

impl Peer {
    pub(super) async fn takes(self, mut stream: DuplexStream) {
        match self {
            Self::Serves(server) => server.serve_forwarded(Box::new(stream)).await,
            Self::Older(server) => {
                let mut first = [0];
                if stream.read_exact(&mut first).await.is_ok() && first[0] == PREFACE[0] {
                    let refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    return stream.write_all(refusal).await.expect("answered");
                }
                let (reads, writes) = tokio::io::split(stream);
                let stream = tokio::io::join(Cursor::new(first).chain(reads), writes);
                server.serve_forwarded(Box::new(stream)).await;
            }
            Self::Refuses => {}
            Self::Breaks(left, server) => {
                let less = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                if less.is_err() {
                    return server.serve_forwarded(Box::new(stream)).await;
                }
                greet(&mut stream).await;
                let _ = stream.read(&mut [0; 1_024]).await;
            }
            Self::Silent(read) => {
                greet(&mut stream).await;
                while stream.read(&mut [0; 1_024]).await.is_ok_and(|count| count > 0) {
                    read.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
}

/// Says that it takes many requests, to who asks for that.
async fn greet(stream: &mut DuplexStream) {
    let mut heard = [0; PREFACE.len()];
    if stream.read_exact(&mut heard).await.is_ok() && heard == PREFACE {
        stream.write_all(PREFACE).await.expect("greeted");
    }
}
