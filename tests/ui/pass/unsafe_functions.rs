//! Functions that this package's own lints forbid.
#![deny(warnings)]

struct Shelf(u8);

impl Shelf {
    #[memlock::lock("{self.0}", on_unavailable = unlocked)]
    unsafe fn method(&self, pointer: *const u8) -> u8 {
        unsafe { *pointer }
    }
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

fn main() {
    let locks = memlock::Locks::builder().servers("memory:").build();
    memlock::init(locks.unwrap()).unwrap();
    let number = 7;
    assert_eq!(unsafe { memlock_test_foreign(&number) }, 7);
    assert_eq!(unsafe { reports(&number) }.ok(), Some(7));
    assert_eq!(unsafe { Shelf(1).method(&number) }, 7);
}
