//! The dice: nonces, and the draw within a pause.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::protocol::Pause;
use crate::store::Nonce;

/// What tells a process, or another set of locks in it, from others in line.
pub(super) fn process() -> u64 {
    random_u64()
}

/// What a datagram must tell that is to wake somebody.
pub(crate) fn secret() -> u64 {
    random_u64()
}

/// How many nonces a thread draws at once.
const NONCES: u64 = 1024;

/// A nonce that no other attempt of any process has: the 64 random bits of `process`, and a count that begins at random.
pub(super) fn nonce(process: u64) -> Nonce {
    static COUNT: OnceLock<AtomicU64> = OnceLock::new();
    thread_local! {
        /// The next of this thread's own, and how many there are yet.
        static OWN: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }
    let (count, left) = match OWN.get() {
        (_, 0) => {
            let count = COUNT.get_or_init(|| AtomicU64::new(random_u64()));
            (count.fetch_add(NONCES, Ordering::Relaxed), NONCES)
        }
        own => own,
    };
    OWN.set((count.wrapping_add(1), left - 1));
    Nonce(u128::from(process) << 64 | u128::from(count))
}

/// 64 bits from the operating system: std seeds its hash maps' keys from there.
fn random_u64() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Draws a length from the window, evenly.
#[allow(clippy::disallowed_methods, reason = "this is where dice are thrown")]
pub(super) fn draw(pause: Pause) -> Duration {
    pause.from + pause.to.saturating_sub(pause.from).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_do_not_repeat() {
        let draw = || (0..2000).map(|_| nonce(7)).collect::<Vec<_>>();
        let other = std::thread::spawn(draw);
        let mut seen = draw();
        seen.extend(other.join().expect("no panic"));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 4000);
    }

    #[test]
    fn a_draw_stays_in_its_window() {
        let pause = Pause {
            from: Duration::from_millis(5),
            to: Duration::from_millis(10),
        };
        assert!(
            (0..1000)
                .map(|_| draw(pause))
                .all(|drawn| drawn >= pause.from && drawn <= pause.to)
        );
    }
}
