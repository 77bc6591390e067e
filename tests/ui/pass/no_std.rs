//! A crate without the standard library's names, but for the `main` that starts it.
#![no_std]
#![forbid(unsafe_code)]
#![deny(warnings)]

extern crate std as only_for_main;

struct Shelf {
    name: &'static str,
    books: [u8; 2],
}

impl Shelf {
    #[memlock::lock("{self.name}/{id}", timeout = 5, wait = 0, otherwise = |_| None)]
    fn method(&self, id: usize) -> Option<u8> {
        self.books.get(id).copied()
    }

    #[memlock::rlock(keys = [self.name, "all"], on_lost = error)]
    fn reports(&self) -> Result<u8, memlock::Error> {
        Ok(self.books[0])
    }

    #[memlock::zlock("{self.name}")]
    fn conflicting(&mut self) -> Result<&mut u8, memlock::Error> {
        Ok(&mut self.books[0])
    }

    #[memlock::zlock("{self.name}")]
    async fn asynchronous(&mut self) -> Result<&mut u8, memlock::Error> {
        Ok(&mut self.books[1])
    }

    #[memlock::lock("{self.name}")]
    fn future(&self) -> impl Future<Output = u8> {
        core::future::ready(self.books[1])
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = core::pin::pin!(future);
    loop {
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        if let core::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn main() {
    let locks = memlock::Locks::builder().servers("memory:").build();
    memlock::init(locks.unwrap()).unwrap();
    let mut shelf = Shelf { name: "a", books: [1, 2] };
    assert_eq!(shelf.method(1), Some(2));
    assert_eq!(shelf.reports().ok(), Some(1));
    *shelf.conflicting().unwrap() = 3;
    *block_on(shelf.asynchronous()).unwrap() = 4;
    assert_eq!(block_on(shelf.future()), 4);
    assert_eq!(shelf.books, [3, 4]);
}
