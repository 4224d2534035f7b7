//! Which of the configured addresses this machine has.

use std::net::{SocketAddr, TcpListener};

use tracing::warn;

use crate::config::Listen;

/// The addresses to listen on. An IPv6 loopback that nobody asked for is left out where the machine has none.
pub fn addresses(key: &str, listen: &Listen) -> Vec<SocketAddr> {
    let is_there = |address: &&SocketAddr| {
        if !listen.is_default || address.is_ipv4() {
            return true;
        }
        // Port 0: whether the real one is free is the listener's to find out.
        match TcpListener::bind((address.ip(), 0)) {
            Ok(_) => true,
            Err(error) => {
                warn!(key, %address, %error, "this machine has no such address: not listening there");
                false
            }
        }
    };
    listen.addresses.iter().filter(is_there).copied().collect()
}
