//! Which process this is. A forked child has a copy of its parent's memory, and must not use everything that it finds
//! there: both would write to the same connections and draw from the same identities, and some locks belong to threads
//! that the child does not have.

use once_cell::sync::OnceCell;

/// The process in which something was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// This process. Costs a system call.
    pub(crate) fn current() -> Process {
        Process(std::process::id())
    }

    /// Whether it is this process. Costs a system call.
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

    /// The value that was made last, possibly by a parent of this process.
    pub(crate) fn latest(&self) -> Option<&T> {
        self.generations()
            .filter_map(|generation| generation.value.get())
            .last()
    }

    /// The cell for this process's own value.
    pub(crate) fn here(&self) -> &OnceCell<T> {
        let begin = || Box::new(Generation::begin());
        let last = self.generations().last();
        let mut last = last.unwrap_or_else(|| self.first.get_or_init(begin));
        // Only the last generation can belong to this process. An older one with the same number belonged to an
        // ancestor.
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
