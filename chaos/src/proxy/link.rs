//! One link: the proxy that a node dials in order to reach another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Mode;
use super::way::{End, Way};

/// Between two attempts to accept when the machine is out of something.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// A link.
pub(super) struct Link {
    /// Where it is dialled.
    pub(super) address: SocketAddr,
    target: SocketAddr,
    out: Arc<Way>,
    back: Arc<Way>,
    /// Raised: the connections that exist are reset.
    pub(super) resets: watch::Sender<u64>,
    /// Raised: the connections that exist pass nothing any more.
    pub(super) stalls: watch::Sender<u64>,
}

impl Link {
    pub(super) fn new(address: SocketAddr, target: SocketAddr, out: Arc<Way>, back: Arc<Way>) -> Self {
        Self {
            address,
            target,
            out,
            back,
            resets: watch::Sender::new(0),
            stalls: watch::Sender::new(0),
        }
    }

    /// Accepts for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((dialled, _)) => {
                    tokio::spawn(self.clone().connection(dialled));
                }
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, mut dialled: TcpStream) {
        let (mut resets, mut stalls) = (self.resets.subscribe(), self.stalls.subscribe());
        for way in [&self.out, &self.back] {
            if way.mode() == Mode::Cut {
                way.touch();
                let _ = dialled.set_zero_linger();
                return;
            }
        }
        let Ok(mut reached) = TcpStream::connect(self.target).await else {
            let _ = dialled.set_zero_linger();
            return;
        };
        let _ = (dialled.set_nodelay(true), reached.set_nodelay(true));
        let reset = {
            let (near, far) = (dialled.split(), reached.split());
            let pumps = async {
                let (out, back) = (self.out.pump(near.0, far.1), self.back.pump(far.0, near.1));
                tokio::pin!(out, back);
                // One direction that is reset takes the other with it; one that is closed does not.
                let first = tokio::select! {
                    end = &mut out => (end, true),
                    end = &mut back => (end, false),
                };
                match first {
                    (End::Reset, _) => true,
                    (End::Closed, true) => back.await == End::Reset,
                    (End::Closed, false) => out.await == End::Reset,
                }
            };
            tokio::select! {
                reset = pumps => reset,
                _ = resets.changed() => { self.out.touch(); true }
                _ = stalls.changed() => { self.hold(&mut resets).await; true }
            }
        };
        if reset {
            let _ = (dialled.set_zero_linger(), reached.set_zero_linger());
        }
    }

    /// Half open: nothing is read any more, and nobody is told, until somebody resets it.
    async fn hold(&self, resets: &mut watch::Receiver<u64>) {
        self.out.touch();
        let _ = resets.changed().await;
    }
}
