//! memlock
pub use memlock_runtime::*;
