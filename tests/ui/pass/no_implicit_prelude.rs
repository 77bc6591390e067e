//! A crate without the prelude, that forbids unsafe code and every warning.
#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(warnings)]
#![forbid(unused, nonstandard_style, rust_2018_idioms, let_underscore, single_use_lifetimes, unused_qualifications)]

struct Shelf {
    name: u8,
}

impl Shelf {
    fn path(&self) -> u8 {
        self.name
    }

    #[::memlock::lock(Self::path, timeout = 5, interval = "10ms", renew, on_unavailable = unlocked)]
    fn method(&self, id: u64) -> u64 {
        id
    }

    #[::memlock::rlock("{self.name}/{id}", wait = 0, otherwise = |_| 0)]
    fn text(&self, id: u64) -> u64 {
        id
    }

    #[::memlock::rlock(keys = [id, |shelf| shelf.name], on_lost = error)]
    fn reports(&self, id: u64) -> ::std::result::Result<u64, ::memlock::Error> {
        ::std::result::Result::Ok(id)
    }

    #[::memlock::lock(name = "hidden")]
    fn hidden(&self) -> impl ::std::marker::Copy {
        self.name
    }
}

#[::memlock::lock(name = "never")]
fn never() -> ! {
    ::std::process::abort()
}

fn main() {
    let _never: fn() -> ! = never;
    let locks = ::memlock::Locks::builder().servers("memory:").build();
    ::memlock::init(locks.unwrap()).unwrap();
    let shelf = Shelf { name: 1 };
    ::std::assert_eq!(shelf.method(7), 7);
    ::std::assert_eq!(shelf.text(7), 7);
    ::std::assert!(shelf.reports(7).is_ok());
    let _copy = shelf.hidden();
}
