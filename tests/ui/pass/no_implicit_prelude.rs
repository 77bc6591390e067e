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

// On one line each: only there does rustc look for needless braces.
mod one_line {
    #[::memlock::lock(name = "hidden")]
    pub fn hidden() -> impl ::std::marker::Copy { 7 }

    #[::memlock::lock(name = "never")]
    pub fn never() -> ! { ::std::process::abort() }

    #[::memlock::lock(name = "plain")]
    pub fn plain() -> u8 { 7 }

    #[::memlock::lock(name = "looked at", on_lost = error)]
    pub fn looked_at() -> ::std::result::Result<u8, ::memlock::Error> { ::std::result::Result::Ok(7) }
}

fn main() {
    let locks = ::memlock::Locks::builder().servers("memory:").build();
    ::memlock::init(locks.unwrap()).unwrap();
    let shelf = Shelf { name: 1 };
    ::std::assert_eq!(shelf.method(7), 7);
    ::std::assert_eq!(shelf.text(7), 7);
    ::std::assert!(shelf.reports(7).is_ok());
    let _copy = shelf.hidden();
    let _never: fn() -> ! = one_line::never;
    let _hidden = one_line::hidden();
    ::std::assert_eq!(one_line::plain(), 7);
    ::std::assert!(one_line::looked_at().is_ok());
}
