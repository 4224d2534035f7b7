//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a listener listens; nowhere when empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    pub addresses: Vec<SocketAddr>,
    /// Nobody asked for these: a machine without IPv6 is a warning, not an error.
    pub is_default: bool,
}

impl Listen {
    /// Both loopbacks.
    pub fn loopbacks(port: u16) -> Self {
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        Listen { addresses: addresses.map(|ip| SocketAddr::new(ip, port)).into(), is_default: true }
    }

    pub fn is_off(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The first address that others than this machine can reach.
    pub fn open_address(&self) -> Option<SocketAddr> {
        self.addresses.iter().copied().find(|address| !address.ip().to_canonical().is_loopback())
    }
}
