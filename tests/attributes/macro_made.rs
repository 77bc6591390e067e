//! Functions made by `macro_rules!`, with names and literals from several places.

use memlock::lock;

use crate::stage::{LOCKS, key};

macro_rules! whole {
    ($name:ident, $ty:ty, $returns:ty) => {
        #[lock("{id}/{more}", locks = &LOCKS)]
        fn $name(id: $ty, more: u8) -> $returns {
            let _ = (id, more);
            key()
        }
    };
}
whole!(all_inside, u64, String);

macro_rules! key_from_outside {
    ($name:ident, $key:expr, $timeout:expr) => {
        #[lock($key, locks = &LOCKS, timeout = $timeout)]
        fn $name() -> String {
            key()
        }
    };
}
key_from_outside!(literal, "fixed", 5);
key_from_outside!(expression, 1 + 2, "5s");
key_from_outside!(closure, || "closure", 0.5 + 1.0);

macro_rules! literal_from_outside {
    ($key:literal, $argument:ident) => {
        #[lock($key, locks = &LOCKS)]
        fn text_and_argument_from_outside($argument: u8, inside: u8) -> String {
            let _ = ($argument, inside);
            key()
        }
    };
}
literal_from_outside!("{id}", id);

macro_rules! only_the_key_from_outside {
    ($text:literal, $argument:expr, $path:ident) => {
        #[lock($text, locks = &LOCKS)]
        fn text_for_an_argument_inside(id: u8) -> String {
            let _ = id;
            key()
        }

        #[lock($argument, locks = &LOCKS)]
        fn name_of_an_argument_inside(id: u8) -> String {
            let _ = id;
            key()
        }

        #[lock(keys = [$path], locks = &LOCKS)]
        fn identifier_of_an_argument_inside(id: u8) -> String {
            let _ = id;
            key()
        }
    };
}
only_the_key_from_outside!("{id}", id, id);

macro_rules! argument_from_outside {
    ($argument:ident: $ty:ty, $of:path) => {
        #[lock($argument, locks = &LOCKS)]
        fn named($argument: $ty) -> String {
            let _ = $argument;
            key()
        }

        #[lock($of, locks = &LOCKS)]
        fn called($argument: $ty, (more, _): (u8, u8)) -> (String, u8) {
            let _ = $argument;
            (key(), more)
        }
    };
}
argument_from_outside!(id: u64, of);

fn of(id: &u64, pair: &(u8, u8)) -> u64 {
    id + u64::from(pair.1)
}

macro_rules! body_from_outside {
    ($(#[$attr:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $returns:ty $body:block) => {
        $(#[$attr])*
        fn $name($($arg: $ty),*) -> $returns $body
    };
}
body_from_outside! {
    #[lock(id, locks = &LOCKS)]
    fn wrapped(id: u64) -> String {
        let _ = id;
        key()
    }
}

struct Shelf(u8);

macro_rules! method {
    ($name:ident, $this:ident) => {
        impl Shelf {
            #[lock(Shelf::number, locks = &LOCKS)]
            fn $name(&$this) -> (String, u8) {
                (key(), $this.0)
            }

            #[lock("{self.0}", locks = &LOCKS)]
            fn field(&self) -> String {
                let _ = self.0;
                key()
            }
        }
    };
}
method!(receiver_from_outside, self);

impl Shelf {
    fn number(&self) -> u8 {
        self.0
    }
}

#[test]
fn made_by_macro_rules() {
    assert_eq!(all_inside(1, 2), "1/2");
    assert_eq!(literal(), "fixed");
    assert_eq!(expression(), "3");
    assert_eq!(closure(), "closure");
    assert_eq!(text_and_argument_from_outside(1, 2), "1");
    assert_eq!(text_for_an_argument_inside(7), "7");
    assert_eq!(name_of_an_argument_inside(7), "7");
    assert_eq!(identifier_of_an_argument_inside(7), "7");
    assert_eq!(named(7), "7");
    assert_eq!(called(7, (1, 2)), ("9".into(), 1));
    assert_eq!(wrapped(7), "7");
    assert_eq!(Shelf(7).receiver_from_outside(), ("7".into(), 7));
    assert_eq!(Shelf(7).field(), "7");
}
