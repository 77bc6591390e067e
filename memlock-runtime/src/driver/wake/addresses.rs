//! The addresses to which this process may send datagrams, and how often. They come from wait lists, which any client
//! of the memcached server can write, so no address is trusted before it has answered.
//!
//! An address is *known* while it has answered lately, with a number that was sent only to it. All other addresses
//! share one datagram every 10 ms, which asks for an answer. A wait list that names the address of a third party causes
//! no more than these datagrams there.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use siphasher::sip::SipHasher24;

/// The least time between two datagrams to unknown addresses.
pub(crate) const STRANGERS_DISTANCE: Duration = Duration::from_millis(10);

/// How long an answer counts. After that, the address may belong to another process.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(60);

/// The most addresses that are known at a time. An address that is forgotten is asked again.
const MOST_KNOWN: usize = 1024;

/// See the module's head. Times are on the monotonic clock.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The address at which this process receives wake-ups.
    own: IpAddr,
    /// The key from which the numbers for answers are made.
    key: (u64, u64),
    /// When each address answered last.
    answered: HashMap<SocketAddr, Duration>,
    /// Nothing is sent to unknown addresses before this.
    strangers_from: Duration,
}

/// What may be sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    /// Anything: the address is known.
    Freely,
    /// One datagram, which asks for this number as an answer.
    Asking(u64),
    /// Nothing.
    Nothing,
}

impl Addresses {
    /// `own` is where this process receives wake-ups. `key` must be known to no other process.
    pub(crate) fn new(own: IpAddr, key: (u64, u64)) -> Addresses {
        Addresses {
            own,
            key,
            answered: HashMap::new(),
            strangers_from: Duration::ZERO,
        }
    }

    /// Whether `address` has answered lately.
    pub(crate) fn is_known(&self, address: SocketAddr, now: Duration) -> bool {
        let answered = self.answered.get(&address);
        answered.is_some_and(|answered| now.saturating_sub(*answered) < KNOWN_FOR)
    }

    /// What may be sent to `address` at `now`. The caller then sends it.
    pub(crate) fn send_to(&mut self, address: SocketAddr, now: Duration) -> Sending {
        if !is_process(address) || !is_reached_from(self.own, address.ip()) {
            return Sending::Nothing;
        }
        if self.is_known(address, now) {
            return Sending::Freely;
        }
        // One allowance for all unknown addresses, since a wait list may name another address each time.
        if now < self.strangers_from {
            return Sending::Nothing;
        }
        self.strangers_from = now + STRANGERS_DISTANCE;
        Sending::Asking(self.number(address))
    }

    /// Records that `address` has answered with `number`, if that number was sent to it.
    pub(crate) fn record_answer(&mut self, address: SocketAddr, number: u64, now: Duration) {
        // The sender of a datagram may be forged, but only a receiver at `address` knows the number.
        if number != self.number(address) {
            return;
        }
        if self.answered.len() >= MOST_KNOWN {
            self.forget_some(now);
        }
        self.answered.insert(address, now);
    }

    fn forget_some(&mut self, now: Duration) {
        let is_fresh = |answered: Duration| now.saturating_sub(answered) < KNOWN_FOR;
        self.answered.retain(|_, answered| is_fresh(*answered));
        if self.answered.len() >= MOST_KNOWN {
            self.answered.clear();
        }
    }

