//! No name of the user collides with an expansion, nor the other way round.

/// Statics of the names that a careless expansion would use for its variables.
#[allow(non_upper_case_globals, dead_code, reason = "the names are the case")]
mod statics {
    use memlock::lock;

    use crate::stage::{LOCKS, held};

    static key: u8 = 0;
    static guard: u8 = 0;
    static held_: u8 = 0;
    static error: u8 = 0;
    static call: u8 = 0;
    static keys: u8 = 0;
    const result: u8 = 0;

    #[lock("k", locks = &LOCKS, wait = 1, otherwise = |_| 0)]
    pub(super) fn function() -> usize {
        held().len() + usize::from(key + guard + held_ + error + call + keys + result)
    }
}

/// The prelude's names mean something else, and so do those of crates.
#[allow(dead_code, unused_macros, reason = "the names are the case")]
mod shadows {
    use ::std::num::Wrapping as Ok;
    use ::std::num::Wrapping as Err;

    use crate::stage::{LOCKS, held};

    pub(super) struct Result;
    struct String;
    struct Option;
    struct Duration;
    struct Return;
    struct Options;
    struct Key;
    enum Never {}
    mod std_ {}
    mod memlock {}
    mod core {}
    mod std {}
    macro_rules! concat {
        ($($any:tt)*) => {
            compile_error!("not this one")
        };
    }
    macro_rules! module_path {
        () => {
            compile_error!("not this one")
        };
    }
    macro_rules! format_args {
        ($($any:tt)*) => {
            compile_error!("not this one")
        };
    }

    #[::memlock::lock("k/{id}", locks = &LOCKS, timeout = 5)]
    pub(super) fn function(id: u8) -> (Result, usize) {
        let _ = (id, Ok(1), Err(1));
        (Result, held().len())
    }

    #[::memlock::lock(|id| *id, locks = &LOCKS, timeout = 5, on_lost = error)]
    pub(super) fn reports(id: u8) -> ::core::result::Result<usize, ::memlock::Error> {
        let _ = id;
        ::core::result::Result::Ok(held().len())
    }
}

/// Traits on every type, with the methods that an expansion calls.
mod blanket {
    use memlock::lock;

    use crate::stage::{LOCKS, held};

    #[allow(
        dead_code,
        clippy::wrong_self_convention,
        clippy::new_ret_no_self,
        reason = "methods of these names are the case"
    )]
    trait Everything: Sized {
        fn enter(self) {}
        fn new(self) {}
        fn lock(self) {}
        fn timeout(self, _: u8) {}
        fn interval(self, _: u8) {}
        fn name(self, _: u8) {}
        fn locks(self, _: u8) {}
        fn key(self) {}
        fn into_key(self) {}
        fn call(self) {}
    }

    impl<T> Everything for T {}

    fn of(id: &u8) -> u8 {
        *id
    }

    #[lock(of, locks = &LOCKS, timeout = 5, interval = 1, name = "blanket")]
    pub(super) fn function(id: u8) -> usize {
        let _ = id;
        held().len()
    }
}

/// Arguments of the names that the expansion's own could have.
mod arguments {
    use memlock::lock;

    use crate::stage::{LOCKS, held};

    #[lock("{key}/{options}", locks = &LOCKS)]
    pub(super) fn function(key: u8, options: u8, error: u8, core: u8, memlock: u8) -> usize {
        held().len() + usize::from(key + options + error + core + memlock)
    }
}

#[test]
fn names() {
    assert_eq!(statics::function(), 1);
    assert_eq!(shadows::function(1).1, 1);
    assert_eq!(shadows::reports(1).expect("held"), 1);
    assert_eq!(blanket::function(1), 1);
    assert_eq!(arguments::function(1, 1, 1, 1, 1), 6);
}

mod traits_stay_outside {
    //! A body sees no trait of the expansion's.

    use memlock::lock;

    use crate::stage::LOCKS;

    struct Own;

    #[allow(
        clippy::unused_self,
        clippy::wrong_self_convention,
        reason = "methods of these names are the case"
    )]
    impl Own {
        fn into_key(&self) -> &'static str {
            "own"
        }

        fn into_duration(&self) -> &'static str {
            "own"
        }
    }

    #[lock("k", locks = &LOCKS)]
    fn function() -> (&'static str, &'static str) {
        (Own.into_key(), Own.into_duration())
    }

    #[test]
    fn methods_of_the_same_name() {
        assert_eq!(function(), ("own", "own"));
    }
}
