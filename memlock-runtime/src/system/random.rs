//! Randomness: identities, nonces, and the length of a pause. The nonces decide which process may delete a lock, so
//! their random half comes from the operating system, once for each set of locks.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::process::Process;
use crate::error::Error;
use crate::protocol::{Nonce, Pause};

/// Distinguishes the writes of one set of locks from those of all others, in this process or elsewhere.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The upper half of the nonces, which also stands in wait lists.
    process: u64,
    /// The lower half of the next nonce.
    next: AtomicU64,
    /// The only process that may draw nonces: a forked child would draw the same.
    home: Process,
}

impl Identity {
    /// Draws an identity that no other set of locks has.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the operating system does not provide random numbers.
    pub(crate) fn draw() -> Result<Identity, Error> {
        Ok(Identity::of(system_random()?))
    }

    /// An identity for a store that only this process uses, so it only has to differ from the others of this process.
    pub(crate) fn within_this_process() -> Identity {
        Identity::of(system_random().unwrap_or_else(|_| process_random()))
    }

    fn of(process: u64) -> Identity {
        Identity {
            process,
            next: AtomicU64::new(0),
            home: Process::current(),
        }
    }

    pub(crate) fn process(&self) -> u64 {
        self.process
    }

    /// Whether a parent of this process drew the identity, and may still draw nonces from it.
    pub(crate) fn is_inherited(&self) -> bool {
        !self.home.is_current()
    }

    /// Draws a nonce that no other attempt has, in this process or in another.
    pub(crate) fn nonce(&self) -> Nonce {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        Nonce(u128::from(self.process) << 64 | u128::from(count))
    }
}

/// Draws the secret that a datagram must contain to wake a waiter.
///
/// # Errors
///
/// As [`Identity::draw`].
pub(crate) fn secret() -> Result<u64, Error> {
    system_random()
}

/// A seed on which nothing but the lengths of pauses depends.
fn jitter_seed() -> u64 {
    system_random().unwrap_or_else(|_| process_random() ^ u64::from(std::process::id()))
}

/// Draws 64 bits from the operating system.
fn system_random() -> Result<u64, Error> {
    getrandom::u64().map_err(|error| {
        Error::config(format!(
            "the operating system does not provide the random numbers that locks need: {error}"
        ))
    })
}

/// 64 bits that differ between draws in this process. A forked child draws the same.
fn process_random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Draws a length from the window `pause`, with a uniform distribution.
#[allow(clippy::disallowed_methods, reason = "this is where lengths are drawn")]
pub(crate) fn draw(pause: Pause) -> Duration {
    thread_local! {
        static JITTER: RefCell<Option<(Process, fastrand::Rng)>> = const { RefCell::new(None) };
    }
    let drawn = JITTER.try_with(|jitter| {
        let mut jitter = jitter.borrow_mut();
        // Forked processes that wait for the same lock must not read it at the same moments.
        let current = Process::current();
        let (_, jitter) = match &mut *jitter {
            Some(seeded) if seeded.0 == current => seeded,
            unseeded => unseeded.insert((current, fastrand::Rng::with_seed(jitter_seed()))),
        };
        jitter.f64()
    });
    // A thread that is ending may wait, too, although its thread-locals are gone.
    pause.from
        + pause
            .to
            .saturating_sub(pause.from)
            .mul_f64(drawn.unwrap_or_else(|_| fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_do_not_repeat() {
        let [mine, others] = [(); 2].map(|()| Identity::draw().expect("random numbers"));
        let draw = |identity: &Identity| (0..2000).map(|_| identity.nonce()).collect::<Vec<_>>();
        let mut seen = draw(&others);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| draw(&mine));
            seen.extend(draw(&mine));
            seen.extend(thread.join().expect("no panic"));
        });
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 6000);
        assert_eq!(mine.nonce().process(), mine.process(), "the same as in wait lists");
    }

    #[test]
    fn a_drawn_length_is_within_its_window() {
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