    /// The number that `address` has to answer. It is computed each time, so that addresses that never answer take no
    /// memory.
    fn number(&self, address: SocketAddr) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        address.hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether `address` can be that of one process, and of nothing else.
pub(crate) fn is_process(address: SocketAddr) -> bool {
    address.port() != 0 && is_host(address.ip())
}

/// Whether `ip` is the address of one host, as far as can be told from outside its network.
pub(crate) fn is_host(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// Whether `ip` means the same host here as for the process that wrote it into the wait list. A loopback or link-local
/// address does so only if `own` has the same scope: from other processes it would mean this machine's own services.
fn is_reached_from(own: IpAddr, ip: IpAddr) -> bool {
    let scope = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(ip) => (ip.is_loopback(), ip.is_link_local()),
        IpAddr::V6(ip) => (ip.is_loopback(), ip.is_unicast_link_local()),
    };
    scope(own) == scope(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn addresses(own: &str) -> Addresses {
        Addresses::new(own.parse().expect("an address"), (1, 2))
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn unknown_addresses_together_get_a_hundred_datagrams_a_second() {
        let mut addresses = addresses("10.0.0.1");
        let mut sent = 0;
        for moment in 0..1000 {
            for host in 1..=50 {
                let stranger = address(&format!("10.0.1.{host}:4711"));
                sent += usize::from(addresses.send_to(stranger, at(moment)) != Sending::Nothing);
            }
        }
        assert_eq!(sent, 100);
        assert!(addresses.answered.is_empty(), "they take no memory");
    }

    #[test]
    fn an_address_that_has_answered_gets_all_datagrams_until_its_answer_expires() {
        let mut addresses = addresses("10.0.0.1");
        let (one, other) = (address("10.0.0.2:4711"), address("10.0.0.3:4711"));
        let Sending::Asking(number) = addresses.send_to(one, at(0)) else {
            panic!("it is the first")
        };
        addresses.record_answer(one, number ^ 1, at(1));
        addresses.record_answer(other, number, at(1));
        assert!(
            !addresses.is_known(one, at(1)) && !addresses.is_known(other, at(1)),
            "that number was not sent to it"
        );
        addresses.record_answer(one, number, at(1));
        for _ in 0..1000 {
            assert_eq!(addresses.send_to(one, at(2)), Sending::Freely);
        }
        assert_eq!(
            addresses.send_to(other, at(2)),
            Sending::Nothing,
            "the datagram to the first used the allowance"
        );
        let later = at(1) + KNOWN_FOR;
        assert_eq!(addresses.send_to(one, later), Sending::Asking(number));
        assert_eq!(addresses.send_to(one, later), Sending::Nothing);
    }

    #[test]
    fn the_number_of_known_addresses_is_bounded() {
        let mut addresses = addresses("10.0.0.1");
        for port in 1..5000 {
            let one = SocketAddr::from(([10, 0, 0, 2], port));
            addresses.record_answer(one, addresses.number(one), at(1));
            assert!(addresses.is_known(one, at(1)) && addresses.answered.len() <= MOST_KNOWN);
        }
    }

    #[test]
    fn an_address_that_cannot_be_a_waiting_process_gets_nothing() {
        for (own, target, is_sent) in [
            ("10.0.0.1", "10.0.0.2:4711", true),
            ("10.0.0.1", "10.0.0.2:0", false),
            ("10.0.0.1", "0.0.0.0:4711", false),
            ("10.0.0.1", "255.255.255.255:4711", false),
            ("10.0.0.1", "224.0.0.1:4711", false),
            ("10.0.0.1", "127.0.0.1:4711", false),
            ("10.0.0.1", "127.8.8.8:4711", false),
            ("10.0.0.1", "169.254.169.254:80", false),
            ("10.0.0.1", "[::ffff:127.0.0.1]:4711", false),
            ("10.0.0.1", "[::ffff:0.0.0.0]:4711", false),
            ("127.0.0.1", "127.0.0.1:4711", true),
            ("127.0.0.1", "10.0.0.2:4711", false),
            ("::1", "[::1]:4711", true),
            ("2001:db8::1", "[2001:db8::2]:4711", true),
            ("2001:db8::1", "[::1]:4711", false),
            ("2001:db8::1", "[::]:4711", false),
            ("2001:db8::1", "[ff02::1]:4711", false),
            ("2001:db8::1", "[fe80::1]:4711", false),
            ("fe80::2", "[fe80::1]:4711", true),
        ] {
            let sending = addresses(own).send_to(address(target), at(0));
            assert_eq!(sending != Sending::Nothing, is_sent, "{target} from {own}");
        }
    }
}
