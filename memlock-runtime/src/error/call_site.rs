//! [`CallSite`]: which part of the program asks for a lock, for messages.

use std::fmt;
use std::panic::Location;

/// An annotated function, or a request without an attribute.
#[derive(Clone, Copy)]
pub(crate) struct CallSite {
    /// The function, `module::path::function`; empty for a request.
    pub(crate) function: &'static str,
    /// The attribute, or the call that makes the request.
    place: &'static Location<'static>,
}

impl CallSite {
    /// `function`, whose attribute is where this is called.
    #[track_caller]
    pub(crate) const fn of(function: &'static str) -> CallSite {
        CallSite {
            function,
            place: Location::caller(),
        }
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            "" => write!(f, "the request at {}", self.place),
            function => write!(f, "`{function}` ({})", self.place),
        }
    }
}

impl fmt::Debug for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
