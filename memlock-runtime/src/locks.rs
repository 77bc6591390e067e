//! `Locks`: one list of servers and the defaults that go with it.

/// Locks on one list of servers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Locks {}
