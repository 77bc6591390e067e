//! Functions that this package's own lints forbid.
#![deny(warnings)]

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

struct Shelf(u8);

impl Shelf {
    #[memlock::lock("{self.0}", on_unavailable = unlocked)]
    unsafe fn method(&self, pointer: *const u8) -> u8 {
        unsafe { *pointer }
    }

    #[memlock::lock("{self.0}", on_unavailable = unlocked)]
    async unsafe fn asynchronous(&self, pointer: *const u8) -> u8 {
        unsafe { *pointer }
    }
}

#[memlock::lock(|pointer| pointer.is_null(), on_lost = error)]
pub async unsafe fn asynchronous(pointer: *const u8) -> Result<u8, memlock::Error> {
    Ok(unsafe { *pointer })
}

#[memlock::lock("k")]
pub unsafe fn boxed(pointer: *const u8) -> Pin<Box<dyn Future<Output = u8>>> {
    let number = unsafe { *pointer };
    Box::pin(async move { number })
}

#[memlock::lock(|pointer| pointer.is_null(), on_lost = error)]
pub unsafe fn reports(pointer: *const u8) -> Result<u8, memlock::Error> {
    Ok(unsafe { *pointer })
}

#[memlock::lock(|pointer| pointer.is_null())]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memlock_test_foreign(pointer: *const u8) -> u8 {
    unsafe { *pointer }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn main() {
    let locks = memlock::Locks::builder().servers("memory:").build();
    memlock::init(locks.unwrap()).unwrap();
    let number = 7;
    assert_eq!(unsafe { memlock_test_foreign(&number) }, 7);
    assert_eq!(unsafe { reports(&number) }.ok(), Some(7));
    assert_eq!(unsafe { Shelf(1).method(&number) }, 7);
    assert_eq!(block_on(unsafe { Shelf(1).asynchronous(&number) }), 7);
    assert_eq!(block_on(unsafe { asynchronous(&number) }).ok(), Some(7));
    assert_eq!(block_on(unsafe { boxed(&number) }), 7);
}
