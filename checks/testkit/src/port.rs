//! Port numbers for servers that are stopped and started again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Below the ports that Linux (32768) and the BSDs (49152) give to outgoing connections. A port from that range would
/// not do: while the server is down, a client that keeps connecting to it can be given the very same port, connect to
/// itself, and keep the server out.
const FIRST: u64 = 15_000;
const COUNT: u64 = 17_000;

/// A port of the loopback interface on which nothing listens now.
///
/// Somebody may take it before you do. Within one process, no port comes twice before all have come.
///
/// # Panics
///
/// When no port is free.
#[must_use]
pub fn unused_port() -> u16 {
    // Processes start at random places, so that test binaries which run side by side rarely meet.
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
    fn ports_do_not_come_twice() {
        assert_ne!(unused_port(), unused_port());
    }
}
