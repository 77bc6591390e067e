//! By how much the attribute makes a future larger.

use std::future::{Future, ready};

/// The same function bare, in a span of tracing, and locked.
macro_rules! each {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $returns:ty $body:block)*) => {
        mod bare {
            use super::ready;
            $(pub(super) async fn $name($($arg: $ty),*) -> $returns $body)*
        }

        mod instrumented {
            use super::ready;
            $(
                #[tracing::instrument(skip_all)]
                pub(super) async fn $name($($arg: $ty),*) -> $returns $body
            )*
        }

        mod locked {
            use super::ready;
            $(
                #[memlock::lock("k")]
                pub(super) async fn $name($($arg: $ty),*) -> $returns $body
            )*
        }
    };
}
each! {
    small(id: u64) -> Result<u64, memlock::Error> { ready(()).await; Ok(id) }
    large(id: u8) -> Result<u8, memlock::Error> { let local = [id; 4000]; ready(()).await; Ok(local[7]) }
}

/// What the body keeps while it waits, and the sizes of the futures: bare, instrumented, locked.
pub(crate) fn sizes() -> [(&'static str, [usize; 3]); 2] {
    [
        (
            "a number",
            [
                size(&bare::small(0)),
                size(&instrumented::small(0)),
                size(&locked::small(0)),
            ],
        ),
        (
            "4000 bytes",
            [
                size(&bare::large(0)),
                size(&instrumented::large(0)),
                size(&locked::large(0)),
            ],
        ),
    ]
}

fn size(future: &impl Future) -> usize {
    size_of_val(future)
}
