//! What the operating system provides: clocks, timers, randomness, the background thread, and the identity of the
//! process.

pub(crate) mod background;
pub(crate) mod clock;
pub(crate) mod on_thread;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod sync;
pub(crate) mod worker;
