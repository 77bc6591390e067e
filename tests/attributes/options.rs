//! Each option reaches the runtime.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use memlock::{Locks, TestServer, lock, rlock};
use memlock_testkit::wait_until;

use crate::stage::{LOCKS, UNREACHABLE, build, held};

fn remaining() -> Duration {
    memlock::current().expect("held").remaining()
}

const TWO_HOURS: Duration = Duration::from_secs(2 * 3600);

#[lock("k", locks = &LOCKS, timeout = 7200)]
fn in_seconds() -> Duration {
    remaining()
}

#[lock("k", locks = &LOCKS, timeout = "2h")]
fn as_text() -> Duration {
    remaining()
}

#[lock("k", locks = &LOCKS, timeout = TWO_HOURS)]
fn as_constant() -> Duration {
    remaining()
}

#[lock("k", locks = &LOCKS, timeout = 2.0 * 3600.0, interval = 0.05)]
fn as_float() -> Duration {
    remaining()
}

#[lock("k", locks = &LOCKS, timeout = hours * 3600, interval = 2)]
fn from_an_argument(hours: u64) -> Duration {
    let _ = hours;
    remaining()
}

#[test]
fn timeout() {
    for remaining in [in_seconds(), as_text(), as_constant(), as_float(), from_an_argument(2)] {
        assert!(remaining > TWO_HOURS / 2 && remaining <= TWO_HOURS);
    }
}

#[lock("k", locks = &LOCKS, timeout = seconds)]
fn computed(seconds: f64) -> Result<(), memlock::Error> {
    let _ = seconds;
    Ok(())
}

#[test]
fn a_computed_length_that_cannot_be_is_an_error_that_names_the_option() {
    for wrong in [0.0, -1.0, f64::NAN, 30.0 * 86_400.0] {
        let error = computed(wrong).expect_err("wrong");
        assert!(
            error.is_config()
                && error
                    .to_string()
                    .contains("`timeout` of `attributes::options::computed`")
        );
    }
    assert!(computed(0.5).is_ok());
}

const HOUR: Duration = Duration::from_secs(3600);

/// Locks of this test alone, since it moves their clock.
static TIMED: LazyLock<(Locks, TestServer)> = LazyLock::new(Locks::in_memory);

#[lock("k", locks = &TIMED.0, timeout = HOUR, renew)]
fn renewed() -> bool {
    outlasts_an_hour()
}

#[lock("k", locks = &TIMED.0, timeout = HOUR, renew = true)]
fn renewed_in_words() -> bool {
    outlasts_an_hour()
}

#[lock("k", locks = &TIMED.0, timeout = HOUR, renew = "1d")]
fn renewed_for_long() -> bool {
    outlasts_an_hour()
}

#[lock("k", locks = &TIMED.0, timeout = HOUR, renew = false)]
fn not_renewed() -> bool {
    TIMED.1.advance(HOUR * 2);
    memlock::current().expect("held").is_valid()
}

/// Advances the clock by two hours, in steps between which the lease must be extended.
fn outlasts_an_hour() -> bool {
    let lease = memlock::current().expect("held");
    for _ in 0..5 {
        TIMED.1.advance(HOUR * 2 / 5);
        wait_until("the lease to be extended", Duration::from_secs(30), || {
            !lease.is_valid() || lease.remaining() > HOUR * 4 / 5
        });
    }
    lease.is_valid()
}

#[test]
fn renew() {
    assert!(renewed());
    assert!(renewed_in_words());
    assert!(renewed_for_long());
    assert!(!not_renewed());
}

const NAME: &str = "options shared";

#[rlock("k", locks = &LOCKS, name = "options shared")]
fn outer() -> usize {
    inner()
}

#[rlock("k", locks = &LOCKS, name = NAME)]
fn inner() -> usize {
    held().len()
}

#[lock("k", locks = &LOCKS)]
fn unnamed() -> Vec<String> {
    held()
}

struct Methods;

impl Methods {
    #[lock("k", locks = &LOCKS)]
    fn r#move() -> Vec<String> {
        held()
    }
}

#[test]
fn name() {
    assert_eq!(outer(), 1);
    assert_eq!(unnamed(), ["attributes::options::unnamed:k"]);
    assert_eq!(Methods::r#move(), ["attributes::options::move:k"]);
}

struct Service {
    locks: Arc<Locks>,
}

impl Service {
    #[lock("k", locks = &self.locks)]
    fn own_locks(&mut self) -> usize {
        self.locks = Arc::new(build("memory:"));
        held().len()
    }

    #[lock("k", locks = &build("memory:"))]
    fn temporary_locks() -> usize {
        held().len()
    }

    #[lock("k", locks = choose(here))]
    fn chosen(here: bool) -> Result<usize, memlock::Error> {
        let _ = here;
        Ok(held().len())
    }
}

fn choose(here: bool) -> &'static Locks {
    if here { &LOCKS } else { &UNREACHABLE }
}

#[test]
fn locks() {
    let locks = Arc::new(build("memory:"));
    let mut service = Service {
        locks: Arc::clone(&locks),
    };
    assert_eq!(service.own_locks(), 1);
    assert_eq!(locks.counts().acquired, 1);
    assert_eq!(Service::temporary_locks(), 1);
    assert!(Service::chosen(true).is_ok());
    assert!(Service::chosen(false).is_err());
}

mod renamed {
    //! memlock under another name, as in a crate that re-exports it.

    pub(super) mod facade {
        pub(crate) use memlock as locking;
    }

    #[facade::locking::lock("k", crate = facade::locking, locks = &crate::stage::LOCKS)]
    pub(super) fn relative() -> usize {
        super::held().len()
    }

    #[memlock::lock("k", crate = crate::options::renamed::facade::locking, locks = &crate::stage::LOCKS)]
    pub(super) fn absolute() -> usize {
        super::held().len()
    }
}

#[test]
fn another_name_of_the_crate() {
    assert_eq!(renamed::relative(), 1);
    assert_eq!(renamed::absolute(), 1);
}

#[lock("k", locks = &LOCKS,)]
fn trailing_comma() -> usize {
    held().len()
}

#[lock(
    locks = &LOCKS,
    renew,
    key = "k",
)]
fn any_order() -> usize {
    held().len()
}

#[test]
fn layout() {
    assert_eq!(trailing_comma(), 1);
    assert_eq!(any_order(), 1);
}
