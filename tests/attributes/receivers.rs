//! Every receiver can be locked, by a key function that takes `&Self`.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use memlock::lock;

use crate::stage::{LOCKS, key};

#[derive(Clone)]
struct Shelf(String);

#[allow(clippy::boxed_local, reason = "receivers are the case")]
impl Shelf {
    fn path(&self) -> String {
        self.0.clone()
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn by_reference(&self) -> String {
        key()
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn by_mutable_reference(&mut self) -> String {
        self.0.push('!');
        key()
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn by_value(self) -> (String, String) {
        (key(), self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn by_mutable_value(mut self) -> (String, String) {
        self.0.push('!');
        (key(), self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn boxed(self: Box<Self>) -> (String, String) {
        (key(), self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn counted(self: Rc<Self>) -> String {
        key()
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn counted_across_threads(self: &Arc<Self>) -> String {
        key()
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn pinned(self: Pin<&mut Self>) -> String {
        self.get_mut().0.push('!');
        key()
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn boxed_and_pinned(self: Pin<Box<Self>>) -> (String, String) {
        (key(), self.0.clone())
    }

    #[lock(Self::path, locks = &LOCKS, on_lost = error)]
    fn borrowed_by_a_closure(&mut self) -> Result<&mut String, memlock::Error> {
        assert_eq!(key(), "a");
        Ok(&mut self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn named(self: Shelf) -> (String, String) {
        (key(), self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn named_in_a_box(self: Box<Shelf>) -> (String, String) {
        (key(), self.0)
    }

    #[lock(|shelf: &Shelf| shelf.path(), locks = &LOCKS)]
    fn by_closure(self: Box<Self>) -> (String, String) {
        (key(), self.0)
    }

    #[lock("{self.0}", locks = &LOCKS)]
    fn by_field(self: Arc<Self>) -> String {
        key()
    }
}

#[test]
fn receivers() {
    let mut shelf = Shelf("a".into());
    assert_eq!(shelf.by_reference(), "a");
    assert_eq!(shelf.by_mutable_reference(), "a");
    let shelf = Shelf("a".into());
    assert_eq!(shelf.clone().by_value(), ("a".into(), "a".into()));
    assert_eq!(shelf.clone().by_mutable_value(), ("a".into(), "a!".into()));
    assert_eq!(Box::new(shelf.clone()).boxed(), ("a".into(), "a".into()));
    assert_eq!(Rc::new(shelf.clone()).counted(), "a");
    assert_eq!(Arc::new(shelf.clone()).counted_across_threads(), "a");
    assert_eq!(Pin::new(&mut shelf.clone()).pinned(), "a");
    assert_eq!(Box::pin(shelf.clone()).boxed_and_pinned(), ("a".into(), "a".into()));
    assert_eq!(shelf.clone().borrowed_by_a_closure().expect("locked"), "a");
    assert_eq!(shelf.clone().named(), ("a".into(), "a".into()));
    assert_eq!(Box::new(shelf.clone()).named_in_a_box(), ("a".into(), "a".into()));
    assert_eq!(Box::new(shelf.clone()).by_closure(), ("a".into(), "a".into()));
    assert_eq!(Arc::new(shelf).by_field(), "a");
}

trait Place {
    fn path(&self) -> String;

    #[lock(Self::path, locks = &LOCKS)]
    fn default_method(&self, _id: u64) -> String {
        key()
    }

    fn implemented(self, id: u64) -> String
    where
        Self: Sized;

    fn hidden(&self) -> impl Iterator<Item = char>;
}

impl Place for Shelf {
    fn path(&self) -> String {
        self.0.clone()
    }

    #[lock(Place::path, locks = &LOCKS)]
    fn implemented(self, _id: u64) -> String {
        key()
    }

    #[lock(Place::path, locks = &LOCKS)]
    fn hidden(&self) -> impl Iterator<Item = char> {
        assert_eq!(key(), "a");
        self.0.chars()
    }
}

#[test]
fn trait_methods() {
    let shelf = Shelf("a".into());
    assert_eq!(shelf.default_method(7), "a");
    let place: &dyn Place2 = &shelf;
    assert_eq!(place.object_safe(), "a");
    assert_eq!(shelf.hidden().count(), 1);
    assert_eq!(Place::implemented(shelf, 7), "a");
}

trait Place2 {
    fn name(&self) -> &str;

    #[lock(Self::name, locks = &LOCKS)]
    fn object_safe(&self) -> String {
        key()
    }
}

impl Place2 for Shelf {
    fn name(&self) -> &str {
        &self.0
    }
}

struct Wrapper<T>(T);

#[allow(clippy::needless_arbitrary_self_type, reason = "it is the case")]
impl<'a, T: std::fmt::Display + ?Sized> Wrapper<&'a T> {
    #[lock("{self.0}", locks = &LOCKS)]
    fn generic(self: &'a Self) -> (String, &'a T) {
        (key(), self.0)
    }

    #[lock("{self.0}", locks = &LOCKS)]
    fn elided(&mut self) -> (String, &mut &'a T) {
        (key(), &mut self.0)
    }

    #[lock("new", locks = &LOCKS)]
    fn new(of: &'a T) -> Self {
        assert_eq!(key(), "new");
        Self(of)
    }
}

#[test]
fn generic_receivers() {
    let mut wrapper = Wrapper::new("a");
    assert_eq!(wrapper.generic(), ("a".into(), "a"));
    *wrapper.elided().1 = "b";
    assert_eq!(wrapper.elided().0, "b");
}
