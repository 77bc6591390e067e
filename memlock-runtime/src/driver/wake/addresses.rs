//! The addresses that this process may send datagrams to, and how often. They come from the wait list, which any client of the
//! memcached server can write: so no address is trusted before it has answered.
//!
//! An address is *known* while it has answered lately, with a number that was sent to it alone. All other addresses share one
//! datagram every 10 ms, which asks for the answer. An entry that names a third party costs that party no more than this share.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use siphasher::sip::SipHasher24;

/// The least time between two datagrams to addresses that are not known.
pub(crate) const STRANGERS_DISTANCE: Duration = Duration::from_millis(10);

/// For how long an answer counts: the address may be somebody else's by then.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(60);

/// How many addresses are known at the most. One that is forgotten is asked again.
const MOST_KNOWN: usize = 1024;

/// See the module's head. Times are on the monotonic clock.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// Where this process can be called.
    own: IpAddr,
    /// What the numbers are made with that are to be answered.
    key: (u64, u64),
    /// When each address answered last.
    answered: HashMap<SocketAddr, Duration>,
    /// Before that nothing is sent to an address that is not known.
    strangers_from: Duration,
}

/// What may be sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    /// It is known.
    Freely,
    /// One datagram, with this number to be answered.
    Asking(u64),
    /// Nothing.
    Nothing,
}

impl Addresses {
    /// `key` is known to nobody else.
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

    /// Whether one datagram may be sent to `address`. It is sent, then.
    pub(crate) fn send_to(&mut self, address: SocketAddr, now: Duration) -> Sending {
        if !is_process(address) || !is_reached_from(self.own, address.ip()) {
            return Sending::Nothing;
        }
        if self.is_known(address, now) {
            return Sending::Freely;
        }
        // One allowance for all of them: the wait list may name another address each time.
        if now < self.strangers_from {
            return Sending::Nothing;
        }
        self.strangers_from = now + STRANGERS_DISTANCE;
        Sending::Asking(self.number(address))
    }

    /// `address` has answered with `number`.
    pub(crate) fn has_answered(&mut self, address: SocketAddr, number: u64, now: Duration) {
        // The sender of a datagram may be forged; the number is known only to the one who receives there.
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

    /// What `address` is to answer. Made anew instead of kept, so that addresses that never answer take no memory.
    fn number(&self, address: SocketAddr) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        address.hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether a process can be called at `address`: one process, and no other thing.
pub(crate) fn is_process(address: SocketAddr) -> bool {
    address.port() != 0 && is_host(address.ip())
}

/// Whether `ip` is one host's, as far as can be told from outside of its network.
pub(crate) fn is_host(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// Whether `ip` means the same host here as for the one who wrote it down. An address of this machine alone, or of one network
/// segment, does so only among those who are called there themselves; from others it would be this machine's own services.
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
    fn those_who_never_answered_get_a_hundred_a_second_together() {
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
    fn one_that_has_answered_gets_all_until_that_is_long_ago() {
        let mut addresses = addresses("10.0.0.1");
        let (one, other) = (address("10.0.0.2:4711"), address("10.0.0.3:4711"));
        let Sending::Asking(number) = addresses.send_to(one, at(0)) else {
            panic!("it is the first")
        };
        addresses.has_answered(one, number ^ 1, at(1));
        addresses.has_answered(other, number, at(1));
        assert!(
            !addresses.is_known(one, at(1)) && !addresses.is_known(other, at(1)),
            "it was not asked that"
        );
        addresses.has_answered(one, number, at(1));
        for _ in 0..1000 {
            assert_eq!(addresses.send_to(one, at(2)), Sending::Freely);
        }
        assert_eq!(
            addresses.send_to(other, at(2)),
            Sending::Nothing,
            "the first was one of the strangers'"
        );
        let later = at(1) + KNOWN_FOR;
        assert_eq!(addresses.send_to(one, later), Sending::Asking(number));
        assert_eq!(addresses.send_to(one, later), Sending::Nothing);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut addresses = addresses("10.0.0.1");
        for port in 1..5000 {
            let one = SocketAddr::from(([10, 0, 0, 2], port));
            addresses.has_answered(one, addresses.number(one), at(1));
            assert!(addresses.is_known(one, at(1)) && addresses.answered.len() <= MOST_KNOWN);
        }
    }

    #[test]
    fn what_cannot_be_a_process_that_waits_is_sent_nothing() {
        for (own, called, is_sent) in [
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
            let sending = addresses(own).send_to(address(called), at(0));
            assert_eq!(sending != Sending::Nothing, is_sent, "{called} from {own}");
        }
    }
}
