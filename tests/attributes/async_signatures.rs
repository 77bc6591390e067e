//! Any async function can be locked, and keeps its meaning.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use memlock::{lock, rlock};

use crate::stage::{LOCKS, block_on, held, key, pause};

#[derive(Clone)]
struct Shelf(String);

#[allow(clippy::boxed_local, reason = "receivers are the case")]
impl Shelf {
    fn path(&self) -> String {
        self.0.clone()
    }

    #[lock(Self::path, locks = &LOCKS)]
    async fn by_reference(&self) -> &str {
        assert_eq!(key(), "a");
        pause().await;
        &self.0
    }

    #[lock(Self::path, locks = &LOCKS)]
    async fn by_mutable_reference(&mut self, more: &str) -> &mut String {
        assert_eq!(key(), "a");
        self.0.push_str(more);
        pause().await;
        &mut self.0
    }

    #[lock(Self::path, locks = &LOCKS)]
    async fn by_value(self) -> (String, String) {
        pause().await;
        (key(), self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    async fn by_mutable_value(mut self) -> (String, String) {
        self.0.push('!');
        pause().await;
        (key(), self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    async fn boxed(self: Box<Self>) -> (String, String) {
        pause().await;
        (key(), self.0)
    }

    #[lock(Self::path, locks = &LOCKS)]
    async fn counted(self: Rc<Self>) -> String {
        pause().await;
        assert_eq!(self.0, "a");
        key()
    }

    #[lock("{self.0}", locks = &LOCKS)]
    async fn counted_across_threads(self: Arc<Self>, id: u8) -> (String, u8) {
        pause().await;
        assert_eq!(self.0, "a");
        (key(), id)
    }

    #[lock(Self::path, locks = &LOCKS)]
    async fn pinned(self: Pin<&mut Self>) -> String {
        pause().await;
        self.get_mut().0.push('!');
        key()
    }

    #[lock(|shelf: &Shelf| shelf.path(), locks = &LOCKS)]
    async fn one_of_two<'a>(&'a self, other: &'a Shelf, mine: bool) -> &'a Shelf {
        pause().await;
        if mine {
            return self;
        }
        other
    }

    #[lock(name = "new", locks = &LOCKS)]
    async fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

#[test]
fn receivers() {
    block_on(async {
        let mut shelf = Shelf::new("a").await;
        assert_eq!(shelf.by_reference().await, "a");
        shelf.by_mutable_reference("!").await.push('?');
        assert_eq!(shelf.0, "a!?");
        let shelf = Shelf("a".into());
        assert_eq!(shelf.clone().by_value().await, ("a".into(), "a".into()));
        assert_eq!(shelf.clone().by_mutable_value().await, ("a".into(), "a!".into()));
        assert_eq!(Box::new(shelf.clone()).boxed().await, ("a".into(), "a".into()));
        assert_eq!(Rc::new(shelf.clone()).counted().await, "a");
        assert_eq!(Arc::new(shelf.clone()).counted_across_threads(7).await, ("a".into(), 7));
        assert_eq!(Pin::new(&mut shelf.clone()).pinned().await, "a");
        let other = Shelf("b".into());
        assert_eq!(shelf.one_of_two(&other, true).await.0, "a");
        assert_eq!(shelf.one_of_two(&other, false).await.0, "b");
    });
}

struct Point {
    x: u8,
    y: u8,
}

fn sum(pair: &(u8, u8), point: &Point) -> u8 {
    pair.0 + point.y
}

#[lock(sum, locks = &LOCKS)]
async fn patterns((a, mut b): (u8, u8), Point { x, y: _ }: Point, [first, ..]: [u8; 3], _: u8) -> (String, u8) {
    b += a + x + first;
    pause().await;
    (key(), b)
}

#[lock("{number}", locks = &LOCKS)]
async fn patterns_that_no_key_needs((a, mut b): (String, String), number: u8, mut more: Vec<u8>, _: u8) -> String {
    b.push_str(&a);
    pause().await;
    more.push(number);
    format!("{b}{}{}", more.len(), key())
}

#[lock(|text, _| text.len(), locks = &LOCKS)]
async fn bound_by_reference(ref text: String, mut number: u8) -> (String, usize) {
    number += 1;
    pause().await;
    (key(), text.len() + usize::from(number))
}

#[lock(|_unused| 7, locks = &LOCKS)]
async fn marked_as_unused(_id: u8) -> String {
    key()
}

#[test]
fn patterns_stay_patterns() {
    let point = Point { x: 3, y: 4 };
    assert_eq!(block_on(patterns((1, 2), point, [5, 6, 7], 8)), ("5".into(), 11));
    let texts = ("a".to_owned(), "b".to_owned());
    assert_eq!(block_on(patterns_that_no_key_needs(texts, 7, vec![1], 8)), "ba27");
    assert_eq!(block_on(bound_by_reference("abc".into(), 1)), ("3".into(), 5));
    assert_eq!(block_on(marked_as_unused(1)), "7");
}

fn key_of<T: Display + ?Sized>(value: &T) -> String {
    value.to_string()
}

#[lock(key_of, locks = &LOCKS)]
async fn generic<T, const N: usize>(value: T, rest: [T; N]) -> (String, usize)
where
    T: Display,
{
    let mut all = Vec::from(rest);
    pause().await;
    all.push(value);
    (key(), all.len())
}

#[lock(key_of, locks = &LOCKS)]
async fn borrowed<'a>(text: &'a str, other: &'a mut Vec<&'a str>) -> &'a str {
    other.push(text);
    pause().await;
    assert_eq!(key(), text);
    other[0]
}

#[lock("{value}", locks = &LOCKS)]
async fn hidden_types(value: impl Display, apply: impl AsyncFnOnce(u8) -> u8) -> (String, u8) {
    let _ = value;
    (key(), apply(1).await)
}

#[lock(name = "iterator", locks = &LOCKS)]
async fn hidden_return<'a>(numbers: &'a [u8], text: &str) -> impl Iterator<Item = &'a u8> + use<'a> {
    assert_eq!((held().len(), text), (1, "a"));
    pause().await;
    if numbers.len() > 5 {
        return numbers.iter();
    }
    numbers[1..].iter()
}

#[lock(name = "hidden inside", locks = &LOCKS)]
async fn hidden_inside(numbers: &[u8]) -> Result<impl Iterator<Item = &u8>, memlock::Error> {
    pause().await;
    Ok(numbers.iter())
}

#[lock(name = "closure", locks = &LOCKS)]
async fn closure() -> impl Fn(&str) -> usize {
    assert_eq!(held().len(), 1);
    pause().await;
    |text: &str| text.len()
}

#[lock(name = "closure", locks = &LOCKS, wait = 0, otherwise = |_| function)]
async fn closure_or_function() -> impl Fn(&str) -> usize {
    pause().await;
    function
}

fn function(text: &str) -> usize {
    text.len()
}

#[test]
fn generics_lifetimes_and_hidden_types() {
    block_on(async {
        assert_eq!(generic(7, [1, 2]).await, ("7".into(), 3));
        assert_eq!(borrowed("a", &mut vec!["b"]).await, "b");
        assert_eq!(hidden_types(7, async |n| n + 1).await, ("7".into(), 2));
        assert_eq!(hidden_return(&[1, 2], "a").await.count(), 1);
        assert_eq!(hidden_inside(&[1, 2]).await.expect("locked").count(), 2);
        assert_eq!(closure().await("abc"), 3);
        assert_eq!(closure_or_function().await("abc"), 3);
    });
}

#[rlock(name = "recursion", locks = &LOCKS)]
async fn factorial(n: u64) -> Result<u64, memlock::Error> {
    if n == 0 {
        return Ok(1);
    }
    pause().await;
    Ok(n * Box::pin(factorial(n - 1)).await?)
}

#[test]
fn recursion() {
    assert_eq!(block_on(factorial(5)).expect("locked"), 120);
}

trait Place {
    fn path(&self) -> String;

    #[lock(Self::path, locks = &LOCKS)]
    async fn default_method(&self, _id: u64) -> String {
        pause().await;
        key()
    }

    async fn implemented(self, id: u64) -> String
    where
        Self: Sized;

    fn made(&self, id: u64) -> impl Future<Output = String>;
}

impl Place for Shelf {
    fn path(&self) -> String {
        self.0.clone()
    }

    #[lock(Place::path, locks = &LOCKS)]
    async fn implemented(self, _id: u64) -> String {
        pause().await;
        key()
    }

    #[lock("{self.0}/{id}", locks = &LOCKS)]
    async fn made(&self, id: u64) -> String {
        pause().await;
        key()
    }
}

#[test]
fn trait_methods() {
    let shelf = Shelf("a".into());
    assert_eq!(block_on(shelf.default_method(7)), "a");
    assert_eq!(block_on(shelf.made(7)), "a/7");
    assert_eq!(block_on(shelf.implemented(7)), "a");
}

struct Wrapper<T>(T);

impl<'a, T: Display + ?Sized> Wrapper<&'a T> {
    #[lock("{self.0}", locks = &LOCKS)]
    async fn elided(&mut self) -> (String, &mut &'a T) {
        pause().await;
        (key(), &mut self.0)
    }
}

#[test]
fn generic_receivers() {
    let mut wrapper = Wrapper("a");
    *block_on(wrapper.elided()).1 = "b";
    assert_eq!(block_on(wrapper.elided()).0, "b");
}

macro_rules! whole {
    ($name:ident, $argument:ident: $ty:ty, $returns:ty, $key:literal, $body:block) => {
        #[lock($key, locks = &LOCKS)]
        async fn $name($argument: $ty, more: u8, mut most: Vec<u8>) -> $returns {
            pause().await;
            most.push(more);
            let _ = $argument;
            $body
        }
    };
}
whole!(made, id: u64, String, "{id}", { key() });

macro_rules! method {
    ($name:ident, $this:ident, $body:block) => {
        impl Shelf {
            #[lock(Shelf::path, locks = &LOCKS)]
            async fn $name($this, other: String) -> (String, String) $body
        }
    };
}
method!(receiver_from_outside, self, { (self.0, key()) });

#[test]
fn made_by_macro_rules() {
    assert_eq!(block_on(made(7, 1, vec![])), "7");
    let shelf = Shelf("a".into());
    assert_eq!(
        block_on(shelf.receiver_from_outside(String::new())),
        ("a".into(), "a".into())
    );
}

mod names {
    //! No name of the user collides with the expansion.
    #![allow(dead_code, reason = "the names are the case")]

    use ::std::num::Wrapping as Ok;
    use ::std::num::Wrapping as Err;

    use crate::stage::{LOCKS, held};

    pub(super) struct Result;
    struct Box;
    struct Pin;
    struct Future;
    struct Return;
    mod memlock {}
    mod core {}
    mod std {}

    trait Everything: Sized {
        fn run(self) {}
        fn enter(self) {}
        fn value(self) {}
    }

    impl<T> Everything for T {}

    #[::memlock::lock("k/{id}", locks = &LOCKS, timeout = 5)]
    pub(super) async fn function(id: u8, run: ::std::string::String, value: ::std::string::String) -> (Result, usize) {
        let _ = (id, Ok(1), Err(1), value, run);
        (Result, held().len())
    }
}

#[test]
fn names() {
    assert_eq!(block_on(names::function(1, String::new(), String::new())).1, 1);
}

async fn find(id: u8) -> Result<String, memlock::Error> {
    pause().await;
    if id == 0 {
        return Err(LOCKS
            .lock("k")
            .timeout(std::time::Duration::ZERO)
            .acquire()
            .expect_err("no time"));
    }
    Ok(format!("found-{id}"))
}

#[lock(find(id).await?, locks = &LOCKS)]
async fn key_that_waits(id: u8) -> Result<String, memlock::Error> {
    Ok(key())
}

#[lock(if id == 0 { None } else { Some(id) }, locks = &LOCKS)]
async fn perhaps_without_a_lock(id: u8) -> usize {
    pause().await;
    held().len()
}

#[test]
fn keys_that_wait_fail_or_are_none() {
    assert_eq!(block_on(key_that_waits(7)).expect("found"), "found-7");
    assert!(block_on(key_that_waits(0)).is_err());
    assert_eq!(block_on(perhaps_without_a_lock(0)), 0);
    assert_eq!(block_on(perhaps_without_a_lock(1)), 1);
}

#[lock("{text}", locks = &LOCKS)]
async fn of_any_lifetime(text: &str) -> usize {
    pause().await;
    text.len()
}

async fn call(function: impl AsyncFn(&str) -> usize) -> usize {
    let text = "abc".to_owned();
    function(&text).await
}

#[test]
fn a_locked_function_is_still_an_async_fn_of_any_lifetime() {
    assert_eq!(block_on(call(of_any_lifetime)), 3);
}

macro_rules! body_from_outside {
    ($(#[$attr:meta])* $vis:vis async fn $name:ident($($arg:ident: $ty:ty),*) -> $returns:ty $body:block) => {
        $(#[$attr])*
        $vis async fn $name($($arg: $ty),*) -> $returns $body
    };
}
body_from_outside! {
    #[lock(id, locks = &LOCKS)]
    pub(crate) async fn wrapped(id: String, more: Vec<u8>) -> Result<(String, usize), memlock::Error> {
        if more.is_empty() {
            return Ok((id, 0));
        }
        pause().await;
        Ok((key(), more.len()))
    }
}

#[test]
fn wrapped_by_macro_rules() {
    assert_eq!(block_on(wrapped("a".into(), vec![1])).expect("locked"), ("a".into(), 1));
}
