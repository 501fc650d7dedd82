//! Free ports on loopback, chosen by the kernel, that nobody else is given.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Ports of loopback that are kept for who has this, as long as it lives.
///
/// Each is held by a socket that is bound and does not listen. Linux gives such a port neither to a `bind` nor to a `connect` that
/// leaves the choice to it, and lets a listener with `SO_REUSEADDR` (as those of std and tokio have) take it at any time: a
/// server may come, end and come again.
#[derive(Debug)]
pub struct Ports {
    held: Vec<TcpSocket>,
}

impl Ports {
    /// Keeps `count` distinct ports.
    pub fn keep(count: usize) -> io::Result<Self> {
        let held = (0..count).map(|_| hold()).collect::<io::Result<Vec<_>>>()?;
        let ports = Self { held };
        debug_assert_eq!(ports.addresses()?.iter().collect::<BTreeSet<_>>().len(), count);
        Ok(ports)
    }

    /// Their addresses.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.held.iter().map(TcpSocket::local_addr).collect()
    }
}

fn hold() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_kept_port_refuses_is_listened_on_twice_and_is_given_to_nobody() {
        let ports = Ports::keep(2).unwrap();
        let addresses = ports.addresses().unwrap();
        assert!(TcpStream::connect(addresses[0]).is_err(), "nobody listens yet");
        for _ in 0..2 {
            let listener = TcpListener::bind(addresses[0]).unwrap();
            let client = TcpStream::connect(addresses[0]).unwrap();
            listener.accept().unwrap();
            drop(client);
        }
        // More than there are odd ones between a kernel's usual bounds would be slow: some hundreds show that it skips.
        let others: Vec<_> = (0..500).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        assert!(others.iter().all(|other| !addresses.contains(&other.local_addr().unwrap())));
    }
}
