//! The first frames of a raft connection: who is there, of which cluster, with which data directory, and for which lane.
//!
//! The caller speaks first. Either side refuses the other with a reason in words, which the other one logs, because the cause is
//! nearly always a mistake of configuration that an operator has to see on the node where it was made.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::book::Incarnation;
use super::frame::{Frame, Kind, frame, take_frame};
use super::{Lane, Net, within};
use crate::NodeId;
use crate::codec::{decode, encode};
use crate::limits::CONNECT_MS;

/// The plain byte before TLS.
pub(super) const RAFT: u8 = b'R';
pub(super) const STREAM: u8 = b'S';

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HelloV1 {
    cluster: String,
    node: u64,
    incarnation: Incarnation,
    lane: u8,
}

/// A greeted connection, and what was received beyond the greeting.
pub(super) struct Greeted {
    pub(super) node: u64,
    pub(super) lane: Lane,
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) received: BytesMut,
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why.into())
}

fn hello(net: &Net, lane: Lane) -> bytes::Bytes {
    let hello = HelloV1 {
        cluster: net.cluster.clone(),
        node: net.node,
        incarnation: net.book.own,
        lane: lane as u8,
    };
    frame(Kind::HELLO, 0, 0, &encode(&hello))
}

/// Connects to a peer and greets it.
pub(super) async fn call(net: &Arc<Net>, node: u64, lane: Lane) -> io::Result<Greeted> {
    let mut stream = dial(net, NodeId(node), RAFT).await?;
    if let Err(error) = net.admit(&stream, node) {
        refuse(&mut stream, &error).await;
        return Err(error);
    }
    within(CONNECT_MS, "greet peer", async {
        stream.write_all(&hello(net, lane)).await?;
        stream.flush().await
    })
    .await?;
    let mut received = BytesMut::with_capacity(16 << 10);
    let answer = within(CONNECT_MS, "greet peer", read_one(&mut stream, &mut received)).await?;
    check(net, &stream, answer, Some(node)).await?;
    Ok(Greeted {
        node,
        lane,
        stream,
        received,
    })
}

/// TCP, the plain byte, TLS. The peer's certificate has the node's name then, but its region is still to be looked at.
pub(super) async fn dial(net: &Net, node: NodeId, purpose: u8) -> io::Result<TlsStream<TcpStream>> {
    let peer = net.peer(node.0)?;
    let mut socket = within(CONNECT_MS, "connect to peer", TcpStream::connect(peer.address())).await?;
    socket.set_nodelay(true)?;
    let name = net.tls.server_name(node)?;
    within(CONNECT_MS, "secure connection", async {
        socket.write_all(&[purpose]).await?;
        let connector = TlsConnector::from(net.tls.client());
        Ok(TlsStream::from(connector.connect(name, socket).await?))
    })
    .await
}

/// The other side of [`call`], after the plain byte.
pub(super) async fn answer(net: &Arc<Net>, socket: TcpStream) -> io::Result<Greeted> {
    let acceptor = TlsAcceptor::from(net.tls.server());
    let accepted = within(CONNECT_MS, "secure connection", acceptor.accept(socket)).await;
    let mut stream = TlsStream::from(accepted.map_err(explained)?);
    let mut received = BytesMut::with_capacity(16 << 10);
    let greeting = within(CONNECT_MS, "hear greeting", read_one(&mut stream, &mut received)).await?;
    let (node, lane) = match check(net, &stream, greeting, None).await {
        Ok(who) => who,
        Err(error) => {
            refuse(&mut stream, &error).await;
            return Err(error);
        }
    };
    within(CONNECT_MS, "greet peer", async {
        stream.write_all(&hello(net, lane)).await?;
        stream.flush().await
    })
    .await?;
    Ok(Greeted {
        node,
        lane,
        stream,
        received,
    })
}

/// Tells the other side why, and waits until it has hung up, so that it hears it. It may have gone already.
async fn refuse(stream: &mut TlsStream<TcpStream>, why: &io::Error) {
    let reason = frame(Kind::REFUSED, 0, 0, why.to_string().as_bytes());
    let told = within(CONNECT_MS, "refuse peer", async {
        stream.write_all(&reason).await?;
        stream.shutdown().await?;
        let mut rest = BytesMut::with_capacity(1 << 10);
        while stream.read_buf(&mut rest).await? > 0 {
            rest.clear();
        }
        Ok(())
    });
    let _ = told.await;
}

/// A handshake that failed over a certificate is a refusal: somebody has to change something first.
fn explained(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => refused(format!(
            "the peer does not take this node's certificate, or expects another node here ({alert:?})"
        )),
        Some(rustls::Error::InvalidCertificate(why)) => refused(format!("the certificate of who connects: {why}")),
        _ => error,
    }
}

async fn read_one(stream: &mut TlsStream<TcpStream>, received: &mut BytesMut) -> io::Result<Frame> {
    loop {
        if let Some(frame) = take_frame(received)? {
            return Ok(frame);
        }
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Checks a greeting against the certificate, the cluster and the book.
async fn check(net: &Arc<Net>, stream: &TlsStream<TcpStream>, frame: Frame, expected: Option<u64>) -> io::Result<(u64, Lane)> {
    if frame.kind == Kind::REFUSED {
        return Err(refused(format!(
            "the peer refused this node: {}",
            String::from_utf8_lossy(&frame.payload)
        )));
    }
    if frame.kind != Kind::HELLO {
        return Err(refused("the peer did not greet"));
    }
    let hello: HelloV1 = decode("greeting", &frame.payload)?;
    if hello.cluster != net.cluster {
        return Err(refused(format!(
            "this is cluster {}, the peer is of {}",
            net.cluster, hello.cluster
        )));
    }
    if expected.is_some_and(|node| node != hello.node) || hello.node == net.node {
        return Err(refused(format!("node {} is not who was expected here", hello.node)));
    }
    if expected.is_none() {
        // Who was dialled has been looked at before it was greeted.
        net.admit(stream, hello.node)?;
    }
    let lane = Lane::from_wire(hello.lane).ok_or_else(|| refused(format!("lane {} is unknown", hello.lane)))?;
    let book = Arc::clone(&net.book);
    // It writes a file the first time.
    tokio::task::spawn_blocking(move || book.meet(NodeId(hello.node), hello.incarnation))
        .await
        .map_err(io::Error::other)?
        .map_err(|error| refused(error.to_string()))?;
    Ok((hello.node, lane))
}
