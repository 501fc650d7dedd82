//! Free ports on loopback, chosen by the kernel.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// `count` distinct free ports. All are held until the last is known, so that none comes twice.
///
/// CAVEAT: between the return and the bind of whoever uses them another process may take one. Linux hands out odd ports
/// to `bind` and even ones to `connect`, which keeps the two apart while ports are plenty.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
        .collect::<io::Result<Vec<_>>>()?;
    let ports = held
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect::<io::Result<Vec<_>>>()?;
    debug_assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), count);
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_can_be_bound() {
        let ports = free_ports(12).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 12);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, ports[3])).is_ok());
    }
}
