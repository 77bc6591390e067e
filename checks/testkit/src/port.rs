//! Port numbers for servers that are stopped and started again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The range is below the ports that Linux (from 32768) and the BSDs (from 49152) give to outgoing connections. A
/// server must not have one of those: while it is down, a client that keeps connecting to it could be given the same
/// port, connect to itself, and keep the server out.
const FIRST: u64 = 15_000;
const COUNT: u64 = 17_000;

/// Returns a port of the loopback interface on which no process listens now.
///
/// Another process may take it first. Within one process, a port is returned again only after all others.
///
/// # Panics
///
/// When no port is free.
#[must_use]
pub fn unused_port() -> u16 {
    // Each process starts at a random port, so that test binaries that run side by side rarely collide.
    static START: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = *START.get_or_init(|| RandomState::new().build_hasher().finish() % COUNT);
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|port| u16::try_from(port).expect("the range ends below 65536"))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("no port of the loopback interface is free")
}

#[cfg(test)]
mod tests {
    use super::unused_port;

    #[test]
    fn consecutive_ports_differ() {
        assert_ne!(unused_port(), unused_port());
    }
}
