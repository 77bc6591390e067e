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

    #[::memlock::lock(Self::path, timeout = 5, renew, on_unavailable = unlocked)]
    async fn asynchronous(&self, id: ::std::string::String, more: ::std::string::String) -> usize {
        id.len() + more.len()
    }

    #[::memlock::rlock("{self.name}/{id}", wait = 0, otherwise = |_| 0)]
    async fn asynchronous_text(&self, id: u64) -> u64 {
        id
    }

    #[::memlock::rlock(keys = [id, |shelf| shelf.name], on_lost = error)]
    async fn asynchronous_reports(&self, id: u64) -> ::std::result::Result<u64, ::memlock::Error> {
        ::std::result::Result::Ok(id)
    }

    #[::memlock::zlock("{self.name}/{id}", reserve = 1)]
    fn conflicting(&mut self, id: u64) -> ::std::result::Result<&mut u8, ::memlock::Error> {
        if id == 0 {
            return ::std::result::Result::Ok(&mut self.name);
        }
        self.name += 1;
        ::std::result::Result::Ok(&mut self.name)
    }

    #[::memlock::zlock(id, wait = 0, otherwise = |error| ::std::result::Result::Err(error))]
    async fn asynchronous_conflicting(&mut self, id: u64) -> ::std::result::Result<&mut u8, ::memlock::Error> {
        ::std::assert_eq!(id, 7);
        ::std::result::Result::Ok(&mut self.name)
    }

    #[::memlock::lock(id)]
    fn boxed(id: u64) -> ::std::pin::Pin<::std::boxed::Box<dyn ::std::future::Future<Output = u64> + ::std::marker::Send>> {
        ::std::boxed::Box::pin(::std::future::ready(id))
    }

    #[::memlock::lock(id)]
    fn hidden_future(id: u64) -> impl ::std::future::Future<Output = u64> {
        ::std::future::ready(id)
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

    #[::memlock::zlock(name = "zlocked")]
    pub fn zlocked() -> ::std::result::Result<u8, ::memlock::Error> { ::std::result::Result::Ok(7) }

    #[::memlock::zlock(name = "async zlocked")]
    pub async fn async_zlocked() -> ::std::result::Result<u8, ::memlock::Error> { ::std::result::Result::Ok(7) }

    #[::memlock::lock(name = "async plain")]
    pub async fn async_plain() -> u8 { 7 }

    #[::memlock::lock(name = "async nothing")]
    pub async fn async_nothing() { ::std::process::abort() }

    #[::memlock::lock(name = "async hidden")]
    pub async fn async_hidden() -> impl ::std::marker::Copy { 7 }

    #[::memlock::lock(name = "async never")]
    pub async fn async_never() -> ! { ::std::process::abort() }

    #[::memlock::lock(name = "async otherwise", otherwise = 7)]
    pub async fn async_otherwise() -> u8 { 7 }

    #[::memlock::lock(name = "async looked at", on_lost = error)]
    pub async fn async_looked_at() -> ::std::result::Result<u8, ::memlock::Error> { ::std::result::Result::Ok(7) }

    #[::memlock::lock(name = "future")]
    pub fn future() -> impl ::std::future::Future<Output = u8> { ::std::future::ready(7) }

    #[::memlock::lock(name = "boxed")]
    pub fn boxed() -> ::std::pin::Pin<::std::boxed::Box<dyn ::std::future::Future<Output = u8>>> { ::std::boxed::Box::pin(::std::future::ready(7)) }
}

fn block_on<F: ::std::future::Future>(future: F) -> F::Output {
    let mut future = ::std::pin::pin!(future);
    loop {
        let mut context = ::std::task::Context::from_waker(::std::task::Waker::noop());
        if let ::std::task::Poll::Ready(output) = ::std::future::Future::poll(future.as_mut(), &mut context) {
            return output;
        }
    }
}

fn main() {
    let locks = ::memlock::Locks::builder().servers("memory:").build();
    ::memlock::init(locks.unwrap()).unwrap();
    let mut shelf = Shelf { name: 1 };
    ::std::assert!(::std::matches!(shelf.conflicting(0), ::std::result::Result::Ok(1)));
    ::std::assert_eq!(shelf.method(7), 7);
    ::std::assert_eq!(shelf.text(7), 7);
    ::std::assert!(shelf.reports(7).is_ok());
    let _copy = shelf.hidden();
    let _never: fn() -> ! = one_line::never;
    let _hidden = one_line::hidden();
    ::std::assert_eq!(one_line::plain(), 7);
    ::std::assert!(one_line::looked_at().is_ok());
    ::std::assert!(one_line::zlocked().is_ok());
    block_on(async move {
        let text = || <::std::string::String as ::std::convert::From<&str>>::from("abc");
        ::std::assert_eq!(shelf.asynchronous(text(), text()).await, 6);
        ::std::assert_eq!(shelf.asynchronous_text(7).await, 7);
        ::std::assert!(shelf.asynchronous_reports(7).await.is_ok());
        ::std::assert_eq!(Shelf::boxed(7).await, 7);
        ::std::assert_eq!(Shelf::hidden_future(7).await, 7);
        ::std::assert!(shelf.asynchronous_conflicting(7).await.is_ok());
        ::std::assert!(one_line::async_zlocked().await.is_ok());
        ::std::assert_eq!(one_line::async_plain().await, 7);
        let _nothing = one_line::async_nothing;
        let _hidden = one_line::async_hidden().await;
        let _never = one_line::async_never;
        ::std::assert_eq!(one_line::async_otherwise().await, 7);
        ::std::assert!(one_line::async_looked_at().await.is_ok());
        ::std::assert_eq!(one_line::future().await, 7);
        ::std::assert_eq!(one_line::boxed().await, 7);
    });
}
