//! [`LockKind`]: the attribute of an annotated function.

/// The attribute that an annotated function has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// The plain lock.
    Lock,
    /// The re-entrant lock.
    Rlock,
    /// The lock in front of a database that detects conflicts.
    Zlock,
}
