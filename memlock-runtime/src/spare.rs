//! Places on the heap that go from what is over to what comes next on the same thread: finding a new one costs as much as a
//! lock does at a store that answers at once.

use std::cell::Cell;
use std::sync::Arc;
use std::thread::LocalKey;

/// A thread's place for one `T`.
pub(crate) struct Spare<T>(Cell<Option<Arc<T>>>);

impl<T> Spare<T> {
    pub(crate) const fn new() -> Spare<T> {
        Spare(Cell::new(None))
    }

    fn take(&self) -> Option<Arc<T>> {
        self.0.take()
    }

    /// Puts `value` into the place that was kept, or into a new one.
    pub(crate) fn fill(spare: &'static LocalKey<Spare<T>>, value: T) -> Arc<T> {
        if let Ok(Some(mut kept)) = spare.try_with(Spare::take)
            && let Some(place) = Arc::get_mut(&mut kept)
        {
            *place = value;
            return kept;
        }
        Arc::new(value)
    }

    /// Keeps the place of what is `over`, and what is left in it. A thread that is ending keeps nothing.
    pub(crate) fn keep(spare: &'static LocalKey<Spare<T>>, over: Arc<T>) {
        let _ = spare.try_with(|spare| spare.0.set(Some(over)));
    }
}
