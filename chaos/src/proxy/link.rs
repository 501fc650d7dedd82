//! One link: the proxy that a node dials in order to reach another.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Mode;
use super::tap::{Tap, Tapped};
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
    /// Where what passes is written down in the clear.
    tap: OnceLock<Arc<Tap>>,
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
            tap: OnceLock::new(),
            resets: watch::Sender::new(0),
            stalls: watch::Sender::new(0),
        }
    }

    /// From now on what passes on new connections is written down.
    pub(super) fn listen_in(&self, tap: Arc<Tap>) {
        let _ = self.tap.set(tap);
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

    async fn connection(self: Arc<Self>, dialled: TcpStream) {
        for way in [&self.out, &self.back] {
            if way.mode() == Mode::Cut {
                way.touch();
                let _ = dialled.set_zero_linger();
                return;
            }
        }
        let Ok(reached) = TcpStream::connect(self.target).await else {
            let _ = dialled.set_zero_linger();
            return;
        };
        let _ = (dialled.set_nodelay(true), reached.set_nodelay(true));
        match self.tap.get() {
            None => self.pass(dialled, reached, |stream: &TcpStream| stream).await,
            Some(tap) => {
                // Who hangs up before it has proved itself has nothing to say.
                if let Ok((dialled, reached)) = tap.open(dialled, reached).await {
                    self.pass(dialled, reached, Tapped::socket).await;
                }
            }
        }
    }

    /// Passes bytes on both ways until the connection ends. `socket`: what is below one of the streams.
    async fn pass<S: AsyncRead + AsyncWrite + Unpin>(&self, mut dialled: S, mut reached: S, socket: fn(&S) -> &TcpStream) {
        let (mut resets, mut stalls) = (self.resets.subscribe(), self.stalls.subscribe());
        let reset = {
            let (near, far) = (split(&mut dialled), split(&mut reached));
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
            let _ = (socket(&dialled).set_zero_linger(), socket(&reached).set_zero_linger());
        }
    }

    /// Half open: nothing is read any more, and nobody is told, until somebody resets it.
    async fn hold(&self, resets: &mut watch::Receiver<u64>) {
        self.out.touch();
        let _ = resets.changed().await;
    }
}
