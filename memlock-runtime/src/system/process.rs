//! Which process this is. A child that was forked has its parent's memory, and must not take what it finds there for its own:
//! connections that both would write to, identities that both would draw from, locks of threads that it does not have.

use once_cell::sync::OnceCell;

/// The process in which something was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// This one. It costs a system call.
    pub(crate) fn current() -> Process {
        Process(std::process::id())
    }

    /// Whether it is this one. It costs a system call.
    pub(crate) fn is_current(self) -> bool {
        self == Process::current()
    }
}

/// A value that each process makes for itself.
#[derive(Debug)]
pub(crate) struct PerProcess<T: 'static> {
    first: OnceCell<Box<Generation<T>>>,
}

/// The value of one process, and after it those of a child, a child of that child, and so on.
#[derive(Debug)]
struct Generation<T: 'static> {
    process: Process,
    value: OnceCell<T>,
    next: OnceCell<Box<Generation<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { first: OnceCell::new() }
    }

    /// The value that was made last, maybe by a parent of this process.
    pub(crate) fn latest(&self) -> Option<&T> {
        self.generations()
            .filter_map(|generation| generation.value.get())
            .last()
    }

    /// Where this process keeps its own.
    pub(crate) fn here(&self) -> &OnceCell<T> {
        let begin = || Box::new(Generation::begin());
        let last = self.generations().last();
        let mut last = last.unwrap_or_else(|| self.first.get_or_init(begin));
        // Only the last can be this process's: an older one with the same number was an ancestor's.
        while !last.process.is_current() {
            last = last.next.get_or_init(begin);
        }
        &last.value
    }

    fn generations(&self) -> impl Iterator<Item = &Generation<T>> {
        let first = self.first.get().map(Box::as_ref);
        std::iter::successors(first, |generation| generation.next.get().map(Box::as_ref))
    }
}

impl<T> Generation<T> {
    fn begin() -> Generation<T> {
        Generation {
            process: Process::current(),
            value: OnceCell::new(),
            next: OnceCell::new(),
        }
    }
}
