//! A future grows by what it takes to enter, and not by its arguments.

use std::future::Future;

use memlock::lock;

use crate::stage::{LOCKS, pause};

macro_rules! both {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $returns:ty $body:block)*) => {
        mod bare {
            use super::*;
            $(pub(super) async fn $name($($arg: $ty),*) -> $returns $body)*
        }

        mod locked {
            use super::*;
            $(
                #[lock("k", locks = &LOCKS)]
                pub(super) async fn $name($($arg: $ty),*) -> $returns $body
            )*
        }
    };
}
both! {
    nothing() -> () { pause().await; }
    by_reference(text: &str) -> Result<usize, memlock::Error> { pause().await; Ok(text.len()) }
    large_argument(large: [u8; 4000]) -> u8 { pause().await; large[7] }
    large_local(seed: u8) -> u8 { let large = [seed; 4000]; pause().await; large[7] }
}

fn sizes<B: Future, L: Future>(name: &str, bare: &B, locked: &L) -> isize {
    let (bare, locked) = (size_of_val(bare), size_of_val(locked));
    println!("{name}: {bare} bytes, and {locked} with the lock");
    locked.cast_signed() - bare.cast_signed()
}

#[test]
fn growth() {
    let grown = [
        sizes("nothing", &bare::nothing(), &locked::nothing()),
        sizes("by reference", &bare::by_reference("a"), &locked::by_reference("a")),
        sizes(
            "large argument",
            &bare::large_argument([0; 4000]),
            &locked::large_argument([0; 4000]),
        ),
        sizes("large local", &bare::large_local(0), &locked::large_local(0)),
    ];
    println!("{grown:?}");
}
