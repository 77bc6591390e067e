//! A future grows by the state of entering, and not by its arguments.

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

#[lock("k", locks = &LOCKS, wait = 0, otherwise = large[0])]
#[allow(clippy::large_types_passed_by_value, reason = "it is the case")]
async fn with_otherwise(large: [u8; 4000]) -> u8 {
    pause().await;
    large[7]
}

/// By how many bytes the lock makes a future larger.
fn growth<B: Future, L: Future>(shape: &str, bare: &B, locked: &L) -> usize {
    let (bare, locked) = (size_of_val(bare), size_of_val(locked));
    println!("{shape}: {bare} bytes, {locked} with the lock");
    locked.saturating_sub(bare)
}

#[test]
fn a_future_grows_by_little_and_not_by_its_arguments() {
    let large = [0; 4000];
    for growth in [
        growth("nothing", &bare::nothing(), &locked::nothing()),
        growth("by reference", &bare::by_reference("a"), &locked::by_reference("a")),
        growth(
            "large argument",
            &bare::large_argument(large),
            &locked::large_argument(large),
        ),
        growth("large local", &bare::large_local(0), &locked::large_local(0)),
    ] {
        assert!(growth <= 256);
    }
    // Arguments that `otherwise` may need stay outside, and the body gets a copy.
    let growth = growth("with otherwise", &bare::large_argument(large), &with_otherwise(large));
    assert!(growth <= 4000 + 256);
}
