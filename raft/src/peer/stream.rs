//! Byte streams between nodes for the node's user, on the user's own runtime.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{Net, greeting, within};
use crate::NodeId;
use crate::limits::CONNECT_MS;

/// A byte stream to or from another node, authenticated both ways.
pub struct PeerStream(TlsStream<TcpStream>);

impl std::fmt::Debug for PeerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PeerStream")
    }
}

/// Another node wants a byte stream; the TLS handshake is still to be done.
pub struct StreamOffer {
    pub(super) net: Arc<Net>,
    pub(super) socket: std::net::TcpStream,
}

impl std::fmt::Debug for StreamOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamOffer")
    }
}

impl StreamOffer {
    /// Does the handshake on the runtime that calls it, and says who is there. `PermissionDenied`: not a node of the configuration, or
    /// not with the certificate that such a node has.
    pub async fn accept(self) -> io::Result<(NodeId, PeerStream)> {
        let socket = TcpStream::from_std(self.socket)?;
        let acceptor = TlsAcceptor::from(self.net.tls.server());
        within(CONNECT_MS, "accept stream", async {
            let mut stream = TlsStream::from(acceptor.accept(socket).await?);
            let node = NodeId(stream.read_u64_le().await?);
            self.net.admit(&stream, node.0)?;
            Ok((node, PeerStream(stream)))
        })
        .await
    }
}

/// Opens a stream to another node, on the runtime of the caller.
pub(crate) async fn open(net: &Net, node: NodeId) -> io::Result<PeerStream> {
    let mut stream = greeting::dial(net, node, greeting::STREAM).await?;
    net.admit(&stream, node.0)?;
    stream.write_u64_le(net.node).await?;
    stream.flush().await?;
    Ok(PeerStream(stream))
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
